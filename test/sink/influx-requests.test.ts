/**
 * What refused lines may cost in requests, whatever the words: 8,000 lines of which every other one is bad, and a server that
 * tells of it in the words of each version and kind.
 */
import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Entry } from "../../src/core/entry.ts";
import { event } from "../contract/entries.ts";
import { openInflux } from "../kit/influxsink.ts";

const requestsMax = 40;
const pairs = 4_000;
const retentionMs = 30 * 86_400_000;
const nowMs = Date.now();

interface Family {
  readonly name: string;
  readonly api: "v3" | "v2" | "v1" | "questdb" | "victoriametrics";
  readonly status: number;
  /** What makes an entry bad. */
  readonly bad: Partial<Entry>;
  /** Does the server refuse a line? Absent: that of an entry made bad. */
  readonly refuses?: (line: string) => boolean;
  /** The server's body. `bad`: the refused lines, `all`: those of the request. */
  readonly words: (bad: readonly string[], all: readonly string[]) => unknown;
  /** It stores the lines that it does not refuse. */
  readonly storesOthers: boolean;
}

const old: Partial<Entry> = { eventMs: nowMs - 2 * retentionMs };
const typed: Partial<Entry> = { payload: '{"metrics":{"n":"x"}}' };
const partial = (words: string) => ({
  code: "unprocessable entity",
  message: `failure writing points to database: partial write: ${words}`,
});
const oldest = (line: string) =>
  `point ${line.split(" ")[0]} at 2017-07-14T02:40:00Z dropped because it violates a Retention Policy Lower Bound at 2026-10-26T21:42:34.016200458Z`;
const isTyped = (line: string) => line.includes('n="x"');
const conflict =
  'field type conflict: input field "n" on measurement "telemetry" is type string, already exists as type float';

const families: readonly Family[] = [
  {
    name: "1: retention",
    api: "v1",
    status: 400,
    bad: old,
    words: (bad) => ({ error: `partial write: points beyond retention policy dropped=${bad.length}` }),
    storesOthers: true,
  },
  {
    name: "2.7: retention, in long words that name series",
    api: "v2",
    status: 422,
    bad: old,
    words: (bad) =>
      partial(
        `dropped ${bad.length} points outside retention policy of duration 720h0m0s - oldest ${oldest(bad[0] ?? "")}, newest ${oldest(bad.at(-1) ?? "")} dropped=${bad.length} for database: ff043e085673a935 for retention policy: autogen`,
      ),
    storesOthers: true,
  },
  {
    name: "2: retention, the count in front",
    api: "v2",
    status: 422,
    bad: old,
    words: (bad) => partial(`dropped ${bad.length} points outside retention policy of duration 720h0m0s`),
    storesOthers: true,
  },
  {
    name: "2.0: retention as a server error",
    api: "v2",
    status: 500,
    bad: old,
    words: (bad) => ({
      code: "internal error",
      message: `unexpected error writing points to database: partial write: points beyond retention policy dropped=${bad.length}`,
    }),
    storesOthers: true,
  },
  {
    name: "2.0: retention as a server error, the count in front",
    api: "v2",
    status: 500,
    bad: old,
    words: (bad) => ({ code: "internal error", message: `${bad.length} points beyond retention policy` }),
    storesOthers: true,
  },
  {
    name: "retention without a count",
    api: "v1",
    status: 400,
    bad: old,
    words: () => ({ error: "partial write: points beyond retention policy" }),
    storesOthers: true,
  },
  {
    name: "1: type conflict",
    api: "v1",
    status: 400,
    bad: typed,
    refuses: isTyped,
    words: (bad) => ({ error: `partial write: ${conflict} dropped=${bad.length}` }),
    storesOthers: true,
  },
  {
    name: "2: type conflict",
    api: "v2",
    status: 422,
    bad: typed,
    refuses: isTyped,
    words: (bad) => partial(`${conflict} dropped=${bad.length}`),
    storesOthers: true,
  },
  {
    name: "2: type conflict, counted in one shard of many",
    api: "v2",
    status: 422,
    bad: typed,
    refuses: isTyped,
    words: () => partial(`${conflict} dropped=1`),
    storesOthers: true,
  },
  {
    name: "1: too many values of a tag",
    api: "v1",
    status: 400,
    bad: { deviceId: "new" },
    refuses: (line) => line.includes("device_id=new"),
    words: (bad) => ({
      error: `partial write: max-values-per-tag limit exceeded (1/1): measurement="telemetry" tag="device_id" value="new" dropped=${bad.length}`,
    }),
    storesOthers: true,
  },
  {
    name: "1: too many series",
    api: "v1",
    status: 400,
    bad: { deviceId: "new" },
    refuses: (line) => line.includes("device_id=new"),
    words: (bad) => ({
      error: `partial write: max-series-per-database limit exceeded: (1000000) dropped=${bad.length}`,
    }),
    storesOthers: true,
  },
  {
    name: "2: lines that do not parse, each quoted",
    api: "v2",
    status: 400,
    bad: typed,
    refuses: isTyped,
    words: (bad) => ({
      code: "invalid",
      message: bad.map((line) => `unable to parse '${line}': invalid number`).join("\n"),
    }),
    storesOthers: false,
  },
  {
    name: "words of a partial write that nobody knows",
    api: "v2",
    status: 422,
    bad: typed,
    refuses: isTyped,
    words: () => partial("computer says no"),
    storesOthers: true,
  },
  {
    name: "a count that is wrong",
    api: "v1",
    status: 400,
    bad: old,
    words: () => ({ error: "partial write: points beyond retention policy dropped=3" }),
    storesOthers: true,
  },
  {
    name: "3: each line by number",
    api: "v3",
    status: 400,
    bad: typed,
    refuses: isTyped,
    words: (bad, all) => ({
      error: "partial write of line protocol occurred",
      data: bad.map((line) => ({
        error_message:
          "invalid column type for column 'n', expected iox::column_type::field::float, got iox::column_type::field::string",
        line_number: all.indexOf(line) + 1,
        original_line: line.slice(0, 20),
      })),
    }),
    storesOthers: true,
  },
  {
    name: "QuestDB: the first bad line alone, and nothing stored",
    api: "questdb",
    status: 400,
    bad: typed,
    refuses: isTyped,
    words: (bad, all) => {
      const line = all.indexOf(bad[0] ?? "") + 1;
      const message = `failed to parse line protocol:errors encountered on line(s):\nerror in line ${line}: table: telemetry, column: n; cast error from protocol type: STRING to column type: DOUBLE`;
      return { code: "invalid", message, line, errorId: "1" };
    },
    storesOthers: false,
  },
];

const isOldLine = (line: string) => Number(line.split(" ").at(-1)?.slice(0, -6)) < nowMs - retentionMs;

async function start({ api, status, words, refuses = isOldLine, storesOthers }: Family) {
  const stored = new Set<string>();
  let requests = 0;
  let firstStored = 0;
  const influx = openInflux({ url: "http://influx.invalid", api, org: "o" }, undefined, async (url, init) => {
    if (!url.includes("write")) return new Response(null, { status: 404 });
    requests += 1;
    const all = linesOf(init.body);
    const bad = all.filter(refuses);
    if (bad.length === 0 || storesOthers) for (const line of all) if (!refuses(line)) stored.add(line);
    if (requests === 1) firstStored = stored.size;
    return bad.length === 0
      ? new Response(null, { status: 204 })
      : Response.json(words(bad, all), { status });
  });
  return { influx, stored, requests: () => requests, firstStored: () => firstStored };
}

function linesOf(body: RequestInit["body"]): string[] {
  if (typeof body === "string") return body.split("\n");
  if (!(body instanceof Uint8Array)) return [];
  return new TextDecoder().decode(body[0] === 0x1f ? gunzipSync(body) : body).split("\n");
}

const good = (seq: number) =>
  event(seq, { receivedMs: nowMs, eventMs: nowMs + seq, payload: `{"metrics":{"n":${seq}}}` });

describe("4,000 bad lines among 4,000 good ones", () => {
  for (const family of families)
    test(`${family.name}: at most ${requestsMax} requests, and every good line is stored`, async () => {
      const { influx, stored, requests, firstStored } = await start(family);
      const batch = Array.from({ length: pairs * 2 }, (_, i) => {
        const entry = good(i + 1);
        return i % 2 === 0 ? entry : { ...entry, eventMs: nowMs + i, ...family.bad };
      }).map((entry, i) =>
        family.bad === old && i % 2 === 1
          ? { ...entry, receivedMs: entry.eventMs ?? 0, eventMs: (entry.eventMs ?? 0) + i }
          : entry,
      );
      const { delivered, refused } = await influx.deliver(batch);
      expect(delivered + refused).toBe(pairs * 2);
      expect(stored.size).toBe(pairs);
      // Each bad line is a dead letter; in words that help nobody some good ones that are stored go with them.
      const missing = batch.filter(({ seq }) => seq % 2 === 0 && !influx.refused.has(seq));
      expect(missing).toEqual([]);
      if (!/nobody knows/.test(family.name)) expect(refused).toBe(pairs);
      expect(requests()).toBeLessThanOrEqual(requestsMax);
      if (family.storesOthers) expect(firstStored()).toBe(pairs);
      await influx.dispose();
    });
});

describe("one bad line among 8,000", () => {
  for (const family of families)
    test(`${family.name}: at most ${requestsMax} requests, and it alone is refused`, async () => {
      const { influx, stored, requests } = await start(family);
      const batch = Array.from({ length: pairs * 2 }, (_, i) => good(i + 1));
      batch[5_000] = { ...good(5_001), ...family.bad };
      const isMiscounted = family.name === "a count that is wrong";
      expect(await influx.deliver(batch)).toMatchObject({ refused: isMiscounted ? 3 : 1 });
      expect(influx.refused.has(5_001)).toBe(true);
      expect(stored.size).toBe(pairs * 2 - 1);
      expect(requests()).toBeLessThanOrEqual(requestsMax);
      await influx.dispose();
    });

  test("words that nobody knows, and nothing stored: halves find it", async () => {
    const family: Family = {
      name: "",
      api: "v2",
      status: 400,
      bad: typed,
      refuses: isTyped,
      words: () => "computer says no",
      storesOthers: false,
    };
    const { influx, stored, requests } = await start(family);
    const batch = Array.from({ length: pairs * 2 }, (_, i) => good(i + 1));
    batch[5_000] = { ...good(5_001), ...typed };
    expect(await influx.deliver(batch)).toMatchObject({ refused: 1 });
    expect(stored.size).toBe(pairs * 2 - 1);
    expect(requests()).toBeLessThanOrEqual(requestsMax);
    await influx.dispose();
  });
});
