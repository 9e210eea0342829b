import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/core/log/log.ts";
import type { Store } from "../../../src/core/store.ts";
import { openSqliteStore } from "../../../src/store/sqlite/sqlite-store.ts";
import { localSink } from "../../kit/stores.ts";
import { deferred, delivery, event, events, noTotals, reject } from "../../contract/entries.ts";

function place(): { path: string; [Symbol.dispose](): void } {
  const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
  return { path: join(dir, "local.db"), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test("rows have the columns of the PostgreSQL tables", async () => {
  using at = place();
  const sink = localSink({ path: at.path });
  await sink.deliver(delivery([event(1), reject(2), reject(3, { payload: "", mirror: true }), deferred(4)]));
  const db = new Database(at.path, { readonly: true });
  expect(db.query("SELECT * FROM raw_events ORDER BY id").all()).toEqual([
    {
      id: 1,
      ingested_at: "2026-09-10T00:26:40.001000Z",
      event_ts: "2026-09-10T00:26:40.001123Z",
      topic: "tenant/acme/device/d1/telemetry",
      tenant_id: "acme",
      site_id: "lab-1",
      device_id: "d1",
      msg_type: "telemetry",
      payload: event(1).payload,
      accepted: 1,
    },
    expect.objectContaining({
      id: 2,
      accepted: 0,
      payload: '{"_rejected":true,"_reject_reason":"TOKEN_INVALID"}',
    }),
  ]);
  expect(db.query("SELECT reason, payload FROM quarantine_events").all()).toEqual([
    { reason: "TOKEN_INVALID", payload: reject(2).payload },
  ]);
  expect(db.query("SELECT tenant_id, reason, cnt FROM quarantine_counters_minute").all()).toEqual([
    { tenant_id: "acme", reason: "TOKEN_INVALID", cnt: 2 },
  ]);
  db.close();
  await sink.close();
});

test("a file that was moved under a running gateway takes nothing until it is back", async () => {
  using at = place();
  const sink = localSink({ path: at.path });
  await sink.deliver(delivery(events(1, 10)));
  renameSync(at.path, `${at.path}-aside`);
  const next = delivery(events(11, 12), { before: { ...noTotals, delivered: 10 } });
  await expect(sink.deliver(next)).rejects.toThrow(`${at.path} was moved, removed or replaced`);
  renameSync(`${at.path}-aside`, at.path);
  expect(await sink.deliver(next)).toEqual({ delivered: 2, ignored: 0, refused: 0 });
  await sink.close();
});

test("between two deliveries all else has its turn", async () => {
  using at = place();
  const sink = localSink({ path: at.path });
  let turns = 0;
  for (let seq = 1; seq <= 3; seq++) {
    setImmediate(() => turns++);
    await sink.deliver(delivery([event(seq)], { before: { ...noTotals, delivered: seq - 1 } }));
  }
  expect(turns).toBe(3);
  await sink.close();
});

test("a failure in the middle of a batch leaves nothing of it, and the retry all of it once", async () => {
  using at = place();
  const sink = localSink({ path: at.path });
  const db = new Database(at.path);
  db.run(
    "CREATE TRIGGER stop BEFORE INSERT ON raw_events WHEN NEW.event_ts LIKE '%40.007%' BEGIN SELECT RAISE(ABORT, 'disk'); END",
  );
  await expect(sink.deliver(delivery(events(1, 10)))).rejects.toThrow("disk");
  expect(db.query("SELECT count(*) AS n FROM raw_events").get()).toEqual({ n: 0 });
  db.run("DROP TRIGGER stop");
  expect(await sink.deliver(delivery(events(1, 10)))).toEqual({ delivered: 10, ignored: 0, refused: 0 });
  expect(db.query("SELECT count(*) AS n FROM raw_events").get()).toEqual({ n: 10 });
  db.close();
  await sink.close();
});

test("a file that was restored from a copy under a running gateway is noticed", async () => {
  using at = place();
  const sink = localSink({ path: at.path });
  await sink.deliver(delivery(events(1, 10)));
  const db = new Database(at.path);
  db.run("UPDATE sluice_position SET seq = 5, delivered = 5");
  const next = delivery(events(11, 12), { before: { ...noTotals, delivered: 10 } });
  await expect(sink.deliver(next)).rejects.toThrow("restored from a backup");
  expect((await sink.positions?.(["epoch-1"]))?.[0]?.seq).toBe(5);
  const again = delivery(events(6, 12), { before: { ...noTotals, delivered: 5 } });
  expect(await sink.deliver(again)).toEqual({ delivered: 7, ignored: 0, refused: 0 });
  db.close();
  await sink.close();
});

test("a file that is no database is named in the error", () => {
  using at = place();
  writeFileSync(at.path, "this is not a database, but long enough to have a header of its own".repeat(20));
  expect(() => localSink({ path: at.path })).toThrow(at.path);
});

test("a damaged file is no outage to wait for: it is named, with what to do", async () => {
  using at = place();
  await localSink({ path: at.path }).deliver(delivery(events(1, 10)));
  const copy = `${at.path}-copy`;
  const db = new Database(at.path);
  db.run("VACUUM INTO ?", [copy]);
  db.close();
  const bytes = readFileSync(copy);
  const told = "local.db-copy is damaged (database disk image is malformed): stop the gateway";
  const from = (rootOf(copy) - 1) * pageBytes;
  writeFileSync(copy, bytes.fill(0xff, from, from + pageBytes));
  const next = delivery(events(11, 20), { before: { ...noTotals, delivered: 10 } });
  const error = await localSink({ path: copy })
    .deliver(next)
    .catch((cause: unknown) => cause);
  expect(error).toMatchObject({ name: "Outage", alarm: true });
  expect(String(error)).toContain(told);
  // The first page has the schema, without which it is no database.
  writeFileSync(`${copy}-2`, bytes.fill(0xff, pageBytes));
  expect(() => localSink({ path: `${copy}-2` })).toThrow(told.replace("copy", "copy-2"));
  writeFileSync(`${copy}-3`, bytes.fill(7));
  expect(() => localSink({ path: `${copy}-3` })).toThrow(
    "copy-3 is damaged (file is not a database): stop the gateway",
  );
});

const pageBytes = 4096;

/** The page at which a table begins. */
function rootOf(path: string, table = "raw_events"): number {
  using db = new Database(path);
  const root = "SELECT rootpage AS page FROM sqlite_schema WHERE name = ?";
  return db.query<{ page: number }, [string]>(root).get(table)?.page ?? 0;
}

const bounds = { retentionDays: 365, freeBytesMin: 0, ageNowMs: () => Date.now() };

test.each<[table: string, work: (store: Store) => unknown]>([
  ["sluice_position", (store) => store.tables.positions?.(["e1"])],
  ["device_registry", (store) => store.registry.find([{ tenantId: "acme", deviceId: "d1" }])],
  ["device_registry", (store) => store.probe(false)],
  ["app_settings", (store) => store.registry.settings()],
  ["quarantine_events", (store) => store.quarantine.lastId()],
  ["raw_events", (store) => store.keepRetention?.(bounds).close()],
])("whoever finds %s damaged names the file, and what to do", async (table, work) => {
  using at = place();
  const open = () => openSqliteStore({ path: at.path, gatewayId: "g", log: silentLog });
  await open().close();
  const from = (rootOf(at.path, table) - 1) * pageBytes;
  writeFileSync(at.path, readFileSync(at.path).fill(0xff, from, from + pageBytes));
  const store = open();
  const error = await Promise.try(() => work(store)).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ name: "Outage", alarm: true });
  expect(String(error)).toContain(
    `${at.path} is damaged (database disk image is malformed): stop the gateway`,
  );
  await store.close();
});
