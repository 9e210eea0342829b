/**
 * What the HTTP surface sees of a gateway. gateway.ts implements it; a test needs ten lines to fake it.
 *
 * The shape of `Stats` is the JSON of GET /stats as it stands: its names are promised to dashboards and scripts.
 */

/** Totals of a sink since its birth, and what only this sink counts. spooled = delivered + ignored + refused + skipped + waiting. */
export interface SinkStats {
  readonly delivered: number;
  readonly ignored: number;
  readonly refused: number;
  readonly skipped: number;
  readonly waiting: number;
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

export interface CacheStats {
  readonly size: number;
  readonly max_size: number;
  readonly ttl_seconds: number;
  readonly hits: number;
  readonly misses: number;
  /** hits / (hits + misses), from 0 to 1; null before the first look-up. */
  readonly hit_rate: number | null;
  readonly errors: number;
}

export interface SpoolStats {
  readonly entries: number;
  readonly bytes: number;
  readonly oldest_age_seconds: number;
  readonly [more: string]: unknown;
}

export interface Stats {
  readonly version: string;
  readonly gateway_id: string;
  readonly uptime_seconds: number;
  readonly balanced: boolean;
  readonly ingest: IngestStats;
  readonly auth_cache: CacheStats;
  readonly spool: SpoolStats;
  readonly sinks: Readonly<Record<string, SinkStats>>;
  readonly [more: string]: unknown;
}

/** Whether one part can do its work now. `detail`: one sentence without secrets. */
export interface PartReadiness {
  readonly part: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface GatewayView {
  stats(): Stats;
  ready(): readonly PartReadiness[];
  readonly cache: {
    stats(): CacheStats;
    clear(): void;
    /** Whether the device was cached. */
    invalidate(tenantId: string, deviceId: string): boolean;
  };
}
