/**
 * Rows into PostgreSQL, two ways: COPY for a whole batch, and INSERT statements per entry, for the trial (trial.ts) and for
 * tables that COPY does not write: a view, or row-level security.
 *
 * The values of an INSERT are literals, which take a column's type as COPY's text does, whatever type a site has given it.
 */
import { arrayText, copy, literal, type Transaction } from "./postgres-client.ts";
import type { Entry } from "../../core/entry.ts";
import { copyQuarantine, copyRaw, quarantineRows, rawRows } from "./copy.ts";
import {
  countRejects,
  eventTime,
  isQuarantined,
  isRaw,
  rawPayload,
  timeText,
  type RejectCount,
} from "../rows.ts";

export type Write = (tx: Transaction, entries: readonly Entry[]) => Promise<void>;

export type Table = "raw_events" | "quarantine_events" | "quarantine_counters_minute";

/** The tables in which an entry has a row. */
export function tablesOf(entry: Entry): Table[] {
  const tables: Table[] = isRaw(entry) ? ["raw_events"] : [];
  if (isQuarantined(entry)) tables.push("quarantine_events");
  if (entry.kind === "reject") tables.push("quarantine_counters_minute");
  return tables;
}

export const writeByCopy: Write = async (tx, entries) => {
  const raw = rawRows(entries);
  if (raw !== "") await copy(tx, copyRaw, raw);
  const quarantined = quarantineRows(entries);
  if (quarantined !== "") await copy(tx, copyQuarantine, quarantined);
  const counts = countRejects(entries);
  if (counts.length === 0) return;
  await tx`insert into quarantine_counters_minute as c (bucket_minute, tenant_id, reason, cnt)
    select * from unnest(${arrayText(counts.map((c) => c.bucketMinute))}::timestamptz[],
      ${arrayText(counts.map((c) => c.tenantId))}::text[], ${arrayText(counts.map((c) => c.reason))}::text[],
      ${arrayText(counts.map((c) => c.cnt))}::bigint[])
    on conflict (bucket_minute, tenant_id, reason) do update set cnt = c.cnt + excluded.cnt`;
};

/** Rejects are counted once for all, as by COPY: under which tenant may depend on the entries around. */
export const writeByInsert: Write = async (tx, entries) => {
  const statements = [...entries.flatMap(rowInserts), ...countRejects(entries).map(countInsert)];
  if (statements.length > 0) await tx.unsafe(statements.join(";\n"));
};

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
