/**
 * The local sink: the same tables in one SQLite file beside the spool, for a site without a PostgreSQL. The same
 * promise as the postgres sink: rows and position in one transaction. SQLite takes any text, so nothing is refused but what an operator puts aside.
 */
import type { Database } from "bun:sqlite";
import { systemClock, type Clock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import { openLocalStore } from "../schema.ts";
import { whenNotBusy } from "../../core/sqlite.ts";
import {
  advanced,
  baseOf,
  meant,
  outcomeOf,
  refusedOf,
  replacedBy,
  standingOf,
  stillWanted,
  type PositionRow,
  type Standing,
} from "../../core/position.ts";
import { countRejects, eventTime, isQuarantined, isRaw, rawPayload, reasonOf, timeText } from "../rows.ts";
import type { Delivery, Outcome, Position, Sink } from "../../core/sink.ts";

export interface LocalSinkOptions {
  /** The SQLite file, local.db in the data directory; made where it is missing. */
  readonly path: string;
  readonly gatewayId: string;
  readonly clock?: Clock;
}

/** @throws where the file cannot be opened or is damaged */
export function localSink({ path, gatewayId, clock = systemClock }: LocalSinkOptions): Sink {
  const db = openLocalStore(path);
  const write = writer(db);
  const known = new Map<string, number>();

  function positions(epochs: readonly string[]): Position[] {
    const rows = epochs.flatMap((epoch) => write.position.get(epoch) ?? []);
    known.clear();
    for (const row of rows) known.set(row.epoch, Number(row.seq));
    return rows.map((row) => ({ epoch: row.epoch, ...standingOf(row) }));
  }

  function putPosition(epoch: string, { seq, totals }: Standing): void {
    const { delivered, ignored, refused, skipped } = totals;
    const at = timeText(clock.wallMs(), 0);
    write.putPosition.run(epoch, gatewayId, seq, delivered, ignored, refused, skipped, at);
  }

  const store = db.transaction((delivery: Delivery): Standing => {
    const { entries, epoch, before } = delivery;
    const first = entries[0]?.seq ?? 0;
    const row = write.position.get(epoch);
    const base = baseOf(row ? standingOf(row) : undefined, known.get(epoch), delivery, first);
    const fresh = entries.filter((entry) => entry.seq > base.seq);
    const refused = refusedOf("local", fresh, delivery.aside);
    const wanted = write.takePlaces(
      fresh.filter((entry) => meant("local", entry) && !delivery.aside.has(entry.seq)),
    );
    const delivered = wanted.length;
    const ignored = fresh.length - delivered - refused.length;
    const settled = { delivered, ignored, refused: refused.length };
    const after = advanced(base, settled, entries.at(-1)?.seq ?? base.seq, before.skipped);
    outcomeOf(before, after.totals, entries.length);
    if (fresh.length === 0) return base;
    write.rows(wanted);
    putPosition(epoch, after);
    if (refused.length > 0) delivery.refuse(refused);
    return after;
  });

  return {
    name: "local",
    batchMax: 5000,
    batchBytesMax: 8 * 1024 * 1024,
    lingerMs: 250,
    deadlineMs: 30_000,
    whenFull: "hold",
    // oxlint-disable-next-line typescript/require-await -- SQLite answers at once; what it throws is to reject
    positions: async (epochs) => positions(epochs),
    async deliver(delivery): Promise<Outcome> {
      const standing = await whenNotBusy(() => store.immediate(delivery));
      known.set(delivery.epoch, standing.seq);
      return outcomeOf(delivery.before, standing.totals, delivery.entries.length);
    },
    // oxlint-disable-next-line typescript/require-await
    async probe() {
      write.position.get("");
      return `SQLite at ${path}`;
    },
    // oxlint-disable-next-line typescript/require-await
    close: async () => db.close(),
  };
}

/** The prepared statements. */
function writer(db: Database) {
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

  function rows(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const common = commonColumns(entry);
      if (isRaw(entry)) raw.run(...common, entry.kind === "event" ? 1 : 0, rawPayload(entry));
      if (isQuarantined(entry)) quarantined.run(...common, reasonOf(entry), entry.payload);
    }
    for (const c of countRejects(entries)) count.run(c.bucketMinute, c.tenantId, c.reason, c.cnt);
  }

  const takePlace = db.query("DELETE FROM quarantine_events WHERE id = ? AND ingested_at LIKE ?");

  /** Removes the rows in whose place entries come. @returns the entries that may be stored */
  function takePlaces(entries: readonly Entry[]): readonly Entry[] {
    // To the millisecond, which is what an entry knows of its arrival.
    const gone = replacedBy(entries).filter(
      ({ id, receivedMs }) => takePlace.run(id, `${timeText(receivedMs, 0).slice(0, 23)}%`).changes > 0,
    );
    return stillWanted(
      entries,
      gone.map(({ id }) => id),
    );
  }

  return {
    rows,
    takePlaces,
    position: db.query<PositionRow, [string]>("SELECT * FROM sluice_position WHERE epoch = ?"),
    putPosition: db.query("INSERT OR REPLACE INTO sluice_position VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
  };
}

function commonColumns(entry: Entry): (string | null)[] {
  const { topic, tenantId, siteId, deviceId, msgType } = entry;
  return [timeText(entry.receivedMs, 0), eventTime(entry), topic, tenantId, siteId, deviceId, msgType];
}
