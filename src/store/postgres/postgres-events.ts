/**
 * raw_events in PostgreSQL as it is read back. The newest go page by page, by (ingested_at, id), for which the index serves that
 * existing tables have, (accepted, ingested_at desc); a cursor would hold a transaction open for as long as its reader takes.
 */
import {
  type EventRow,
  type EventTable,
  entryOfRow,
  type IndexedEvents,
  type SeenDevice,
} from "../../core/recent.ts";
import { arrayText } from "./literals.ts";
import { end, openClient, type Postgres, type Transaction } from "./postgres-client.ts";
import { whenTablesExist } from "./migrate.ts";

const pageRows = 2_000;
const indexName = "raw_events_device_ingested_idx";

/** bigint comes as text. */
type Row = {
  [K in keyof EventRow]: EventRow[K] extends number
    ? string
    : EventRow[K] extends number | null
      ? string | null
      : EventRow[K];
};

const columns = (
  of: string,
) => `${of}id, (extract(epoch from ${of}ingested_at) * 1000000)::bigint as "ingestedMicros",
  case when isfinite(${of}event_ts) then (extract(epoch from ${of}event_ts) * 1000000)::bigint end as "eventMicros",
  ${of}topic, ${of}tenant_id as "tenantId", ${of}site_id as "siteId", ${of}device_id as "deviceId",
  ${of}msg_type as "msgType", ${of}payload::text as payload`;

export function createPostgresEvents(db: Postgres): EventTable {
  const tablesExist = whenTablesExist(db, []);

  function page(since: string, before: Row | undefined): Promise<Row[]> {
    const micros = before?.ingestedMicros ?? "9000000000000000";
    return db.query(
      "reading the newest events",
      (sql) => sql<Row[]>`select ${sql.unsafe(columns(""))} from raw_events
        where accepted and ingested_at >= ${since}::timestamptz
          and ingested_at <= ${time(sql, micros)}
          and (ingested_at, id) < (${time(sql, micros)}, ${before?.id ?? "9223372036854775807"}::bigint)
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
    async indexed() {
      await tablesExist();
      return (await hasIndex(db)) ? indexedEvents(db) : undefined;
    },
    async createIndex() {
      await tablesExist();
      if (await hasIndex(db)) return [];
      // Without a deadline: of a large table it takes as long as it takes, and hinders no insert meanwhile.
      const sql = openClient(db.options, { max: 1 });
      try {
        await sql.unsafe(noLimits);
        const [table] = await sql.unsafe<{ how: string }[]>(howToIndex);
        const how = table?.how ?? "";
        // One that was interrupted is there, and invalid.
        await sql.unsafe(`drop index ${how} if exists ${indexName}`);
        await sql.unsafe(
          `create index ${how} ${indexName} on raw_events (tenant_id, device_id, ingested_at desc) where accepted`,
        );
      } finally {
        await end(sql, 0);
      }
      return [`created index ${indexName}`];
    },
  };
}

/** Of the role, or of the database. PostgreSQL 17 has the third. The last is off by '0', too. */
const noLimits = `select set_config(name, '0', false) from pg_settings
  where name in ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'default_transaction_read_only')`;

/** A table that is divided into partitions is indexed while its writers wait: what is for it is in the spool. */
const howToIndex = `select case relkind when 'p' then '' else 'concurrently' end as how
  from pg_class where oid = to_regclass('raw_events')`;

/** Also one of your own serves, if it leads with the same columns. */
async function hasIndex(db: Postgres): Promise<boolean> {
  const rows = await db.query(
    "looking for the index of the look-up",
    (sql) => sql`select 1 from pg_index i
      where i.indrelid = to_regclass('raw_events') and i.indisvalid
        and coalesce(btrim(pg_get_expr(i.indpred, i.indrelid), '"'), 'accepted') = 'accepted'
        and array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (num, nr)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num
          order by k.nr limit 3) = array['tenant_id', 'device_id', 'ingested_at']`,
  );
  return rows.length > 0;
}

function indexedEvents(db: Postgres): IndexedEvents {
  return {
    async newestOf(ids, sinceMs, each) {
      const since = new Date(sinceMs).toISOString();
      const rows = await db.query(
        "reading the newest events of some devices",
        (sql) => sql<Row[]>`select e.* from unnest(${arrayText(ids.map((id) => id.tenantId))}::text[],
            ${arrayText(ids.map((id) => id.deviceId))}::text[]) as wanted (tenant_id, device_id)
          cross join lateral (select ${sql.unsafe(columns("r."))} from raw_events r
            where r.tenant_id = wanted.tenant_id and r.device_id = wanted.device_id and r.accepted
              and r.ingested_at >= ${since}::timestamptz
            order by r.ingested_at desc limit ${each}) e`,
      );
      return rows.map((row) => entryOfRow(numbers(row)));
    },
    async lastSeen({ tenantId = null, sinceMs, after, limit }) {
      const since = new Date(sinceMs).toISOString();
      const afterMs = after?.seenMs ?? null;
      const rows = await db.query(
        "listing devices by when they were last heard",
        (sql) => sql<SeenDevice[]>`select * from (
            select d.tenant_id as "tenantId", d.device_id as "deviceId",
              floor(extract(epoch from e.ingested_at) * 1000)::float8 as "seenMs"
            from device_registry d cross join lateral (select r.ingested_at from raw_events r
              where r.tenant_id = d.tenant_id and r.device_id = d.device_id and r.accepted
                and r.ingested_at >= ${since}::timestamptz
              order by r.ingested_at desc limit 1) e
            where ${tenantId}::text is null or d.tenant_id = ${tenantId}::text) seen
          where ${afterMs}::float8 is null or "seenMs" < ${afterMs}::float8
            or ("seenMs" = ${afterMs}::float8 and ("tenantId" || '/' || "deviceId") collate "C"
              > ${`${after?.tenantId}/${after?.deviceId}`}::text collate "C")
          order by "seenMs" desc, ("tenantId" || '/' || "deviceId") collate "C" limit ${limit}`,
      );
      return [...rows];
    },
  };
}

function time(sql: Transaction, micros: string) {
  return sql`(to_timestamp(0) + ${micros}::bigint * interval '1 microsecond')`;
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
