/** A spool's entries as lines for an export: NDJSON of everything, or line protocol of what InfluxDB would get. */
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import { toColumns } from "../../core/columns.ts";
import type { Entry } from "../../core/entry.ts";
import { isoOf } from "../../core/text/iso.ts";
import { silentLog } from "../../core/log/log.ts";
import { grammarOf, stepNsOf } from "../../sink/influx/grammar.ts";
import { createEncoding } from "../../sink/influx/encoding.ts";
import { textOf } from "../../sink/influx/line.ts";
import { createLines, type Making } from "../../sink/influx/lines.ts";

export interface Made {
  /** In the order of the entries; an entry may have no line. */
  readonly lines: readonly string[];
  /** Entries that the format cannot hold, and why. */
  readonly impossible: readonly { readonly seq: number; readonly why: string }[];
}

/** Makes the lines of some entries, without line ends. */
export type Format = (entries: readonly Entry[]) => Made;

/** NDJSON with the names of the columns; the payload is copied as it is, with every digit. */
export const ndjson: Format = (entries) => ({ lines: entries.map(jsonOf), impossible: [] });

function jsonOf(entry: Entry): string {
  const { seq, kind, topic, tenantId, siteId, deviceId, msgType, reason, detail, payload } = entry;
  const head = JSON.stringify({
    seq,
    kind,
    received_at: new Date(entry.receivedMs).toISOString(),
    event_ts: isoOf(entry.eventMs),
    event_ns: entry.eventNs,
    topic,
    ...toColumns({ tenantId, siteId, deviceId, msgType }),
    reason,
    detail,
  });
  return `${head.slice(0, -1)},"payload":${payload === "" ? "null" : payload}}`;
}

/**
 * Line protocol as the influx sink would send it: with the types that it has learned, and two readings of a device at
 * the same time as far apart as the server that the settings name can tell, a nanosecond in general. What that server does not take, as
 * text or a name, is there all the same: it may be gone for good. `tenantTag`: the tenant becomes the first tag, because the lines of all tenants
 * end up in one place.
 */
export function lineProtocol({ general, influx }: Config, tenantTag: boolean): Format {
  const clock = systemClock;
  const { dataDir } = general;
  const { databaseOf, types, collisions } = createEncoding({
    ...{ settings: influx, dataDir, clock, log: silentLog, tenantTag, badName: null },
  });
  // No bound on how far a reading's time is from its arrival: an export leaves nothing behind.
  const { makeLines } = createLines({ types, collisions, clock, distanceMaxMs: 0 });
  const grammar = { ...grammarOf("file", false, tenantTag), stepNs: stepNsOf(influx.api) };
  const typeHints = new Map();

  return (entries) => {
    const made = [...Map.groupBy(entries, databaseOf)].flatMap(([database, some]) => {
      const making: Making = { database: database ?? "", grammar, shifts: new Map(), typeHints };
      return database === null ? [] : makeLines(some, making);
    });
    const lines = made.flatMap(({ fits, misfits }) => [...fits, ...misfits]);
    return {
      lines: lines.toSorted((a, b) => a.entry.seq - b.entry.seq).map(textOf),
      impossible: made.flatMap(({ refused }) => refused.map(({ entry: { seq }, why }) => ({ seq, why }))),
    };
  };
}
