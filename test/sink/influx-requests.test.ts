/**
 * What refused lines may cost in requests, whatever the words: 8,000 lines of which every other one is bad, and a server that
 * tells of it in the words of each version and kind. If the words give no count, each line is found by halving, in several
 * deliveries of so many requests each.
 */
import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Entry } from "../../src/core/entry.ts";
import type { Outcome } from "../../src/core/sink.ts";
import { event } from "../contract/entries.ts";
import { openInflux } from "../kit/influxsink.ts";

const requestsMax = 40;
const pairs = 4_000;
const blindPairs = 150;
const retentionMs = 30 * 86_400_000;
const nowMs = Date.now();

interface Family {
  readonly name: string;
  readonly api: "v3" | "v2" | "v1" | "questdb" | "victoriametrics";
  readonly status: number;
  /** What makes the entry with this seq bad. */
  readonly bad: (seq: number) => Partial<Entry>;
  /** Does the server refuse a line? Absent: that of an entry made bad. */
  readonly refuses?: (line: string) => boolean;
  /** The server's body. `bad`: the refused lines, `all`: those of the request. */
  readonly words: (bad: readonly string[], all: readonly string[]) => unknown;
  /** It stores the lines that it does not refuse. */
  readonly storesOthers: boolean;
  /** Its message has no count, or a wrong one. */
  readonly isBlind?: boolean;
}

const at = (ms: number): Partial<Entry> => ({ receivedMs: ms, eventMs: ms });
const old = (seq: number) => at(nowMs - 2 * retentionMs + seq);
const typed = () => ({ payload: '{"metrics":{"n":"x"}}' });
const weekMs = 7 * 86_400_000;
const weekOf = (line: string) => Math.floor(timeOf(line) / weekMs);
const ofNewDevice = () => ({ deviceId: "new" });
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
    isBlind: true,
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
    bad: (seq) => ({ ...typed(), ...at(nowMs - (seq % 16) * weekMs + seq) }),
    refuses: isTyped,
    words: (bad) =>
      partial(`${conflict} dropped=${bad.filter((line) => weekOf(line) === weekOf(bad[0] ?? "")).length}`),
    storesOthers: true,
  },
  {
    name: "1: too many values of a tag",
    api: "v1",
    status: 400,
    bad: ofNewDevice,
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
    bad: ofNewDevice,
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
    isBlind: true,
  },
  {
    name: "a count that is too small",
    api: "v1",
    status: 400,
    bad: old,
    words: (bad) => ({ error: `partial write: points beyond retention policy dropped=${bad.length >> 1}` }),
    storesOthers: true,
    isBlind: true,
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

const timeOf = (line: string) => Number(line.split(" ").at(-1)?.slice(0, -6));
const isOldLine = (line: string) => timeOf(line) < nowMs - retentionMs;

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

/** Delivers as the drain does; no delivery may have more requests than `requestsMax`. */
async function deliver({ influx, requests }: Awaited<ReturnType<typeof start>>, batch: readonly Entry[]) {
  for (let deliveries = 1; ; deliveries += 1) {
    const before = requests();
    const outcome = await influx.deliver(batch).catch((error: unknown) => error);
    expect(requests() - before).toBeLessThanOrEqual(requestsMax);
    if (!(outcome instanceof Error)) return { ...(outcome as Outcome), deliveries };
    expect(outcome.message).toContain("searched for");
  }
}

describe("as many bad lines as good ones among them", () => {
  for (const family of families)
    test(`${family.name}: each is found, and every good one is stored`, async () => {
      const world = await start(family);
      const count = family.isBlind ? blindPairs : pairs;
      const batch = Array.from({ length: count * 2 }, (_, i) =>
        i % 2 === 0 ? good(i + 1) : ({ ...good(i + 1), ...family.bad(i + 1) } as Entry),
      );
      const { delivered, refused, deliveries } = await deliver(world, batch);
      expect([delivered, refused]).toEqual([count, count]);
      expect(batch.filter(({ seq }) => seq % 2 === 0 && !world.influx.refused.has(seq))).toEqual([]);
      expect(world.stored.size).toBe(count);
      if (!family.isBlind) expect(deliveries).toBe(1);
      if (family.storesOthers) expect(world.firstStored()).toBe(count);
      await world.influx.dispose();
    });
});

describe("one bad line among 8,000", () => {
  const batchOf = (bad: Family["bad"]) => {
    const batch = Array.from({ length: pairs * 2 }, (_, i) => good(i + 1));
    batch[5_000] = { ...good(5_001), ...bad(5_001) } as Entry;
    return batch;
  };

  for (const family of families)
    test(`${family.name}: it alone is refused, in one delivery`, async () => {
      const world = await start(family);
      expect(await deliver(world, batchOf(family.bad))).toMatchObject({ refused: 1, deliveries: 1 });
      expect(world.influx.refused.has(5_001)).toBe(true);
      expect(world.stored.size).toBe(pairs * 2 - 1);
      await world.influx.dispose();
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
    const world = await start(family);
    expect(await deliver(world, batchOf(typed))).toMatchObject({ refused: 1, deliveries: 1 });
    expect(world.stored.size).toBe(pairs * 2 - 1);
    await world.influx.dispose();
  });
});
