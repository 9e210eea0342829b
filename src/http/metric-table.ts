/**
 * Every metric, as a table: name, type, unit and help stand beside the value they describe; the alert rules, the
 * dashboard and their tests use the same rows.
 *
 * All values come from one `Measurements`, which holds what /stats and /readyz show, so that no two answers can
 * disagree and nothing is counted twice; that is also why there is no metrics library here. Labels are reasons,
 * sinks, sources, parts and settings, all of them few and known at the start; never a device, a tenant or text from
 * outside.
 */
import { heldReasons } from "../core/held.ts";
import type { HistogramStats } from "../core/histogram.ts";
import type { Measurements, SinkView, Stats } from "../admin/measurements.ts";

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  /** Anything but a number or a boolean is left out: it is not known now. */
  readonly value: unknown;
}

interface Named {
  /** The name without the suffixes of its type (`_total`, `_bucket`). */
  readonly name: string;
  readonly help: string;
}

interface Plain extends Named {
  readonly type: Type;
  samples(m: Measurements): readonly Sample[];
}

/** Times in seconds, in the buckets of core/histogram.ts. */
interface Distribution extends Named {
  readonly type: "histogram";
  samples(m: Measurements): readonly { readonly labels: Labels; readonly value: HistogramStats }[];
}

/** A row of the tables below. */
export type Metric = Plain | Distribution;

type Type = "counter" | "gauge";
type Value = (m: Measurements) => unknown;
type Row<V = string> = readonly [type: Type, name: string, help: string, value: V];

/** One number per gateway: given by a function, or by its path in /stats. */
const single: readonly Row<string | Value>[] = [
  ["gauge", "uptime_seconds", "Time since the start", "uptime_seconds"],
  ["gauge", "balanced", "1 while the books balance", "balanced"],
  ["gauge", "clock_believed", "1 while the host's clock is believed", "clock.believed"],
  ["counter", "received", "Messages taken in", "ingest.received"],
  ["counter", "accepted", "Messages accepted as events", "ingest.accepted"],
  ["counter", "duplicate", "Redelivered messages that were recognised", "ingest.duplicate"],
  ["gauge", "judging", "Messages in memory, or on disk without a verdict", "ingest.judging"],
  ["gauge", "ingest_deferred", "Messages on disk that wait for the registry", "ingest.deferred"],
  ["counter", "ingest_split", "Of the messages received, further events of one message", "ingest.split"],
  ["counter", "ingest_replayed", "Rejected messages that an operator replayed", "ingest.replayed"],
  [
    "counter",
    "ingest_telemetry_without_metrics",
    "Telemetry accepted without a number that InfluxDB could take",
    "ingest.telemetry_without_metrics",
  ],
  ["counter", "http_wrong_tokens", "HTTP requests with a wrong token", "http.wrong_tokens"],
  ["counter", "log_lines_lost", "Log lines lost because nobody read them in time", "log.lines_lost"],
  ["counter", "watchdog_stalls", "Times that messages waited without a known reason", "watchdog.stalls"],
  ["gauge", "watchdog_progressing", "0 while messages wait without a known reason", "watchdog.progressing"],
  ["gauge", "registry_available", "1 while the registry answers", "registry.available"],
  [
    "gauge",
    "registry_changes_heard",
    "1 while the registry notifies of changes at once; 0: devices are read again every second",
    ({ stats }) => Object(stats["registry"]).changes_unheard === null,
  ],
  ["counter", "registry_queries", "Queries sent to the registry", "registry.queries"],
  ["counter", "registry_errors", "Queries that the registry did not answer", "registry.errors"],
  ["gauge", "registry_waiting", "Devices that wait for a look-up", "registry.waiting"],
  ["gauge", "auth_cache_size", "Devices cached", "auth_cache.size"],
  ["gauge", "auth_cache_max_size", "Most devices cached", "auth_cache.max_size"],
  ["counter", "auth_cache_hits", "Look-ups answered from memory", "auth_cache.hits"],
  ["counter", "auth_cache_misses", "Look-ups that went to the registry", "auth_cache.misses"],
  ["counter", "auth_cache_errors", "Look-ups that the registry did not answer", "auth_cache.errors"],
  [
    "counter",
    "auth_cache_stale_hits",
    "Look-ups answered past the TTL during an outage",
    "auth_cache.stale_hits",
  ],
  [
    "counter",
    "auth_cache_evictions",
    "Devices that left the cache to make room for others",
    "auth_cache.evictions",
  ],
  ["gauge", "spool_entries", "Entries that at least one sink has not settled", "spool.entries"],
  ["gauge", "spool_bytes", "Bytes of the spool on disk", "spool.bytes"],
  ["gauge", "spool_max_bytes", "Bound of the spool, SPOOL_MAX_BYTES", "spool.bytes_max"],
  ["gauge", "spool_free_disk_bytes", "Bytes free on the spool's disk", "spool.free_disk_bytes"],
  ["gauge", "spool_oldest_age_seconds", "Age of the oldest entry that waits", "spool.oldest_age_seconds"],
  ["counter", "spool_appended", "Entries ever written to the spool", "spool.last_seq"],
  ["gauge", "spool_dead_letters", "Entries that a sink refused for good", "spool.dead_letters"],
  ["gauge", "spool_dead_letters_bytes", "Bytes of the dead letters", "spool.dead_letters_bytes"],
  [
    "counter",
    "spool_dead_letters_discarded",
    "Dead letters removed for space or age",
    "spool.dead_letters_discarded",
  ],
  [
    "gauge",
    "spool_entries_per_second",
    "Entries per second, mean over ten minutes",
    "spool.entries_per_second",
  ],
  ["gauge", "spool_bytes_per_second", "Bytes per second, mean over ten minutes", "spool.bytes_per_second"],
  [
    "gauge",
    "spool_offline_left_seconds",
    "Time until the spool would be full if nothing were delivered",
    ({ stats }) => times(stats.spool["offline_hours_left"], 3600),
  ],
  [
    "gauge",
    "spool_drain_left_seconds",
    "Time until the slowest sink has caught up",
    "spool.drain_seconds_left",
  ],
  [
    "gauge",
    "event_loop_lag_seconds",
    "How late a timer ran, at worst, in the last minute",
    "process.event_loop_lag_seconds",
  ],
  // These names lack our prefix, as in every Prometheus client library.
  ["counter", "process_cpu_seconds", "User and system CPU time spent", "process.cpu_seconds"],
  ["gauge", "process_resident_memory_bytes", "Resident memory", "process.resident_bytes"],
  ["gauge", "process_open_fds", "Open file descriptors", "process.open_files"],
  ["gauge", "process_max_fds", "Most open file descriptors", "process.open_files_max"],
];

/** One number per sink, by its path in that sink's part of /stats. */
const perSink: readonly Row[] = [
  ["counter", "sink_delivered", "Entries delivered", "delivered"],
  ["counter", "sink_ignored", "Entries not meant for the sink", "ignored"],
  ["counter", "sink_refused", "Entries that the sink will never take", "refused"],
  [
    "counter",
    "sink_skipped",
    "Entries that left the spool before the sink had them: it was full, or what the sink had was lost",
    "skipped",
  ],
  ["counter", "sink_spooled", "Entries ever offered to the sink", "spooled"],
  ["gauge", "sink_waiting", "Entries not yet delivered to the sink", "waiting"],
  [
    "gauge",
    "sink_oldest_age_seconds",
    "Age of the oldest entry that waits for the sink",
    "oldest_age_seconds",
  ],
];

/** One number per source. */
const perSource: readonly Row[] = [
  ["gauge", "source_connected", "1 while the source can take messages", "connected"],
  ["counter", "source_reconnects", "Connections lost", "reconnects"],
  ["gauge", "source_unacknowledged", "Messages received and not yet acknowledged", "unacknowledged"],
  ["counter", "source_refused_connects", "Clients that the embedded broker refused", "refused_connects"],
  [
    "counter",
    "source_broker_dropped",
    "Messages that the broker says it dropped, for whichever of its clients",
    "broker_dropped",
  ],
  ["counter", "source_not_passed_on", "Messages that a slow subscriber did not get", "not_passed_on"],
];

/** The metrics of this gateway; those that only its sources and sinks have come last, named as in /stats. */
export function metricsOf({ stats, counters }: Measurements): readonly Metric[] {
  const type = (key: string) => (counters.has(key) ? "counter" : "gauge");
  const others = (of: string, counted: readonly object[], rows: readonly Row[]) =>
    ownOf(counted, rows).map((key): Row => [type(key), `${of}_${key}`, "As in /stats", key]);
  return [
    ...metrics,
    ...others("source", stats.sources, perSource).map(ofSources),
    ...others("sink", Object.values(stats.sinks), perSink).map(ofSinks),
  ];
}

/** The counts that have no row in a table. */
function ownOf(counted: readonly object[], rows: readonly Row[]): string[] {
  const promised = new Set(rows.map(([, , , path]) => path));
  return [...new Set(counted.flatMap((counts) => Object.keys(counts)))].filter((key) => !promised.has(key));
}

export const metrics: readonly Metric[] = [
  {
    type: "gauge",
    name: "build_info",
    help: "Which Sluice this is",
    samples: ({ stats, commit }) => [
      { labels: { version: stats.version, commit, gateway_id: stats.gateway_id }, value: 1 },
    ],
  },
  ...single.map(([type, name, help, value]): Metric => ({
    type,
    name,
    help,
    samples: (m) => [
      { labels: {}, value: typeof value === "string" ? at(m.stats, value.split(".")) : value(m) },
    ],
  })),
  {
    type: "counter",
    name: "rejected",
    help: "Messages that the judge rejected",
    // Every reason is shown from the start: if a series began with its first reject, its rate would miss that one.
    samples: ({ stats, reasons }) =>
      [...new Set([...reasons, ...Object.keys(stats.ingest.rejected)])].map((reason) => ({
        labels: { reason },
        value: stats.ingest.rejected[reason] ?? 0,
      })),
  },
  {
    type: "gauge",
    name: "ready",
    help: "1 while the part can do its work, as /readyz says",
    samples: ({ ready }) => ready.map(({ part, ok }) => ({ labels: { part }, value: ok })),
  },
  {
    type: "gauge",
    name: "intake_held",
    help: "1 while nothing is acknowledged, by the reason",
    samples: ({ stats }) =>
      heldReasons.map((reason) => ({
        labels: { reason },
        value: stats.ingest["held_reason"] === reason,
      })),
  },
  {
    type: "gauge",
    name: "certificate_expiry_timestamp_seconds",
    help: "When the first certificate in the file expires, in seconds since 1970",
    samples: ({ certificates }) =>
      certificates.map(({ setting, endsSeconds }) => ({ labels: { setting }, value: endsSeconds })),
  },
  ...perSource.map(ofSources),
  ...perSink.map(ofSinks),
  {
    type: "gauge",
    name: "sink_trouble",
    help: "1 while the sink, or one of its lanes, cannot deliver",
    samples: eachSink(({ trouble }) => trouble !== null),
  },
  {
    type: "gauge",
    name: "sink_alarms",
    help: "Lanes that stay blocked until somebody acts",
    samples: eachSink(({ alarms }) => (Array.isArray(alarms) ? alarms.length : undefined)),
  },
  {
    type: "histogram",
    name: "intake_latency_seconds",
    help: "Time from a message's arrival until it is on disk and may be acknowledged",
    samples: ({ intakeLatency }) => [{ labels: {}, value: intakeLatency }],
  },
  {
    type: "histogram",
    name: "sink_latency_seconds",
    help: "Time from a message's arrival until the sink has taken it",
    samples: ({ sinkLatencies }) =>
      Object.entries(sinkLatencies).map(([sink, value]) => ({ labels: { sink }, value })),
  },
];

function ofSources([type, name, help, key]: Row): Metric {
  return { type, name, help, samples: eachSource((source) => source[key]) };
}

function ofSinks([type, name, help, key]: Row): Metric {
  return { type, name, help, samples: eachSink((counts) => counts[key]) };
}

function eachSink(value: (counts: SinkView) => unknown): Plain["samples"] {
  return ({ stats }) =>
    Object.entries(stats.sinks).map(([sink, counts]) => ({ labels: { sink }, value: value(counts) }));
}

function eachSource(value: (status: Stats["sources"][number]) => unknown): Plain["samples"] {
  return ({ stats }) =>
    stats.sources.map((source) => ({ labels: { source: source.kind }, value: value(source) }));
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => Object(inner)[key], value);
}

function times(value: unknown, factor: number): number | undefined {
  return typeof value === "number" ? value * factor : undefined;
}
