/**
 * `/stats` and the stats line of the log, computed when asked.
 *
 * `balanced` compares counts that are kept apart: what came in with what became of it, the intake's with the spool's, and
 * each sink's with what it was offered.
 */
import { percentilesOf } from "../core/histogram.ts";
import { logLinesLost } from "../core/log/log.ts";
import type { SinkStats } from "../core/sink.ts";
import type { Drain } from "../drain/drain.ts";
import { version } from "../version.ts";
import { cacheStatsOf } from "./cache-stats.ts";
import { readinessOf, unlessDiskFails } from "./readiness.ts";
import type { ViewedParts } from "./viewed-parts.ts";
import type { IngestStats, SinkView, SpoolStats, Stats } from "./measurements.ts";

export function statsOf(parts: ViewedParts): Stats {
  const { gatewayId, clock, policy, cache, lookup } = parts;
  const { watchdog, processWatch, attention, history, retention } = parts.watches();
  const sources = parts.sources.map((source) => ({ ...source.status() }));
  const drained = parts.drains.map((drain) => ({ drain, stats: drain.stats() }));
  const waiting = Math.max(0, ...drained.map(({ stats }) => stats.waiting));
  const ready = readinessOf(parts);
  const facts = {
    sources,
    balanced: balanced(
      parts,
      drained.map(({ stats }) => stats),
    ),
    spool: spoolStats(parts, waiting),
    sinks: Object.fromEntries(
      drained.map(({ drain, stats }) => [drain.sink.name, sinkStats(parts, stats, drain)]),
    ),
    certificates: parts.certificates().map(({ setting, endsSeconds }) => ({
      setting,
      ends_at: new Date(endsSeconds * 1000).toISOString(),
    })),
    watchdog: { progressing: watchdog.isProgressing(), stalls: watchdog.stalls() },
    samples: history.samples(),
    sinkRemedies: new Map(
      parts.drains.flatMap(({ sink: { name, remedy } }) => (remedy === undefined ? [] : [[name, remedy]])),
    ),
  };
  return {
    version,
    gateway_id: gatewayId,
    uptime_seconds: Math.floor((clock.monoMs() - parts.startedMonoMs) / 1000),
    balanced: facts.balanced,
    attention: attention.now(facts, ready),
    parts: attention.partStates(facts, ready),
    mode: policy.get().mode,
    ingest: ingestStats(parts),
    // From the time when a gateway had one source: dashboards still read it.
    source: sources[0],
    sources,
    http: { wrong_tokens: parts.attempts.total() },
    clock: { believed: clock.doubt() === null, time_known: clock.isTimeKnown(), detail: clock.doubt() },
    certificates: facts.certificates,
    log: { lines_lost: logLinesLost() },
    process: processWatch.stats(),
    watchdog: facts.watchdog,
    auth_cache: cacheStatsOf(cache, lookup),
    registry: lookup.stats(),
    spool: facts.spool,
    ...(retention && { local_store: retention.stats() }),
    sinks: facts.sinks,
  };
}

/** @param waiting entries for the sink that is furthest behind */
function spoolStats(parts: ViewedParts, waiting: number): SpoolStats {
  const { spool, bytesMax, freeBytesMin } = parts;
  const letters = unlessDiskFails(() => spool.deadLetters.totals()) ?? { count: 0, bytes: 0 };
  return {
    entries: waiting,
    bytes: spool.bytes,
    bytes_max: bytesMax,
    oldest_age_seconds: Math.max(0, ...parts.drains.map((drain) => oldestAgeSeconds(parts, drain))),
    last_seq: spool.head,
    free_disk_bytes: unlessDiskFails(() => spool.freeDiskBytes) ?? null,
    free_bytes_min: freeBytesMin,
    dead_letters: letters.count,
    dead_letters_bytes: letters.bytes,
    dead_letters_discarded: spool.deadLetters.discarded,
    ...parts.watches().outlook.stats(),
  };
}

function ingestStats({ books, ingest, policy }: ViewedParts): IngestStats {
  const open = ingest.openEntries;
  return {
    ...books.onDisk(open),
    judging: ingest.inMemory + open.filter(({ kind }) => kind !== "deferred").length + books.awaiting,
    deferred: books.awaiting,
    replayed: books.replayed,
    split: books.furtherEvents,
    telemetry_without_metrics: books.withoutMetrics(open),
    held: ingest.held,
    held_reason: ingest.heldReason,
    latency_ms: percentilesOf(ingest.latency.stats()),
    settings_mistakes: policy.mistakes(),
    since_start: books.sinceStart(open),
  };
}

function sinkStats(parts: ViewedParts, stats: SinkStats, drain: Drain): SinkView {
  return {
    ...stats,
    oldest_age_seconds: oldestAgeSeconds(parts, drain),
    latency_ms: percentilesOf(drain.latency.stats()),
    ...drain.sink.stats?.(),
  };
}

/** Of what waits for a sink. */
function oldestAgeSeconds({ spool, clock }: ViewedParts, { progress }: Drain): number {
  const oldestMs = unlessDiskFails(() => spool.receivedMsAfter(progress.waitsFrom - 1));
  return oldestMs === undefined ? 0 : Math.max(0, Math.floor((clock.wallMs() - oldestMs) / 1000));
}

function balanced({ books, ingest, spool }: ViewedParts, drains: readonly SinkStats[]): boolean {
  const intake = books.balancedWith(ingest.inMemory);
  const onDisk = spool.head === books.spooled - ingest.openEntries.length;
  const sinks = drains.every(
    (d) =>
      d.spooled <= spool.head && d.spooled === d.delivered + d.ignored + d.refused + d.skipped + d.waiting,
  );
  return intake && onDisk && sinks;
}

/** The stats line of the log, under the names that operators of the replaced services know. */
export function statsLine(parts: ViewedParts): Record<string, unknown> {
  const { ingest, auth_cache, spool, sinks, balanced: isBalanced, mode } = statsOf(parts);
  const { payloadBytesMax, rateLimitRps, rateLimitBurst } = parts.policy.get();
  const influx = sinks["influx"];
  return {
    received: ingest.received,
    accepted: ingest.accepted,
    rejected: ingest.rejected,
    duplicate: ingest.duplicate,
    queue: ingest.judging,
    spool_entries: spool.entries,
    spool_bytes: spool.bytes,
    offline_hours_left: spool["offline_hours_left"],
    drain_seconds_left: spool["drain_seconds_left"],
    balanced: isBalanced,
    mode,
    max_payload_bytes: payloadBytesMax,
    rate_limit_rps: rateLimitRps,
    rate_limit_burst: rateLimitBurst,
    auth_cache_hits: auth_cache.hits,
    auth_cache_misses: auth_cache.misses,
    auth_cache_size: auth_cache.size,
    ...(influx && {
      influx_batch_ok: influx["writes_ok"],
      influx_batch_err: influx["writes_err"],
      influx_flushes: influx["flushes"],
      influx_buffer: influx["buffer_depth"],
    }),
  };
}
