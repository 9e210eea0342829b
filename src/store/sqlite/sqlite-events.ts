/** raw_events in the local file as it is read back, the newest first; a page is one short call, so that nothing waits for long. */
import type { Database } from "bun:sqlite";
import { type EventTable, entryOfRow } from "../../core/recent.ts";

const pageRows = 1_000;

interface Row {
  readonly id: number;
  /** ISO 8601 in UTC, to the microsecond. */
  readonly ingestedAt: string;
  readonly eventTs: string | null;
  readonly topic: string;
  readonly tenantId: string;
  readonly siteId: string | null;
  readonly deviceId: string;
  readonly msgType: string | null;
  readonly payload: string;
}

export function createSqliteEvents(db: Database): EventTable {
  const page = db.query<Row, [string, string, number]>(
    `SELECT id, ingested_at AS ingestedAt, event_ts AS eventTs, topic, tenant_id AS tenantId, site_id AS siteId,
       device_id AS deviceId, msg_type AS msgType, payload
     FROM raw_events
     WHERE accepted = 1 AND ingested_at >= ? AND (ingested_at, id) < (?, ?)
       AND tenant_id IS NOT NULL AND device_id IS NOT NULL
     ORDER BY ingested_at DESC, id DESC LIMIT ${pageRows}`,
  );

  return {
    async *recent(sinceMs) {
      const since = new Date(sinceMs).toISOString();
      let rows = page.all(since, "~", 0);
      while (rows.length > 0) {
        yield rows.map((row) =>
          entryOfRow({
            ...row,
            ingestedMicros: micros(row.ingestedAt),
            eventMicros: row.eventTs === null ? null : micros(row.eventTs),
          }),
        );
        const last = rows.at(-1);
        // The reader may work on at once: others have their turn first.
        await Bun.sleep(0);
        rows = last && rows.length === pageRows ? page.all(since, last.ingestedAt, last.id) : [];
      }
    },
  };
}

/** As rows.ts writes times: to the microsecond. */
function micros(text: string): number {
  return Date.parse(`${text.slice(0, 23)}Z`) * 1000 + Number(text.slice(23, 26) || 0);
}
