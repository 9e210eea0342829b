/**
 * What is measured of a gateway.
 *
 * The shape of `Stats` is the JSON of GET /stats as it stands: dashboards and scripts rely on its names.
 */
import type { Attention, PartState } from "./attention-schema.ts";
import type { CacheStats } from "./cache-stats.ts";
import type { PartReadiness } from "./readiness.ts";
import type { HistogramStats } from "../core/histogram.ts";
import type { CertificateEnd } from "../core/net/pem.ts";
import type { SinkStats } from "../core/sink.ts";

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
