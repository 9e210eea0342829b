/**
 * Batches in which lines are refused for several reasons at a time, made from a seed, at a real InfluxDB 1 and at the fakes of 2
 * and 3. The oracle is what is stored at the end: no stored line is a dead letter, and every line that is not stored is one.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Entry } from "../../src/core/entry.ts";
import { seededRandom, type Random } from "../../src/simulator/random.ts";
import { event } from "../contract/entries.ts";
import { orgId, startInflux2, type Influx2 } from "../kit/influx2.ts";
import { startInflux3, type Influx3 } from "../kit/influx3.ts";
import { influxdAvailable, startInfluxd, type Influxd } from "../kit/influxd.ts";
import { openInflux } from "../kit/influxsink.ts";
import type { FakeDatabase } from "../kit/influxstore.ts";

const requestsMax = 40;
const dayMs = 86_400_000;
const retention = "30d";
const nowMs = Date.now();
const lastWeekMs = nowMs - 10 * dayMs;

/** What somebody else stored before, so that columns have types: of this week, and others of another. */
const before = [
  [nowMs, 'a=1,b=1,c=1i,d=true,e="x"'],
  [lastWeekMs, 'a="x",b=1i,c=1,d=true,e=2'],
].map(([ms, fields]) => `telemetry,device_id=d0,site_id=lab-1 ${fields} ${ms}000000`);

type Kind = (random: Random) => { readonly metrics: Record<string, unknown>; readonly atMs?: number };

const kinds: Readonly<Record<string, Kind>> = {
  good: () => ({ metrics: { a: 1.5, b: 2, d: true } }),
  whole: () => ({ metrics: { c: 5, a: 7 } }),
  "not whole": () => ({ metrics: { c: 5.5 } }),
  "text for a number": () => ({ metrics: { a: "text", b: 1 } }),
  "text for another": () => ({ metrics: { a: 1, b: "text" } }),
  "boolean for a number": () => ({ metrics: { a: true } }),
  "number for a boolean": () => ({ metrics: { d: 1 } }),
  "number for a text": () => ({ metrics: { e: 1.25 } }),
  "too old": () => ({ metrics: { a: 1 }, atMs: nowMs - 60 * dayMs }),
  "too old, and text": () => ({ metrics: { a: "x" }, atMs: nowMs - 61 * dayMs }),
  "of another week": () => ({ metrics: { a: "x", b: 3 }, atMs: lastWeekMs }),
  "of another week, bad there": () => ({ metrics: { a: 1 }, atMs: lastWeekMs }),
  "a column of its own": (random) => ({
    metrics: { [`x${random.whole(0, 4)}`]: random.pick<unknown>([1.5, "x", true]) },
  }),
  "several wrong": () => ({ metrics: { a: "x", b: true, d: 3 } }),
};

/**
 * A batch of some of the kinds, in any order or in runs, each line at a time of its own, and with a field that has one type
 * everywhere: a query of version 1 shows no row for a value whose column has another type in other shards.
 */
function batchOf(random: Random, lines: number): Entry[] {
  const some = Object.values(kinds).filter(() => random.next() < 0.4);
  const chosen = some.length === 0 ? Object.values(kinds) : some;
  let kind = random.pick(chosen as [Kind, ...Kind[]]);
  const stay = random.pick([0, 0.5, 0.95]);
  return Array.from({ length: lines }, (_, i) => {
    if (random.next() >= stay) kind = random.pick(chosen as [Kind, ...Kind[]]);
    const { metrics, atMs = nowMs } = kind(random);
    const eventMs = atMs + i + 1;
    const deviceId = `d${random.whole(0, 6)}`;
    return event(i + 1, {
      payload: JSON.stringify({ seq: i + 1, metrics }),
      receivedMs: eventMs,
      eventMs,
      eventNs: 0,
      deviceId,
    });
  });
}

interface World {
  readonly settings: Parameters<typeof openInflux>[0];
  /** Writes what was there before. */
  prepare(database: string): Promise<void>;
  /** Times in ms of what is stored. */
  stored(database: string): Promise<Set<number>>;
}

/** Delivers as the drain does, and holds what is said against what is stored. */
async function deliver(world: World, database: string, entries: readonly Entry[]) {
  const influx = openInflux({ ...world.settings, database, retention, timeDistanceMaxDays: 0 });
  await world.prepare(database);
  const writes = () =>
    Number(influx.sink.stats?.()["writes_ok"]) + Number(influx.sink.stats?.()["writes_err"]);
  let deliveries = 0;
  for (let done = false; !done; deliveries += 1) {
    const written = writes();
    done = await influx.deliver(entries).then(
      ({ delivered, refused }) => delivered + refused === entries.length,
      (error: unknown) => expect(error).toHaveProperty("alarm", false) !== undefined,
    );
    expect(writes() - written).toBeLessThanOrEqual(requestsMax);
    expect(deliveries).toBeLessThan(100);
  }
  const stored = await world.stored(database);
  const said = (bad: boolean) => entries.filter((entry) => influx.refused.has(entry.seq) === bad);
  expect(said(true).filter(({ eventMs }) => stored.has(eventMs ?? 0))).toEqual([]);
  expect(said(false).filter(({ eventMs }) => !stored.has(eventMs ?? 0))).toEqual([]);
  await influx.dispose();
}

const seeds = Array.from({ length: 12 }, (_, i) => i + 1);
const sizes = [2, 30, 300, 1_000];

const pointsOf = (database: FakeDatabase | undefined) =>
  new Set(database?.points("telemetry").map(({ time }) => Number(time / 1_000_000n)));

function mixtures(open: () => World) {
  test.each(seeds)("mixture %i", async (seed) => {
    for (const [i, size] of sizes.entries()) {
      const entries = batchOf(seededRandom(seed * 10 + i), size);
      await deliver(open(), `m${seed}-${i}`, entries);
    }
  });
}

const why = influxdAvailable();
describe.skipIf(why !== "")(why === "" ? "InfluxDB 1" : `InfluxDB 1 (skipped: ${why})`, () => {
  let server: Influxd;
  beforeAll(async () => {
    server = await startInfluxd();
  });
  afterAll(() => server?.stop());

  mixtures(() => ({
    settings: { url: server.url },
    async prepare(database) {
      await server.query(`CREATE DATABASE "${database}" WITH DURATION ${retention}`);
      const body = before.join("\n");
      expect((await fetch(`${server.url}/write?db=${database}`, { method: "POST", body })).status).toBe(204);
    },
    async stored(database) {
      const rows = await server.query('SELECT * FROM "telemetry"', database);
      return new Set(rows.map(({ time }) => Number(BigInt(String(time)) / 1_000_000n)));
    },
  }));
});

describe("InfluxDB 2", () => {
  let server: Influx2;
  beforeAll(() => {
    server = startInflux2({ org: orgId, token: "t" });
  });
  afterAll(() => server.stop());

  mixtures(() => ({
    settings: { url: server.url, token: "t", org: orgId },
    async prepare(database) {
      server.bucket(database, 30 * dayMs);
      const headers = { authorization: "Token t" };
      const path = `${server.url}/api/v2/write?org=${orgId}&bucket=${database}`;
      const answer = await fetch(path, { method: "POST", headers, body: before.join("\n") });
      expect(answer.status).toBe(204);
    },
    stored: (database) => Promise.resolve(pointsOf(server.buckets.get(database))),
  }));
});

describe("InfluxDB 3", () => {
  let server: Influx3;
  beforeAll(async () => {
    server = await startInflux3({ databasesMax: 1_000 });
  });
  afterAll(() => server.stop());
  afterEach(() => server.databases.clear());

  mixtures(() => ({
    settings: { url: server.url },
    async prepare(database) {
      const path = `${server.url}/api/v3/write_lp?db=${database}&precision=nanosecond`;
      expect((await fetch(path, { method: "POST", body: before[0] ?? "" })).status).toBe(204);
    },
    stored: (database) => Promise.resolve(pointsOf(server.databases.get(database))),
  }));
});
