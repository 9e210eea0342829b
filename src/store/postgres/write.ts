/**
 * Rows into PostgreSQL, two ways: COPY for a whole batch, and INSERT statements per entry, for the trial (trial.ts) and for
 * tables that COPY does not write: a view, or row-level security.
 *
 * The values of an INSERT are literals, which take a column's type as COPY's text does, whatever type a site has given it.
 */
import { arrayText, literal } from "./literals.ts";
import type { Request } from "./postgres-client.ts";
import type { Entry } from "../../core/entry.ts";
import { copyData, copyQuarantine, copyRaw, hasRows, quarantineRows, rawRows } from "./copy.ts";
import {
  countRejects,
  eventTime,
  isQuarantined,
  isRaw,
  rawPayload,
  timeText,
  type RejectCount,
} from "../rows.ts";

/** The request that stores these entries; no statement if none has a row. */
export type Write = (entries: readonly Entry[]) => Request;

export type Table = "raw_events" | "quarantine_events" | "quarantine_counters_minute";

/** The tables in which an entry has a row. */
export function tablesOf(entry: Entry): Table[] {
  const tables: Table[] = isRaw(entry) ? ["raw_events"] : [];
  if (isQuarantined(entry)) tables.push("quarantine_events");
  if (entry.kind === "reject") tables.push("quarantine_counters_minute");
  return tables;
}

export const writeByCopy: Write = (entries) => {
  const copied = [
    { statement: copyRaw, rows: rawRows },
    { statement: copyQuarantine, rows: quarantineRows },
  ].filter(({ rows }) => hasRows(entries, rows));
  const counts = countRejects(entries);
  const statements = copied.map(({ statement }) => statement);
  if (counts.length > 0) statements.push(countsInsert(counts));
  return { statements, copies: copied.map(({ rows }) => copyData(entries, rows)) };
};

/** Rejects are counted once for all, as by COPY: under which tenant may depend on the entries around. */
export const writeByInsert: Write = (entries) => ({
  statements: [...entries.flatMap(rowInserts), ...countRejects(entries).map(countInsert)],
  copies: [],
});

function countsInsert(counts: readonly RejectCount[]): string {
  const column = (valueOf: (count: RejectCount) => string | number) =>
    literal(arrayText(counts.map(valueOf)));
  return `insert into quarantine_counters_minute as c (bucket_minute, tenant_id, reason, cnt)
    select * from unnest(${column((c) => c.bucketMinute)}::timestamptz[], ${column((c) => c.tenantId)}::text[],
      ${column((c) => c.reason)}::text[], ${column((c) => c.cnt)}::bigint[])
    on conflict (bucket_minute, tenant_id, reason) do update set cnt = c.cnt + excluded.cnt`;
}

/** The statements that store one entry by itself. */
export function insertsOf(entry: Entry): string {
  return [...rowInserts(entry), ...countRejects([entry]).map(countInsert)].join(";\n");
}

const columns = "ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type";

function rowInserts(entry: Entry): string[] {
  const statements: string[] = [];
  if (isRaw(entry)) {
    const accepted = entry.kind === "event" ? "t" : "f";
    statements.push(
      `insert into raw_events (${columns}, accepted, payload) values ${row(entry, accepted, rawPayload(entry))}`,
    );
  }
  if (isQuarantined(entry)) {
    statements.push(
      `insert into quarantine_events (${columns}, reason, payload) values ${row(entry, entry.reason, entry.payload)}`,
    );
  }
  return statements;
}

function countInsert({ bucketMinute, tenantId, reason, cnt }: RejectCount): string {
  return `insert into quarantine_counters_minute as c (bucket_minute, tenant_id, reason, cnt)
    values (${literal(bucketMinute)}, ${literal(tenantId)}, ${literal(reason)}, ${cnt})
    on conflict (bucket_minute, tenant_id, reason) do update set cnt = c.cnt + excluded.cnt`;
}

function row(entry: Entry, ...last: readonly string[]): string {
  const { receivedMs, topic, tenantId, siteId, deviceId, msgType } = entry;
  const common = [timeText(receivedMs, 0), eventTime(entry), topic, tenantId, siteId, deviceId, msgType];
  return `(${[...common, ...last].map(literal).join(", ")})`;
}
