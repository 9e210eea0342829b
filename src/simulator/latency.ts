/** The latency of acknowledgements as percentiles, in constant memory: Node's histogram, of whole µs and exact to 0.1 %. */
import { createHistogram } from "node:perf_hooks";

/** Milliseconds; null if nothing was acknowledged. */
export interface Percentiles {
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export interface Latency {
  add(ms: number): void;
  percentiles(): Percentiles;
}

/** A day: the histogram leaves out what is longer, so it counts as that. */
const highest = 86_400_000_000;

export function createLatency(): Latency {
  const histogram = createHistogram({ lowest: 1, highest, figures: 3 });
  const at = (percentile: number): number | null =>
    histogram.count === 0 ? null : Math.min(histogram.percentile(percentile), histogram.max) / 1000;
  return {
    add: (ms) => histogram.record(Math.min(Math.max(1, Math.round(ms * 1000)), highest)),
    percentiles: () => ({ p50Ms: at(50), p95Ms: at(95), p99Ms: at(99), maxMs: at(100) }),
  };
}
