/** quarantine_events in PostgreSQL. */
import { toColumns, toFields, type Columns } from "../../core/columns.ts";
import { arrayText } from "./literals.ts";
import type { Postgres } from "./postgres-client.ts";
import { whenTablesExist } from "./migrate.ts";
import type { QuarantineFilter, QuarantineRow, QuarantineTable } from "../../core/quarantine-table.ts";

type Row = Omit<Columns<QuarantineRow>, "id"> & { id: string };

export function createPostgresQuarantine(db: Postgres): QuarantineTable {
  const tablesExist = whenTablesExist(db, []);

  async function list(filter: QuarantineFilter): Promise<QuarantineRow[]> {
    await tablesExist();
    const { reason = null, tenantId = null, deviceId = null, ids, since = null, until = null } = filter;
    const rows = await db.query(
      "reading the quarantine",
      (sql) => sql<Row[]>`
        select id, ${utc(sql, "ingested_at")} as ingested_at, ${utc(sql, "event_ts")} as event_ts, topic,
          tenant_id, site_id, device_id, msg_type, reason,
          payload::text as payload
        from quarantine_events
        where id > ${filter.after} and (${filter.upTo ?? null}::bigint is null or id <= ${filter.upTo ?? null}::bigint)
          and (${reason}::text is null or reason = ${reason}::text)
          and (${tenantId}::text is null or tenant_id = ${tenantId}::text)
          and (${deviceId}::text is null or device_id = ${deviceId}::text)
          and (${since}::timestamptz is null or ingested_at >= ${since}::timestamptz)
          and (${until}::timestamptz is null or ingested_at < ${until}::timestamptz)
          and (${ids === undefined} or id = any(${arrayText(ids ?? [])}::bigint[]))
        order by id limit ${filter.limit}`,
    );
    return rows.map((row) => ({ ...toFields(row), id: Number(row.id) }));
  }

  return {
    list,
    async lastId() {
      await tablesExist();
      const [row] = await db.query(
        "reading the quarantine",
        (sql) => sql<{ id: string | null }[]>`select max(id) as id from quarantine_events`,
      );
      return Number(row?.id ?? 0);
    },
    async remove(ids) {
      const gone = await db.transaction(
        "discarding from the quarantine",
        (tx) => tx`delete from quarantine_events where id = any(${arrayText(ids)}::bigint[])`,
      );
      return gone.count;
    },
    async divide(id, parts) {
      const text = JSON.stringify(parts.map((part) => toColumns(part)));
      const rows = await db.transaction(
        "dividing a row of the quarantine",
        (tx) => tx<{ id: string }[]>`
          with whole as (delete from quarantine_events where id = ${id} returning *)
          insert into quarantine_events
            (ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload)
          select whole.ingested_at, whole.event_ts, whole.topic, part.tenant_id, part.site_id, part.device_id,
            part.msg_type, whole.reason, part.payload::jsonb
          from whole, json_to_recordset(${text}::text::json) as part
            (tenant_id text, site_id text, device_id text, msg_type text, payload text)
          returning id`,
      );
      return rows.map((row) => Number(row.id));
    },
  };
}

/** A timestamptz as ISO 8601 text: a Date has no microseconds. */
function utc(sql: Parameters<Parameters<Postgres["query"]>[1]>[0], column: string) {
  return sql`to_char(${sql(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}
