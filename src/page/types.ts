/**
 * What the page reads of the gateway's answers: the types of the parts that make them, and what of /stats these leave open.
 * /openapi.json describes the answers whole.
 */
import type { Percentiles } from "../core/histogram.ts";
import type { IngestStats, SpoolStats, Stats as GatewayStats } from "../admin/measurements.ts";
import type { SinkStats } from "../core/sink.ts";

type IngestCounts = Pick<IngestStats, "received" | "accepted" | "duplicate" | "rejected">;

interface ShownSink extends SinkStats {
  readonly oldest_age_seconds: number;
  readonly trouble: string | null;
  readonly latency_ms: Percentiles;
}

export interface Stats extends Pick<
  GatewayStats,
  "version" | "gateway_id" | "uptime_seconds" | "balanced" | "attention" | "parts" | "certificates"
> {
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
  readonly spool: Pick<SpoolStats, "entries" | "bytes" | "bytes_max" | "free_disk_bytes"> & {
    readonly offline_hours_left: number | null;
    readonly drain_seconds_left: number | null;
    readonly dead_letters: number;
  };
  readonly sinks: Readonly<Record<string, ShownSink>>;
}
