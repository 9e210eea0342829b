import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as fc from "fast-check";
import postgres from "postgres";
import { arrayText, literal } from "../../../src/store/postgres/literals.ts";
import { send } from "../../../src/store/postgres/postgres-client.ts";
import type { Entry } from "../../../src/core/entry.ts";
import { copyText } from "../../../src/core/text/copy-text.ts";
import {
  copyData,
  copyQuarantine,
  copyRaw,
  hasRows,
  quarantineRows,
  rawRows,
  reuse,
  type Rows,
} from "../../../src/store/postgres/copy.ts";
import { countRejects, rawPayload, timeText } from "../../../src/store/rows.ts";
import { deferred, event, reject } from "../../contract/entries.ts";
import { rowsOf, rowText } from "../../kit/copy.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";

setDefaultTimeout(60_000);

describe("rows in the text format of COPY", () => {
  test("a row has its columns in order, null as \\N, and ends with a newline", () => {
    const bare = event(1, { tenantId: null, siteId: null, deviceId: null, msgType: null, eventMs: null });
    expect(rowText(rawRows, bare)).toBe(
      `2026-09-10T00:26:40.001000Z\t\\N\ttenant/acme/device/d1/telemetry\t\\N\t\\N\t\\N\t\\N\tt\t${bare.payload}\n`,
    );
  });

  test("each value stands under the name of its column", () => {
    const names = { topic: "a/b", tenantId: "t1", deviceId: "d1", msgType: "alarm", siteId: "s1" };
    const columns = { topic: "a/b", tenant_id: "t1", device_id: "d1", msg_type: "alarm", site_id: "s1" };
    const read = (statement: string, row: string) => {
      const cells = row.split("\t");
      return Object.fromEntries(
        /\((.+)\)/
          .exec(statement)?.[1]
          ?.split(", ")
          .map((name, i) => [name, cells[i]]) ?? [],
      );
    };
    expect(read(copyRaw, rowText(rawRows, event(1, names)))).toMatchObject({ ...columns, accepted: "t" });
    expect(read(copyQuarantine, rowText(quarantineRows, reject(1, names)))).toMatchObject({
      ...columns,
      reason: "TOKEN_INVALID",
    });
  });

  test("events and mirrored rejects are raw, kept rejects are quarantined, deferred entries are neither", () => {
    const entries = [
      event(1),
      reject(2),
      reject(3, { mirror: true }),
      reject(4, { payload: "" }),
      deferred(5),
    ];
    const without = (rows: Rows<Entry>) => entries.flatMap((e) => (rowText(rows, e) === "" ? e.seq : []));
    expect(without(rawRows)).toEqual([2, 4, 5]);
    expect(without(quarantineRows)).toEqual([1, 4, 5]);
    expect(hasRows(entries.slice(3), rawRows)).toBe(false);
    expect(hasRows(entries.slice(2), rawRows)).toBe(true);
  });

  test("a batch becomes messages of whole rows, of which the last ends the COPY; also in memory that was used before", () => {
    const texts = Array.from({ length: 3_000 }, (_, i) => `${"é🌊x".repeat(i % 90)}${i}`);
    // Larger than a message, and of three bytes per character.
    texts.push("x".repeat(300_000), "\n", "é".repeat(100_000), ...Array<string>(30).fill("漢".repeat(9_000)));
    const isRow = (text: string) => text.length % 7 !== 0;
    const rows: Rows<string> = {
      columns: (text) => (isRow(text) ? `${text.slice(0, 40).toWellFormed()}\t` : ""),
      last: (text) => text,
    };
    const expected = texts.filter(isRow).map((text) => rowText(rows, text));
    for (let round = 0; round < 3; round++) {
      const copy = copyData(texts, rows);
      const pieces = [...copy];
      const { text, parts, behind } = readMessages(Buffer.concat(pieces));
      expect(pieces.length).toBe(2);
      expect(text).toBe(expected.join(""));
      expect(parts).toBeGreaterThan(20);
      expect(behind).toEqual(Buffer.from([0x63, 0, 0, 0, 4]));
      reuse([copy]);
    }
  });

  const sentCopy = (items: readonly unknown[]) => {
    const copy = copyData(items, rowsOf(String));
    return { copy, bytes: Buffer.concat([...copy]), memory: copy.memory };
  };

  test("a buffer is used again only once what is in it has arrived", () => {
    const [one, two] = [sentCopy(["one"]), sentCopy(["two"])];
    expect(two.memory === one.memory).toBe(false);
    reuse([one.copy]);
    const six = sentCopy(["six"]);
    expect(six.memory === one.memory).toBe(true);
    expect([two, six].map(({ memory }) => memory?.toString("utf8", 5, 8))).toEqual(["two", "six"]);
  });

  test("of two tables the larger buffer is used again, and that of a large batch not for a small one; the others go at once", () => {
    const many = Array.from({ length: 5_000 }, (_, i) => i);
    const [large, small] = [sentCopy(many), sentCopy([1])];
    reuse([large.copy, small.copy]);
    const again = sentCopy(many);
    expect(again.memory === large.memory).toBe(true);
    expect(small.memory?.length).toBe(0);
    reuse([again.copy]);
    expect(sentCopy([1]).memory?.length).toBeLessThan(1_000);
    expect(again.memory?.length).toBe(0);
  });

  test("the first of a large batch can leave before the rest is made", () => {
    let made = 0;
    const counted: Rows<number> = { columns: () => `${(made += 1)}\t`, last: () => "x".repeat(1_000) };
    const [first] = copyData(
      Array.from({ length: 5_000 }, (_, i) => i),
      counted,
    );
    expect(readMessages(first ?? Buffer.of()).text.split("\n").length).toBeGreaterThan(100);
    expect(made).toBeLessThan(200);
  });

  test("times keep their microseconds over the whole range of nanosecond clocks", () => {
    expect(timeText(0, 0)).toBe("1970-01-01T00:00:00.000000Z");
    expect(timeText(-1, 999_999)).toBe("1969-12-31T23:59:59.999999Z");
    expect(timeText(Date.parse("1677-09-21T00:12:43.145Z"), 224_193)).toBe("1677-09-21T00:12:43.145224Z");
    expect(timeText(Date.parse("2262-04-11T23:47:16.854Z"), 775_807)).toBe("2262-04-11T23:47:16.854775Z");
  });

  test("a mirrored reject is marked, whatever its payload is and claims", () => {
    const of = (payload: string) => JSON.parse(rawPayload(reject(1, { mirror: true, payload })));
    const marks = { _rejected: true, _reject_reason: "TOKEN_INVALID" };
    expect(of("")).toEqual(marks);
    expect(of(" { } ")).toEqual(marks);
    expect(of('{"a":1}')).toEqual({ a: 1, ...marks });
    expect(of('{"_rejected":false}')).toEqual(marks);
    expect(of("[1,2]")).toEqual({ _payload: [1, 2], ...marks });
    expect(of("42")).toEqual({ _payload: 42, ...marks });
  });

  test("rejects are counted by minute, tenant and reason; without a tenant they count as unknown", () => {
    const at = Date.parse("2026-01-01T00:00:59.999Z");
    const entries = [
      reject(1, { receivedMs: at }),
      reject(2, { receivedMs: at, payload: "" }),
      reject(3, { receivedMs: at + 1 }),
      reject(4, { receivedMs: at, tenantId: null, reason: "BAD_TOPIC_FORMAT" }),
      event(5, { receivedMs: at }),
      deferred(6),
    ];
    expect(
      countRejects(entries).map((c) => [c.bucketMinute.slice(11, 16), c.tenantId, c.reason, c.cnt]),
    ).toEqual([
      ["00:00", "unknown", "BAD_TOPIC_FORMAT", 1],
      ["00:00", "acme", "TOKEN_INVALID", 2],
      ["00:01", "acme", "TOKEN_INVALID", 1],
    ]);
  });
});

function readMessages(stream: Buffer) {
  let [text, at, parts] = ["", 0, 0];
  for (; stream[at] === "d".charCodeAt(0); parts++) {
    const end = at + 1 + stream.readInt32BE(at + 1);
    const part = stream.toString("utf8", at + 5, end);
    expect(part.endsWith("\n")).toBe(true);
    text += part;
    at = end;
  }
  return { text, parts, behind: stream.subarray(at) };
}

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`COPY and arrays in PostgreSQL ${unavailable}`, () => {
  let sql: postgres.Sql;
  beforeAll(async () => {
    const server = await sharedPostgres();
    sql = postgres(await server.createDatabase(), { max: 1, fetch_types: false, prepare: false });
    await sql`create table t (n int, a text, b text)`;
  });
  afterAll(() => sql.end({ timeout: 5 }));

  // Any text that PostgreSQL can hold: no U+0000, no half of a surrogate pair.
  const storable = fc.string({ unit: "binary" }).map((s) => s.replaceAll("\0", "").toWellFormed());
  const sharp = fc.string({
    unit: fc.constantFrom(
      "\\",
      "\t",
      "\n",
      "\r",
      "N",
      ".",
      '"',
      "'",
      "{",
      "}",
      ",",
      "\b",
      "\v",
      "\f",
      "é",
      "🌊",
    ),
  });
  const anyText = fc.option(fc.oneof(storable, sharp));

  test("any text comes back from COPY as it went in", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(anyText, anyText), { minLength: 1 }), async (pairs) => {
        const text = pairs.map(([a, b], n) => `${n}\t${copyText(a)}\t${copyText(b)}`).join("\n");
        await sql`truncate t`;
        await sql.begin((tx) =>
          send(tx, {
            statements: ["copy t (n, a, b) from stdin"],
            copies: [copyData([text], rowsOf(String))],
          }),
        );
        const rows = await sql<{ a: string | null; b: string | null }[]>`select a, b from t order by n`;
        expect(rows.map((row) => [row.a, row.b])).toEqual(pairs);
      }),
    );
  });

  test("U+0000 in a literal is refused by name, and does not end the statement", async () => {
    const refused = await sql
      .unsafe(`select ${literal("a\0b'")}`)
      .catch((error: { code: string }) => error.code);
    expect(refused).toBe("22021");
  });

  test("any text comes back from an array parameter as it went in", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyText), async (values) => {
        const rows = await sql<{ x: string | null }[]>`
          select x from unnest(${arrayText(values)}::text[]) with ordinality as u (x, n) order by n`;
        expect(rows.map((row) => row.x)).toEqual(values);
      }),
    );
  });
});
