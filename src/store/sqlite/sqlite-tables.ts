/**
 * The tables in one SQLite file beside the spool, for a site without a PostgreSQL: rows and position in one transaction. SQLite
 * takes any text, so nothing is refused but what an operator sets aside.
 */
import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import { positionOf, type PositionRow, type Replaced } from "../../core/position.ts";
import type { Position } from "../../core/sink.ts";
import { countRejects, eventTime, isQuarantined, isRaw, rawPayload, timeText } from "../rows.ts";
import type { Part, TablesStore } from "../tables-sink.ts";
import { onFile } from "./local-file.ts";

export interface SqliteTablesOptions {
  readonly db: Database;
  /** Of the file, for people. */
  readonly path: string;
  /** Throws if the file is gone, and with it what is written. */
  readonly checkFiles: () => void;
  readonly gatewayId: string;
  readonly clock: Clock;
}

export function createSqliteTables({
  db,
  path,
  checkFiles,
  gatewayId,
  clock,
}: SqliteTablesOptions): TablesStore {
  const rows = rowWriter(db);
  const claim = claimer(db);
  const position = db.query<PositionRow, [string]>("SELECT * FROM sluice_position WHERE epoch = ?");
  const putPosition = db.query("INSERT OR REPLACE INTO sluice_position VALUES (?, ?, ?, ?, ?, ?, ?, ?)");

  const store = db.transaction(({ epoch, plan }: Part): Position => {
    const row = position.get(epoch);
    const { claims, writes } = plan(row ? positionOf(row) : undefined);
    const written = writes(claim(claims));
    const { seq, totals } = written.after;
    if (written.isStored) return written.after;
    rows(written.rows);
    const { delivered, ignored, refused, skipped } = totals;
    const at = timeText(clock.wallMs(), 0);
    putPosition.run(epoch, gatewayId, seq, delivered, ignored, refused, skipped, at);
    written.refuse?.();
    return written.after;
  });

  return {
    name: "local",
    remedy: "no other program has its file locked, and that the disk works",
    batchMax: 5000,
    batchBytesMax: 8 * 1024 * 1024,
    lingerMs: 250,
    deadlineMs: 30_000,
    positions: (epochs) => onFile(db, () => epochs.flatMap((epoch) => position.get(epoch) ?? [])),
    async transact(part) {
      // Nothing else in it waits: a backlog would be one turn, in which no timer runs and nobody is answered.
      await setImmediate();
      const write = () => {
        checkFiles();
        return store.immediate(part);
      };
      return onFile(db, write);
    },
    probe: () =>
      onFile(db, () => {
        position.get("");
        return `SQLite at ${path}`;
      }),
  };
}

function rowWriter(db: Database): (entries: readonly Entry[]) => void {
  const columns = "ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type";
  const raw = db.query(
    `INSERT INTO raw_events (${columns}, accepted, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const quarantined = db.query(
    `INSERT INTO quarantine_events (${columns}, reason, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const count = db.query(
    `INSERT INTO quarantine_counters_minute (bucket_minute, tenant_id, reason, cnt) VALUES (?, ?, ?, ?)
     ON CONFLICT (bucket_minute, tenant_id, reason) DO UPDATE SET cnt = cnt + excluded.cnt`,
  );
  return (entries) => {
    for (const entry of entries) {
      const common = commonColumns(entry);
      if (isRaw(entry)) raw.run(...common, entry.kind === "event" ? 1 : 0, rawPayload(entry));
      if (isQuarantined(entry)) quarantined.run(...common, entry.reason, entry.payload);
    }
    for (const c of countRejects(entries)) count.run(c.bucketMinute, c.tenantId, c.reason, c.cnt);
  };
}

/** Returns a function that removes the rows that entries replace, and returns the ids of those that were there. */
function claimer(db: Database): (claims: readonly Replaced[]) => number[] {
  // To the millisecond, which is what an entry knows of its arrival.
  const remove = db.query("DELETE FROM quarantine_events WHERE id = ? AND ingested_at LIKE ?");
  const isThere = ({ id, receivedMs }: Replaced) =>
    remove.run(id, `${timeText(receivedMs, 0).slice(0, 23)}%`).changes > 0;
  return (claims) => claims.filter(isThere).map(({ id }) => id);
}

function commonColumns(entry: Entry): (string | null)[] {
  const { topic, tenantId, siteId, deviceId, msgType } = entry;
  return [timeText(entry.receivedMs, 0), eventTime(entry), topic, tenantId, siteId, deviceId, msgType];
}
