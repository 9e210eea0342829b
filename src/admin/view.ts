/**
 * What the gateway shows of itself: `/stats`, `/readyz` and the stats line of the log, computed when asked.
 *
 * `balanced` compares counts that are kept apart: what came in with what became of it, the intake's with the spool's, and
 * each sink's with what it was offered.
 */
import type { Attempts } from "../core/attempts.ts";
import { readFileSync } from "node:fs";
import { cacheStatsOf } from "./cache-stats.ts";
import type { DeviceActivity } from "./device-activity.ts";
import { createHeardDevices } from "./heard-devices.ts";
import { createCacheView, createDeviceStore, createSettingStore } from "./live-stores.ts";
import type { Books } from "../intake/books.ts";
import { logLinesLost } from "../core/log.ts";
import type { Source } from "../core/source.ts";
import type { HostClock } from "../intake/host-clock.ts";
import type { LatestParts } from "../core/latest-view.ts";
import type { Counted, GatewayView, Measurements, SinkView, Stats } from "./views.ts";
import type { Ingest } from "../intake/ingest.ts";
import type { LivePolicy } from "./policy.ts";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Lookup } from "../registry/contract.ts";
import type { Registry } from "../core/registry.ts";
import type { RecentRejects } from "./recent-rejects.ts";
import { setAsideAt } from "./review/set-aside.ts";
import type { ReviewQueues } from "./review/review-queues.ts";
import type { Retention } from "../core/store.ts";
import type { Drain } from "../drain/drain.ts";
import type { SinkStats } from "../core/sink.ts";
import type { LetterWatch } from "../spool/dead-letter-watch.ts";
import type { Spool } from "../spool/spool.ts";
import type { StatusWatch } from "./status-topic.ts";
import { readinessOf, unlessDiskFails } from "./readiness.ts";
import type { Outlook, Reading } from "./outlook.ts";
import { commit, version } from "../version.ts";
import { reasons } from "../judge/reasons.ts";
import { type Histogram, percentileMs } from "../core/histogram.ts";
import type { CertificateEnd } from "../core/pem.ts";
import type { Follow } from "./follow.ts";
import type { History } from "./history.ts";
import type { AttentionWatch } from "./attention.ts";
import type { ProcessWatch } from "./process.ts";
import type { Watchdog } from "../intake/watchdog.ts";

/** What looks at a gateway while it runs. */
export interface Watches {
  readonly outlook: Outlook;
  readonly watchdog: Watchdog;
  readonly processWatch: ProcessWatch;
  readonly attention: AttentionWatch;
  readonly history: History;
  readonly follow: Follow;
  readonly letterWatch: LetterWatch;
  readonly retention: Retention | undefined;
  readonly status: StatusWatch | undefined;
}

export interface ViewedParts {
  /** Only once it was started. */
  watches(): Watches;
  readonly gatewayId: string;
  readonly clock: HostClock;
  readonly startedMonoMs: number;
  readonly sources: readonly Source[];
  readonly counted: Counted;
  readonly attempts: Attempts;
  readonly ingest: Ingest;
  readonly books: Books;
  readonly policy: LivePolicy;
  readonly registry: Registry;
  readonly rejects: RecentRejects;
  readonly activity: DeviceActivity;
  readonly cache: DeviceAuthCache;
  readonly lookup: Lookup;
  readonly spool: Spool;
  readonly drains: readonly Drain[];
  readonly queues: ReviewQueues;
  /** Of the certificates that the settings name. */
  certificates(): readonly CertificateEnd[];
  readonly latest: LatestParts;
  readonly bytesMax: number;
  /** SPOOL_MIN_FREE_BYTES. */
  readonly freeBytesMin: number;
  /** Reads app_settings and puts it in force. */
  pollSettings(): Promise<void>;
}

export function viewOf(parts: ViewedParts): GatewayView {
  const { cache, lookup, registry, policy, activity, rejects, latest } = parts;
  const devices = createDeviceStore(registry, (ids) => lookup.watcher.devices(ids));
  return {
    counted: parts.counted,
    stats: () => statsOf(parts),
    ready: () => readinessOf(parts),
    measurements: () => measurementsOf(parts),
    reasons,
    history: () => parts.watches().history.samples(),
    follow: (device, follower) => parts.watches().follow.follow(device, follower),
    cache: createCacheView(cache, lookup),
    devices,
    heard: createHeardDevices({ devices, activity, rejects, latest }),
    settings: createSettingStore(registry, policy.get, parts.pollSettings),
    rejects,
    latest,
    deadLetters: parts.queues.deadLetters,
    setAside: setAsideAt(parts.drains, parts.clock),
    quarantine: parts.queues.quarantine,
  };
}

function measurementsOf(parts: ViewedParts): Measurements {
  const { drains, ingest, certificates } = parts;
  const counted = [...parts.sources, ...drains.map(({ sink }) => sink)];
  return {
    stats: statsOf(parts),
    ready: readinessOf(parts),
    commit,
    reasons: reasons.map(({ code }) => code),
    counters: new Set(counted.flatMap(({ counters = [] }) => counters)),
    intakeLatency: ingest.latency.stats(),
    sinkLatencies: Object.fromEntries(drains.map(({ sink, latency }) => [sink.name, latency.stats()])),
    certificates: certificates(),
  };
}

function statsOf(parts: ViewedParts): Stats {
  const { gatewayId, clock, books, ingest, policy, cache, lookup, spool } = parts;
  const { outlook, watchdog, processWatch, attention, retention } = parts.watches();
  const open = ingest.openEntries;
  const sources = parts.sources.map((source) => ({ ...source.status() }));
  const drained = parts.drains.map((drain) => ({ drain, stats: drain.stats() }));
  const waiting = Math.max(0, ...drained.map(({ stats }) => stats.waiting));
  const letters = unlessDiskFails(() => spool.deadLetters.totals()) ?? { count: 0, bytes: 0 };
  const ready = readinessOf(parts);
  const facts = {
    sources,
    balanced: balanced(
      parts,
      drained.map(({ stats }) => stats),
    ),
    spool: {
      entries: waiting,
      bytes: spool.bytes,
      bytes_max: parts.bytesMax,
      oldest_age_seconds: oldestAgeSeconds(parts, waiting),
      last_seq: spool.head,
      free_disk_bytes: unlessDiskFails(() => spool.freeDiskBytes) ?? null,
      free_bytes_min: parts.freeBytesMin,
      dead_letters: letters.count,
      dead_letters_bytes: letters.bytes,
      dead_letters_discarded: spool.deadLetters.discarded,
      ...outlook.stats(),
    },
    sinks: Object.fromEntries(
      drained.map(({ drain, stats }) => [drain.sink.name, sinkStats(parts, stats, drain)]),
    ),
    certificates: parts.certificates().map(({ setting, endsSeconds }) => ({
      setting,
      ends_at: new Date(endsSeconds * 1000).toISOString(),
    })),
    watchdog: { progressing: watchdog.isProgressing(), stalls: watchdog.stalls() },
  };
  return {
    version,
    gateway_id: gatewayId,
    uptime_seconds: Math.floor((clock.monoMs() - parts.startedMonoMs) / 1000),
    balanced: facts.balanced,
    attention: attention.now(facts, ready),
    parts: attention.partStates(facts, ready),
    mode: policy.get().mode,
    ingest: {
      ...books.onDisk(open),
      judging: ingest.inMemory + open.filter(({ kind }) => kind !== "deferred").length + books.awaiting,
      deferred: books.awaiting,
      replayed: books.replayed,
      split: books.furtherEvents,
      telemetry_without_metrics: books.withoutMetrics(open),
      held: ingest.held,
      held_reason: ingest.heldReason,
      latency_ms: percentiles(ingest.latency),
      settings_mistakes: policy.mistakes(),
      since_start: books.sinceStart(open),
    },
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

/** What the outlook goes by. */
export function readingOf(spool: Spool, drains: readonly Drain[]): Reading {
  const waitingEntries = Math.max(0, ...drains.map((drain) => drain.stats().waiting));
  return {
    spooledEntries: spool.head,
    spooledBytes: spool.appendedBytes,
    settledEntries: spool.head - waitingEntries,
    roomBytes: unlessDiskFails(() => spool.roomBytes) ?? 0,
    waitingEntries,
    writtenBytes: writtenBytes(),
  };
}

/** proc(5), /proc/pid/io: bytes that this process caused to be sent to the storage layer. Linux alone counts them. */
function writtenBytes(): number | undefined {
  try {
    const written = /^write_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1];
    return written === undefined ? undefined : Number(written);
  } catch {
    return undefined;
  }
}

function sinkStats(parts: ViewedParts, stats: SinkStats, drain: Drain): SinkView {
  return {
    ...stats,
    oldest_age_seconds: oldestAgeSeconds(parts, stats.waiting),
    latency_ms: percentiles(drain.latency),
    ...drain.sink.stats?.(),
  };
}

/** Since the start, as fine as the buckets are. */
function percentiles(latency: Histogram): { readonly p50: number | null; readonly p99: number | null } {
  const stats = latency.stats();
  return { p50: percentileMs(stats, 0.5), p99: percentileMs(stats, 0.99) };
}

/** Of the last `waiting` entries of the spool. */
function oldestAgeSeconds({ spool, clock }: ViewedParts, waiting: number): number {
  const oldestMs =
    waiting === 0 ? undefined : unlessDiskFails(() => spool.receivedMsAfter(spool.head - waiting));
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
