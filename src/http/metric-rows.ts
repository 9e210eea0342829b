/** The metrics that are one number of /stats each: of the gateway, of a sink, of a source. metric-table.ts has the others. */
import type { Measurements } from "../admin/measurements.ts";

export type Type = "counter" | "gauge";
type Value = (m: Measurements) => unknown;
export type Row<V = string> = readonly [type: Type, name: string, help: string, value: V];

/** One number per gateway: given by a function, or by its path in /stats. */
export const perGateway: readonly Row<string | Value>[] = [
  ["gauge", "uptime_seconds", "Time since the start", "uptime_seconds"],
  ["gauge", "balanced", "1 while the books balance", "balanced"],
  ["gauge", "clock_believed", "1 while the host's clock is believed", "clock.believed"],
  ["counter", "received", "Messages taken in", "ingest.received"],
  ["counter", "accepted", "Messages accepted as events", "ingest.accepted"],
  ["counter", "duplicate", "Redelivered messages that were recognised", "ingest.duplicate"],
  ["gauge", "judging", "Messages in memory, or on disk without a verdict", "ingest.judging"],
  ["gauge", "ingest_deferred", "Messages on disk that wait for the registry or the clock", "ingest.deferred"],
  ["counter", "ingest_split", "Of the messages received, further events of one message", "ingest.split"],
  ["counter", "ingest_replayed", "Dead letters that an operator replayed", "ingest.replayed"],
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
  [
    "gauge",
    "spool_min_free_bytes",
    "What stays free on the spool's disk, SPOOL_MIN_FREE_BYTES",
    "spool.free_bytes_min",
  ],
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
export const perSink: readonly Row[] = [
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
export const perSource: readonly Row[] = [
  ["gauge", "source_connected", "1 while the source can take messages", "connected"],
  ["counter", "source_reconnects", "Connections lost", "reconnects"],
  ["gauge", "source_unacknowledged", "Messages received and not yet acknowledged", "unacknowledged"],
  [
    "counter",
    "source_refused_connects",
    "Connections that the embedded broker or HTTP ingest refused, or that got no TLS at the broker",
    "refused_connects",
  ],
  [
    "counter",
    "source_broker_dropped",
    "Messages that the broker says it dropped, for whichever of its clients",
    "broker_dropped",
  ],
  ["counter", "source_lost", "Records that Kafka removed before they were read", "lost"],
  ["counter", "source_not_passed_on", "Messages that a slow subscriber did not get", "not_passed_on"],
];

function times(value: unknown, factor: number): number | undefined {
  return typeof value === "number" ? value * factor : undefined;
}
