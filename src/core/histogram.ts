/**
 * How long things took, counted in fixed buckets: what `/metrics` gives as a histogram and `/stats` as percentiles.
 *
 * One list of bounds serves every latency here, from a group on a fast disk (1 ms) to a backlog that waited out a weekend, so that
 * two histograms can be compared and added up. Rejected alternative: a sketch with relative error (HDR, DDSketch), since Prometheus
 * wants fixed bounds and the percentiles need be no finer than a bucket.
 */

/** Upper bounds in seconds, inclusive as Prometheus has it (`le`); beyond the last one: +Inf. */
export const latencyBounds: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200,
  172_800,
];

export interface HistogramStats {
  /** One count per bound and one for +Inf; not cumulative. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
}

export class Histogram {
  readonly #counts = new Float64Array(latencyBounds.length + 1);
  #sumMs = 0;
  /** Of the time that was observed last: what reaches the disk or a sink together mostly came together, too. */
  #lastMs = Number.NaN;
  #lastBucket = 0;

  /** A time that lies before its beginning (the host's clock was set back) counts as 0. */
  observeMs(ms: number): void {
    if (ms !== this.#lastMs) [this.#lastMs, this.#lastBucket] = [ms, bucketOf(ms)];
    this.#counts[this.#lastBucket] = (this.#counts[this.#lastBucket] ?? 0) + 1;
    this.#sumMs += Math.max(0, ms);
  }

  stats(): HistogramStats {
    const counts = [...this.#counts];
    return { counts, count: counts.reduce((sum, n) => sum + n, 0), sumSeconds: this.#sumMs / 1000 };
  }
}

function bucketOf(ms: number): number {
  const seconds = ms / 1000;
  let bucket = 0;
  while (bucket < latencyBounds.length && seconds > (latencyBounds[bucket] ?? 0)) bucket++;
  return bucket;
}

export interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
}

/** In ms, as fine as the buckets are. */
export function percentilesOf(stats: HistogramStats): Percentiles {
  return { p50: percentileMs(stats, 0.5), p99: percentileMs(stats, 0.99) };
}

/** The least bound that at least this share (0 to 1) of the observations lie within, in ms; null: there are none, or they lie beyond all bounds. */
function percentileMs({ counts, count }: HistogramStats, share: number): number | null {
  if (count === 0) return null;
  let seen = 0;
  const bucket = counts.findIndex((n) => (seen += n) >= share * count);
  const bound = latencyBounds[bucket];
  return bound === undefined ? null : bound * 1000;
}
