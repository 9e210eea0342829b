/** A local store on a full disk: what is to be changed in the quarantine stays, and the answer says why. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createQuarantineQueue } from "../../../src/admin/review/quarantine-queue.ts";
import { NotNow } from "../../../src/admin/review/review-queue.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { createSqliteQuarantine } from "../../../src/store/sqlite/sqlite-quarantine.ts";

/** Throws as SQLite does on a full disk. */
function full(): never {
  const db = new Database(":memory:");
  db.run("PRAGMA max_page_count = 1");
  db.run("CREATE TABLE t (x)");
  throw new Error("there was room");
}

function database(): Database {
  const db = new Database(":memory:", { strict: true });
  db.run(
    "CREATE TABLE quarantine_events (id INTEGER PRIMARY KEY, ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload)",
  );
  db.run(
    "INSERT INTO quarantine_events (id, ingested_at, topic, reason) VALUES (1, '', 't', 'BAD_TIMESTAMP')",
  );
  return db;
}

test("a discard says that the disk is full, not that the database is away", async () => {
  const queue = createQuarantineQueue({
    table: { ...createSqliteQuarantine(database()), remove: () => Promise.resolve().then(full) },
    registry: { find: () => Promise.resolve([]) },
    judge: { reread: (entry) => ({ devices: [], parts: () => [entry], judge: () => [] }) },
    requeue() {},
    settledTo: () => 1,
    head: () => 1,
    log: silentLog,
  });
  const error: unknown = await queue.discard({ after: 0, dry_run: false }).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(NotNow);
  expect(String(error)).toContain("the disk of the local store is full, so nothing was changed");
});
