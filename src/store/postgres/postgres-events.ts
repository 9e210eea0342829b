/**
 * raw_events in PostgreSQL as it is read back, the newest first. Pages go by (ingested_at, id), for which the index serves that
 * existing tables have, (accepted, ingested_at desc); a cursor would hold a transaction open for as long as its reader takes.
 */
import { type EventRow, type EventTable, entryOfRow } from "../../core/recent.ts";
import type { Postgres } from "./client.ts";
import { whenTablesExist } from "./migrate.ts";

const pageRows = 2_000;

/** numeric and bigint come as text. */
type Row = {
  [K in keyof EventRow]: EventRow[K] extends number
    ? string
    : EventRow[K] extends number | null
      ? string | null
      : EventRow[K];
};

const eventColumns = `id, (extract(epoch from ingested_at) * 1000000)::bigint as "ingestedMicros",
  case when isfinite(event_ts) then (extract(epoch from event_ts) * 1000000)::bigint end as "eventMicros",
  topic, tenant_id as "tenantId", site_id as "siteId", device_id as "deviceId", msg_type as "msgType",
  payload::text as payload`;

export function createPostgresEvents(db: Postgres): EventTable {
  const tablesExist = whenTablesExist(db);

  async function page(since: string, before: Row | undefined): Promise<Row[]> {
    const micros = before?.ingestedMicros ?? "9000000000000000";
    return db.ask(
      "reading the newest events",
      (sql) => sql<Row[]>`
      select ${sql.unsafe(eventColumns)} from raw_events
      where accepted and ingested_at >= ${since}::timestamptz
        and ingested_at <= to_timestamp(0) + ${micros}::bigint * interval '1 microsecond'
        and (ingested_at, id) < (to_timestamp(0) + ${micros}::bigint * interval '1 microsecond',
          ${before?.id ?? "9223372036854775807"}::bigint)
        and tenant_id is not null and device_id is not null
      order by ingested_at desc, id desc limit ${pageRows}`,
    );
  }

  return {
    async *recent(sinceMs) {
      await tablesExist();
      const since = new Date(sinceMs).toISOString();
      let rows = await page(since, undefined);
      while (rows.length > 0) {
        yield rows.map((row) => entryOfRow(numbers(row)));
        rows = rows.length < pageRows ? [] : await page(since, rows.at(-1));
      }
    },
  };
}

function numbers(row: Row): EventRow {
  const { id, ingestedMicros, eventMicros } = row;
  return {
    ...row,
    id: Number(id),
    ingestedMicros: Number(ingestedMicros),
    eventMicros: eventMicros === null ? null : Number(eventMicros),
  };
}
