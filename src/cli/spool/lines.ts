/** A spool's entries as lines to carry away: NDJSON of everything, or line protocol of what InfluxDB would get. */
import { join } from "node:path";
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import { toColumns } from "../../core/columns.ts";
import type { Entry } from "../../core/entry.ts";
import { silentLog } from "../../core/log.ts";
import { grammarOf } from "../../sink/influx/api.ts";
import { createTypeMap } from "../../sink/influx/types.ts";
import { encodeLine, textOf, Unwritable } from "../../sink/influx/line.ts";

/** One line of an entry, without its end; null where the format has none for it. @throws Unwritable */
export type LineOf = (entry: Entry) => string | null;

/** The names of the columns; the payload as the JSON it is, every digit kept. */
export function ndjson(entry: Entry): string {
  const { seq, kind, topic, tenantId, siteId, deviceId, msgType, reason, detail, payload } = entry;
  const head = JSON.stringify({
    seq,
    kind,
    received_at: new Date(entry.receivedMs).toISOString(),
    event_ts: entry.eventMs === null ? null : new Date(entry.eventMs).toISOString(),
    event_ns: entry.eventNs,
    topic,
    ...toColumns({ tenantId, siteId, deviceId, msgType }),
    reason,
    detail,
  });
  return `${head.slice(0, -1)},"payload":${payload === "" ? "null" : payload}}`;
}

/**
 * With the column types that the influx sink has learned, so that the lines are those it would send. `tenantTag`: the tenant is
 * the first tag, for the lines of all tenants end up in one place.
 */
export function lineProtocol({ general, influx }: Config, tenantTag: boolean): LineOf {
  const types = createTypeMap({
    path: join(general.dataDir, "influx-types.json"),
    integerFields: influx.integerFields.split(",").map((name) => name.trim()),
    reserved: ["time", "device_id", "site_id", ...(tenantTag ? ["tenant_id"] : [])],
    clock: systemClock,
    log: silentLog,
  });
  const grammar = grammarOf("file", false, tenantTag);
  return (entry) => {
    const type = entry.msgType ?? "";
    if (entry.kind !== "event" || !["telemetry", "heartbeat"].includes(type)) return null;
    const database = influx.database.replaceAll("{tenant_id}", entry.tenantId ?? "");
    const line = encodeLine(entry, types.table(database, type), grammar);
    return line && textOf(line);
  };
}

/** A line, or why there is none. */
export function tryLine(lineOf: LineOf, entry: Entry): { line: string | null } | { why: string } {
  try {
    return { line: lineOf(entry) };
  } catch (error) {
    if (error instanceof Unwritable) return { why: error.message };
    throw error;
  }
}
