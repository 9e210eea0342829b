/** What the page reads of the gateway's answers; /openapi.json describes them whole. */

export interface Attention {
  readonly level: "working" | "warning" | "critical";
  readonly text: string;
  readonly since: string | null;
  readonly detail: string | null;
  readonly remedy: string | null;
}

export interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface Part {
  readonly part: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly since: string | null;
  readonly remedy: string | null;
}

export interface SinkStats {
  readonly delivered: number;
  readonly ignored: number;
  readonly refused: number;
  readonly skipped: number;
  readonly spooled: number;
  readonly waiting: number;
  readonly oldest_age_seconds: number;
  readonly trouble: string | null;
  readonly latency_ms: Percentiles;
}

export interface IngestCounts {
  readonly received: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly rejected: Readonly<Record<string, number>>;
}

export interface Stats {
  readonly version: string;
  readonly gateway_id: string;
  readonly uptime_seconds: number;
  readonly balanced: boolean;
  readonly attention: Attention;
  readonly parts: readonly Part[];
  readonly ingest: IngestCounts & {
    readonly judging: number;
    readonly latency_ms: Percentiles;
    readonly since_start: IngestCounts;
  };
  readonly sources: readonly {
    readonly kind: string;
    readonly connected: boolean;
    readonly detail: string;
  }[];
  readonly spool: {
    readonly entries: number;
    readonly bytes: number;
    readonly bytes_max: number;
    readonly free_disk_bytes: number | null;
    readonly offline_hours_left: number | null;
    readonly drain_seconds_left: number | null;
    readonly dead_letters: number;
  };
  readonly sinks: Readonly<Record<string, SinkStats>>;
  readonly certificates: readonly { readonly setting: string; readonly ends_at: string }[];
}

export interface Sample {
  readonly at: string;
  readonly accepted: number;
  readonly duplicate: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly to_disk_ms: Percentiles | null;
  readonly to_sink_ms: Readonly<Record<string, Percentiles | null>>;
  readonly waiting: Readonly<Record<string, number>>;
  readonly spool_bytes: number;
}
