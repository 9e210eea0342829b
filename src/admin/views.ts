/**
 * What the HTTP surface sees of a gateway. view.ts implements it; a test needs ten lines to fake it.
 *
 * The shape of `Stats` is the JSON of GET /stats as it stands: dashboards and scripts rely on its names.
 */
import type { CacheStats } from "./cache-stats.ts";
import type { SetAside } from "./review/set-aside.ts";
import type { DeadLetterQueue } from "./review/dead-letter-rows.ts";
import type { HeardDevices } from "./heard-devices.ts";
import type { ReasonRow } from "../judge/reasons.ts";
import type { Follow } from "./follow.ts";
import type { Sample } from "./history.ts";
import type { LatestParts } from "../core/latest-view.ts";
import type { Attention, PartState } from "./attention.ts";
import type { PartReadiness } from "./readiness.ts";
import type { RejectRow } from "./recent-rejects.ts";
import type { CertificateEnd } from "../core/pem.ts";
import type { SinkStats } from "../core/sink.ts";
import type { DeviceId, DeviceStore } from "../core/device.ts";
import type { Counts } from "../core/kind.ts";
import type { HistogramStats } from "../core/histogram.ts";
import type { QuarantineQueue } from "./review/quarantine-rows.ts";
import type { SettingStore } from "./setting-store.ts";

/** The stats of a sink, and what only this sink counts. */
export interface SinkView extends SinkStats {
  /** writes_ok, buffer_depth and the like: numbers become metrics. */
  readonly [more: string]: unknown;
}

/** received = accepted + rejected{reason} + duplicate + judging. */
export interface IngestStats {
  readonly received: number;
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly duplicate: number;
  readonly judging: number;
  readonly [more: string]: unknown;
}

export interface SpoolStats {
  readonly entries: number;
  readonly bytes: number;
  readonly bytes_max: number;
  /** null: it cannot be read. */
  readonly free_disk_bytes: number | null;
  /** SPOOL_MIN_FREE_BYTES. */
  readonly free_bytes_min: number;
  readonly oldest_age_seconds: number;
  readonly [more: string]: unknown;
}

export interface ClockStats {
  /** The host's clock can be right; times are its. */
  readonly believed: boolean;
  /** False: readings without a time of their own wait on the disk. */
  readonly time_known: boolean;
  /** What is wrong with it; null if nothing. */
  readonly detail: string | null;
}

export interface Stats {
  readonly version: string;
  readonly gateway_id: string;
  readonly uptime_seconds: number;
  readonly balanced: boolean;
  readonly attention: Attention;
  /** As /readyz says, with what to do about it. */
  readonly parts: readonly PartState[];
  readonly certificates: readonly { readonly setting: string; readonly ends_at: string }[];
  readonly watchdog: { readonly progressing: boolean; readonly stalls: number };
  readonly clock: ClockStats;
  readonly ingest: IngestStats;
  /** Lines of the log that were lost because nobody read them in time. */
  readonly log: { readonly lines_lost: number };
  readonly auth_cache: CacheStats;
  readonly spool: SpoolStats;
  /** Each with what only it counts; `source` is the first of them. */
  readonly sources: readonly { readonly kind: string; readonly [more: string]: unknown }[];
  readonly sinks: Readonly<Record<string, SinkView>>;
  readonly [more: string]: unknown;
}

export interface CacheView {
  stats(): CacheStats;
  /** Queries asked of the registry since the start: what `errors` is a part of. */
  queries(): number;
  /** How many rows went. */
  clear(): number;
  /** Returns how many of the devices were cached. The answer to a look-up that is under way for one of them is not cached either. */
  forget(devices: readonly DeviceId[]): number;
  forgetTenant(tenantId: string): number;
}

/** Rejects since the start, the latest first, added up by reason and device. */
export interface RejectsView {
  list(filter: {
    reason?: string | undefined;
    tenantId?: string | undefined;
    deviceId?: string | undefined;
    limit: number;
  }): readonly RejectRow[];
}

/** All that /metrics shows. */
export interface Measurements {
  readonly stats: Stats;
  readonly ready: readonly PartReadiness[];
  readonly commit: string;
  /** Every reason for which the judge may reject. */
  readonly reasons: readonly string[];
  /** The names of those stats of sources and sinks whose values only grow. */
  readonly counters: ReadonlySet<string>;
  readonly intakeLatency: HistogramStats;
  readonly sinkLatencies: Readonly<Record<string, HistogramStats>>;
  readonly certificates: readonly CertificateEnd[];
}

/** What only some kinds of sinks and sources count in `/stats`. */
export interface Counted {
  readonly sinks: Counts;
  readonly sources: Counts;
}

export interface GatewayView {
  readonly counted: Counted;
  stats(): Stats;
  measurements(): Measurements;
  ready(): readonly PartReadiness[];
  /** Every reason for which the judge may reject. */
  readonly reasons: readonly ReasonRow[];
  /** The last day, a sample per minute. */
  history(): readonly Sample[];
  follow: Follow["follow"];
  readonly cache: CacheView;
  readonly devices: DeviceStore;
  readonly heard: HeardDevices;
  readonly settings: SettingStore;
  readonly rejects: RejectsView;
  readonly latest: LatestParts;
  readonly deadLetters: DeadLetterQueue;
  readonly setAside: SetAside;
  readonly quarantine: QuarantineQueue;
}
