/**
 * The latency of acknowledgements as percentiles, in constant memory.
 *
 * Buckets grow by 5 % from 10 µs, so a percentile is exact to 5 %. Rejected alternative: a list of samples, because
 * it grows with the run.
 */
const growth = Math.log(1.05);
const smallestMs = 0.01;
const bucketCount = 400;

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

export function createLatency(): Latency {
  const buckets = new Float64Array(bucketCount);
  let total = 0;
  let maxMs = 0;
  const at = (share: number): number | null => {
    if (total === 0) return null;
    let seen = 0;
    const bucket = buckets.findIndex((inBucket) => (seen += inBucket) >= share * total);
    return Math.min(maxMs, smallestMs * Math.exp(growth * bucket));
  };
  return {
    add(ms) {
      const bucket = Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / growth);
      const index = Math.min(bucketCount - 1, bucket);
      buckets[index] = (buckets[index] ?? 0) + 1;
      total += 1;
      maxMs = Math.max(maxMs, ms);
    },
    percentiles: () => ({
      p50Ms: at(0.5),
      p95Ms: at(0.95),
      p99Ms: at(0.99),
      maxMs: total === 0 ? null : maxMs,
    }),
  };
}
