/** The promises of the look-up of latest values, tested on Redis and on the tables, with and without the index. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { latestOfTables } from "../../src/admin/latest-of-tables.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { type LatestDevice, LatestUnavailable, type LatestView } from "../../src/core/latest-view.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { HeldEntries, SeenDevice } from "../../src/core/recent.ts";
import type { Store } from "../../src/core/store.ts";
import { openRedisLatest } from "../../src/redis/redis-latest.ts";
import { openPostgresStore } from "../../src/store/postgres/postgres-store.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import { startRedisSink, redisValues } from "../kit/redissink.ts";
import { nothingKept } from "../kit/sink.ts";
import { localStore } from "../kit/stores.ts";
import { deliverAll, event } from "./entries.ts";

setDefaultTimeout(60_000);

interface Opened {
  readonly view: LatestView;
  /** Delivers events to where the view reads them. */
  put(entries: readonly Entry[]): Promise<unknown>;
  /** Takes it away. */
  breakIt?(): Promise<unknown>;
  close(): Promise<unknown>;
}

const ttlSeconds = 3_600;
const ttlMs = ttlSeconds * 1_000;

async function redis(tenant?: string): Promise<Opened> {
  const server = await startRedis();
  const settings = redisValues({ url: server.url, ttlSeconds, tenant, timeoutMs: 10_000 });
  const sink = startRedisSink(settings);
  const view = openRedisLatest(settings, systemClock);
  return {
    view,
    put: (entries) => deliverAll(sink, entries),
    breakIt: () => server.kill9(),
    async close() {
      view.close();
      await sink.close();
      await server.stop();
    },
  };
}

async function tables(
  store: Store,
  isIndexed: boolean,
  close: () => unknown,
  breakIt?: () => Promise<unknown>,
): Promise<Opened> {
  await store.migrate();
  if (isIndexed) {
    expect(await store.events.createIndex()).toEqual(["created index raw_events_device_ingested_idx"]);
    expect(await store.events.createIndex()).toEqual([]);
  }
  expect((await store.events.indexed()) !== undefined).toBe(isIndexed);
  const registered = new Set<string>();
  let before = { delivered: 0, ignored: 0, refused: 0, skipped: 0 };
  let seq = 0;
  return {
    view: latestOfTables({ events: store.events, held: nothingKept.held, clock: systemClock, ttlMs }),
    ...(breakIt && { breakIt }),
    async put(entries) {
      for (const { tenantId = "", deviceId = "" } of entries) {
        const id = { tenantId: tenantId ?? "", deviceId: deviceId ?? "" };
        if (registered.has(JSON.stringify(id))) continue;
        registered.add(JSON.stringify(id));
        await store.registry.add([{ ...id, siteId: "lab-1" }]);
      }
      // In the order of arrival, under seqs of their own.
      const inOrder = [...entries].sort((a, b) => a.receivedMs - b.receivedMs);
      await deliverAll(
        store.tables,
        inOrder.map((entry) => ({ ...entry, seq: ++seq })),
        { before },
      );
      before = { ...before, delivered: before.delivered + entries.length };
    },
    async close() {
      await store.close();
      await close();
    },
  };
}

async function local(isIndexed: boolean): Promise<Opened> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-latest-"));
  return tables(localStore({ path: join(dir, "local.db") }), isIndexed, () =>
    rmSync(dir, { recursive: true }),
  );
}

async function postgres(isIndexed: boolean): Promise<Opened> {
  const server = await sharedPostgres();
  const url = await server.createDatabase();
  const options = { url, poolMax: 2, timeoutMs: 20_000 };
  const store = openPostgresStore({ postgres: options, gatewayId: "gw", log: silentLog });
  return tables(
    store,
    isIndexed,
    () => {},
    async () => {
      const other = openPostgresStore({ postgres: options, gatewayId: "gw", log: silentLog });
      await other.close();
      options.url = url.replace(/:\d+\//, ":1/");
    },
  );
}

const kinds: readonly { name: string; unavailable: string; open(): Promise<Opened> }[] = [
  { name: "Redis", unavailable: redisAvailable(), open: redis },
  { name: "Redis with plain names for one tenant", unavailable: redisAvailable(), open: () => redis("acme") },
  { name: "the local store", unavailable: "", open: () => local(false) },
  { name: "the local store with its index", unavailable: "", open: () => local(true) },
  { name: "PostgreSQL", unavailable: postgresAvailable(), open: () => postgres(false) },
  { name: "PostgreSQL with its index", unavailable: postgresAvailable(), open: () => postgres(true) },
];

const now = Date.now();

function reading(
  seq: number,
  agoMs: number,
  metrics: object,
  more: Partial<Entry> & { metadata?: object } = {},
): Entry {
  const { metadata, ...changes } = more;
  const payload = JSON.stringify({ site_id: "lab-1", metrics, ...(metadata && { metadata }) });
  return event(seq, {
    receivedMs: now - agoMs,
    eventMs: now - agoMs,
    eventNs: 0,
    payload,
    ...changes,
  });
}

for (const { name, unavailable, open } of kinds) {
  const title = unavailable === "" ? name : `${name} (skipped: ${unavailable})`;
  describe.skipIf(unavailable !== "")(`the latest values of ${title}`, () => {
    let it: Opened;
    beforeEach(async () => {
      it = await open();
    });
    afterEach(() => it.close());

    const valuesOf = (found: LatestDevice | null | undefined) =>
      found &&
      Object.fromEntries(found.values.map(({ metric, json, timeMs }) => [metric, [json, timeMs - now]]));
    const id = (deviceId: string, tenantId = "acme") => ({ tenantId, deviceId });

    test("hold the newest per metric, with its time, metadata, age and expiry; null for an unknown device", async () => {
      const metadata = { datatype_id: "7", datatype_name: "temperature", datatype_unit: "C" };
      await it.put([
        reading(1, 3_000, { a: 1, b: 1.5 }),
        reading(2, 2_000, { a: 2 }, { metadata }),
        // Arrives last, and is older.
        reading(3, 1_000, { a: 3, c: "x" }, { eventMs: now - 9_000 }),
        reading(4, 500, { z: true }, { tenantId: "globex", deviceId: "d:1" }),
      ]);
      const [found, nobody, other] = await it.view.get([id("d1"), id("nobody"), id("d:1", "globex")]);
      expect(valuesOf(found)).toEqual({ a: ["2", -2_000], b: ["1.5", -3_000], c: ['"x"', -9_000] });
      expect(nobody).toBeNull();
      expect(valuesOf(other)).toEqual({ z: ["true", -500] });
      expect(found).toMatchObject({ ...id("d1"), seenMs: now - 1_000 });
      expect(Math.abs(found!.expiresMs - (now - 1_000 + ttlMs))).toBeLessThan(500);
      expect(found!.metadata).toMatchObject({
        datatype_id: "7",
        datatype_name: "temperature",
        datatype_unit: "C",
        persist: "true",
        last_updated: new Date(now - 2_000).toISOString().slice(0, -1),
        tenant_id: "acme",
        site_id: "lab-1",
        msg_type: "telemetry",
        event_ms: String(now - 2_000),
      });
      expect(found!.metadata).not.toHaveProperty("stamp");
    });

    test("leave out a device that has long been silent", async () => {
      await it.put([reading(1, ttlMs + 1_000, { a: 1 })]);
      expect(await it.view.get([id("d1")])).toEqual([null]);
      expect(await it.view.seen({ sinceMs: 0, limit: 10 })).toEqual({ devices: [], next: null });
    });

    test("devices by when they were last heard, page by page, also many of one moment, of one tenant", async () => {
      const many = Array.from({ length: 30 }, (_, i) =>
        reading(
          i + 1,
          i < 15 ? 5_000 : 1_000 * i,
          { a: 1 },
          { deviceId: `d${String(i).padStart(2, "0")}`, tenantId: i % 3 === 0 ? "globex" : "acme" },
        ),
      );
      await it.put(many);
      const all = async (tenantId?: string, sinceMs = 0) => {
        const found: SeenDevice[] = [];
        for (let after: SeenDevice | undefined, pages = 0; pages < 20; pages++) {
          const page = await it.view.seen({ tenantId, sinceMs, after, limit: 7 });
          expect(page.devices.length).toBeLessThanOrEqual(7);
          found.push(...page.devices);
          if (page.next === null) return found;
          after = page.next;
        }
        throw new Error("no end");
      };
      const found = await all();
      expect(found.map(({ seenMs }) => seenMs)).toEqual(
        found.map(({ seenMs }) => seenMs).sort((a, b) => b - a),
      );
      const keys = (devices: readonly SeenDevice[]) =>
        devices.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`).sort();
      const wanted = many.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`).sort();
      expect(keys(found)).toEqual(wanted);
      for (const tenant of ["globex", "acme"])
        expect(keys(await all(tenant))).toEqual(wanted.filter((key) => key.startsWith(`${tenant}/`)));
      expect(keys(await all(undefined, now - 5_000))).toEqual(
        wanted.filter((key) => Number(key.slice(-2)) < 15),
      );
      expect(await all("nobody")).toEqual([]);
    });

    test("1,000 devices in one call, in the order asked for", async () => {
      await it.put(
        Array.from({ length: 500 }, (_, i) => reading(i + 1, 1_000, { n: i }, { deviceId: `d${i}` })),
      );
      const ids = Array.from({ length: 1_000 }, (_, i) => id(`d${999 - i}`));
      const found = await it.view.get(ids).catch((error: unknown) => error);
      // Without an index, who is not met among the newest events would have to be looked for for ever: here they are few.
      expect((found as (LatestDevice | null)[]).map((each) => each?.values[0]?.json ?? null)).toEqual(
        ids.map((_, i) => (999 - i < 500 ? String(999 - i) : null)),
      );
    });

    test("an outage is reported, and is no empty answer", async () => {
      if (!it.breakIt) return;
      await it.breakIt();
      await expect(it.view.get([id("d1")])).rejects.toThrow(LatestUnavailable);
      await expect(it.view.seen({ sinceMs: 0, limit: 1 })).rejects.toThrow(LatestUnavailable);
    });
  });
}

describe("the tables without an index", () => {
  const events = Array.from({ length: 30_000 }, (_, i) =>
    reading(0, i, { n: i }, { deviceId: i === 29_999 ? "rare" : "d1" }),
  );
  const viewOf = (of: readonly Entry[]) =>
    latestOfTables({
      ...nothingKept,
      events: {
        ...nothingKept.events,
        async *recent() {
          for (let at = 0; at < of.length; at += 1_000) {
            await Promise.resolve();
            yield of.slice(at, at + 1_000) as never;
          }
        },
      },
      clock: systemClock,
      ttlMs,
    });
  const view = viewOf(events);

  test("tell of whom they meet less often what they met", async () => {
    const [found] = await viewOf([reading(0, 1, { a: 1 }, { deviceId: "few" }), ...events]).get([
      { tenantId: "acme", deviceId: "few" },
    ]);
    expect(found?.values[0]?.json).toBe("1");
  });

  test("tell whom they meet among the newest, and of the others that they cannot tell", async () => {
    const [found] = await view.get([{ tenantId: "acme", deviceId: "d1" }]);
    expect(found?.values[0]?.json).toBe("0");
    const rare = view.get([{ tenantId: "acme", deviceId: "rare" }]);
    await expect(rare).rejects.toThrow("sluice migrate --index-latest");
    await expect(view.seen({ sinceMs: 0, limit: 1 })).rejects.toThrow(LatestUnavailable);
  });
});

test("what is still in the spool is told with what the tables have", async () => {
  const entries = [reading(8, 2_000, { a: 8 }), reading(9, 1_000, { b: 9 }, { deviceId: "d2" })];
  const held: HeldEntries = { head: 9, read: (seq) => entries.filter((entry) => entry.seq >= seq) };
  const stored = [reading(0, 9_000, { a: 1, old: 1 })];
  const view = latestOfTables({
    held,
    events: {
      ...nothingKept.events,
      async *recent() {
        await Promise.resolve();
        yield stored as never;
      },
    },
    clock: systemClock,
    ttlMs,
  });
  const [d1, d2] = await view.get([
    { tenantId: "acme", deviceId: "d1" },
    { tenantId: "acme", deviceId: "d2" },
  ]);
  expect(d1?.values.map(({ metric, json }) => [metric, json]).sort()).toEqual([
    ["a", "8"],
    ["old", "1"],
  ]);
  expect(d2?.seenMs).toBe(now - 1_000);
  expect((await view.seen({ sinceMs: 0, limit: 10 })).devices.map(({ deviceId }) => deviceId)).toEqual([
    "d2",
    "d1",
  ]);
});

test("devices of which the spool knows later messages than the tables end no list before the silent ones", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-latest-"));
  const store = localStore({ path: join(dir, "local.db") });
  const it = await tables(store, true, () => rmSync(dir, { recursive: true }));
  const names = (prefix: string) => Array.from({ length: 4 }, (_, i) => `${prefix}${i}`);
  const of = (devices: readonly string[], agoMs: number) =>
    devices.map((deviceId, i) => reading(i + 1, agoMs + i, { a: 1 }, { deviceId }));
  await it.put([...of(names("silent"), 900_000), ...of(names("busy"), 600_000)]);
  const waiting = [...of(names("fresh"), 20_000), ...of(names("busy"), 10_000)].map((entry, i) => ({
    ...entry,
    seq: i + 1,
  }));
  const held = { head: waiting.length, read: (seq: number) => waiting.slice(seq - 1) };
  const view = latestOfTables({ events: store.events, held, clock: systemClock, ttlMs });
  const found: string[] = [];
  for (let after: SeenDevice | null | undefined; after !== null;) {
    const page = await view.seen({ sinceMs: 0, after, limit: 3 });
    found.push(...page.devices.map(({ deviceId }) => deviceId));
    after = page.next;
  }
  expect(found).toEqual([...names("busy"), ...names("fresh"), ...names("silent")]);
  await it.close();
});
