/**
 * raw_events in the local file as it is read back; each call is short, and all else has its turn before the next, so that nothing waits for
 * long. Of a list of who was heard last among 100,000 devices it takes a quarter of a second: thirty at once held the thread for half a minute.
 */
import { setImmediate } from "node:timers/promises";
import type { Database } from "bun:sqlite";
import type { Clock } from "../../core/clock.ts";
import type { Event } from "../../core/entry.ts";
import {
  type EventRow,
  type EventTable,
  entryOfRow,
  type IndexedEvents,
  type SeenDevice,
} from "../../core/recent.ts";
import { createBriefTurns, type Turns } from "../../core/turns.ts";
import { onFile } from "./local-file.ts";

const pageRows = 1_000;
const indexName = "raw_events_device_ingested_idx";

interface Row extends Omit<EventRow, "ingestedMicros" | "eventMicros"> {
  /** ISO 8601 in UTC, to the microsecond. */
  readonly ingestedAt: string;
  readonly eventTs: string | null;
}

const columns = `id, ingested_at AS ingestedAt, event_ts AS eventTs, topic, tenant_id AS tenantId,
  site_id AS siteId, device_id AS deviceId, msg_type AS msgType, payload`;

export function createSqliteEvents(db: Database, clock: Pick<Clock, "monoMs">): EventTable {
  const inTurn = createBriefTurns(clock);
  const page = db.query<Row, [string, string, number]>(
    `SELECT ${columns} FROM raw_events
     WHERE accepted = 1 AND ingested_at >= ? AND (ingested_at, id) < (?, ?)
       AND tenant_id IS NOT NULL AND device_id IS NOT NULL
     ORDER BY ingested_at DESC, id DESC LIMIT ${pageRows}`,
  );
  const index = db.query<{ name: string }, []>(
    `SELECT name FROM sqlite_schema WHERE type = 'index' AND name = '${indexName}'`,
  );

  return {
    async *recent(sinceMs) {
      const since = new Date(sinceMs).toISOString();
      let rows = page.all(since, "~", 0);
      while (rows.length > 0) {
        yield rows.map(eventOf);
        const last = rows.at(-1);
        // The reader may work on at once: others have their turn first.
        await Bun.sleep(0);
        rows = last && rows.length === pageRows ? page.all(since, last.ingestedAt, last.id) : [];
      }
    },
    // oxlint-disable-next-line typescript/require-await -- SQLite answers at once; what it throws is to reject
    indexed: async () => (index.get() === null ? undefined : indexedEvents(db, inTurn)),
    createIndex: () =>
      onFile(db, () => {
        if (index.get() !== null) return [];
        db.run(
          `CREATE INDEX ${indexName} ON raw_events (tenant_id, device_id, ingested_at DESC) WHERE accepted = 1`,
        );
        return [`created index ${indexName}`];
      }),
  };
}

function indexedEvents(db: Database, inTurn: Turns): IndexedEvents {
  // Named, for SQLite prefers the index of arrivals, and reads all of them for a device that has been silent.
  const newest = db.query<Row, [string, string, string, number]>(
    `SELECT ${columns} FROM raw_events INDEXED BY ${indexName}
     WHERE tenant_id = ? AND device_id = ? AND accepted = 1 AND ingested_at >= ?
     ORDER BY ingested_at DESC LIMIT ?`,
  );
  const seen = db.query<
    { tenantId: string; deviceId: string; seenAt: string },
    Record<string, string | number | null>
  >(
    `SELECT * FROM (
       SELECT tenant_id AS tenantId, device_id AS deviceId, substr((
         SELECT max(ingested_at) FROM raw_events r
         WHERE r.tenant_id = d.tenant_id AND r.device_id = d.device_id AND r.accepted = 1), 1, 23) AS seenAt
       FROM device_registry d WHERE $tenant IS NULL OR tenant_id = $tenant)
     WHERE seenAt >= $since AND ($after IS NULL OR seenAt < $after OR (seenAt = $after AND tenantId || '/' || deviceId > $name))
     ORDER BY seenAt DESC, tenantId || '/' || deviceId LIMIT $limit`,
  );

  const read = <T>(work: () => T): Promise<T> =>
    inTurn(async () => {
      const found = work();
      await setImmediate();
      return found;
    });

  return {
    newestOf: (ids, sinceMs, each) =>
      read(() => {
        const since = new Date(sinceMs).toISOString();
        return ids.flatMap(({ tenantId, deviceId }) =>
          newest.all(tenantId, deviceId, since, each).map(eventOf),
        );
      }),
    lastSeen: ({ tenantId, sinceMs, after, limit }) =>
      read(() => {
        const rows = seen.all({
          tenant: tenantId ?? null,
          since: text(sinceMs),
          after: after === undefined ? null : text(after.seenMs),
          name: `${after?.tenantId}/${after?.deviceId}`,
          limit,
        });
        return rows.map(({ seenAt, ...id }): SeenDevice => ({ ...id, seenMs: Date.parse(`${seenAt}Z`) }));
      }),
  };
}

/** To the ms, without zone: what `seenAt` is compared with. */
function text(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23);
}

function eventOf(row: Row): Event {
  const eventMicros = row.eventTs === null ? null : micros(row.eventTs);
  return entryOfRow({ ...row, ingestedMicros: micros(row.ingestedAt), eventMicros });
}

/** As rows.ts writes times: to the microsecond. */
function micros(of: string): number {
  return Date.parse(`${of.slice(0, 23)}Z`) * 1000 + Number(of.slice(23, 26) || 0);
}
