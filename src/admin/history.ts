/**
 * The last day of this gateway in one sample per minute, for the curves of the page. Kept in a file of DATA_DIR, so that a restart does
 * not empty them; lines of JSON, appended, and written anew when there are twice as many as are shown.
 *
 * It may be lost: nothing hangs on it but a warning (risks.ts). So it is written without fsync, and what cannot be read or written is left out.
 */
import { appendFile, rename, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Clock, Timer } from "../core/clock.ts";
import { type HistogramStats, type Percentiles, percentilesOf } from "../core/histogram.ts";
import type { Measurements } from "./measurements.ts";

const percentiles = z.object({ p50: z.number().nullable(), p99: z.number().nullable() }).readonly();
const byName = z.record(z.string(), z.number()).readonly();

/** One minute, in the names of `/history`. Counts are of that minute alone. */
export const sampleSchema = z
  .object({
    at: z.string().describe("The end of the minute."),
    accepted: z.number(),
    duplicate: z.number(),
    rejected: byName.describe("By reason."),
    to_disk_ms: percentiles.nullable().describe("null: no message came."),
    to_sink_ms: z.record(z.string(), percentiles.nullable()).readonly(),
    waiting: byName.describe("Entries waiting per sink, at the end of the minute."),
    spool_bytes: z.number(),
  })
  .readonly();
export type Sample = z.infer<typeof sampleSchema>;

export interface History {
  /** Oldest first, at most a day. */
  samples(): readonly Sample[];
  stop(): void;
}

const sampleEveryMs = 60_000;
const samplesMax = 24 * 60;

export function keepHistory(options: { path: string; clock: Clock; read: () => Measurements }): History {
  const { path, clock, read } = options;
  let samples = kept(path);
  /** In the file. What earlier runs left there nobody has counted, and a crash may have cut its last line: it is written anew first. */
  let lines = Number.POSITIVE_INFINITY;
  let writing = Promise.resolve();
  /** What was counted before the start is no rate. */
  let last: Measurements | undefined;
  // Not at once: the gateway is being built.
  const begun = clock.after(0, () => {
    last = read();
  });

  const timer: Timer = clock.every(sampleEveryMs, () => {
    const now = read();
    const sample = sampleOf(last ?? now, now, new Date(clock.wallMs()).toISOString());
    last = now;
    const all = [...samples, sample].slice(-samplesMax);
    samples = all;
    // One after the other, or two that are under way together would change places.
    writing = writing.then(() => write(sample, all)).catch(() => {});
  });

  function stop(): void {
    begun.cancel();
    timer.cancel();
  }

  /** @param all the samples up to this one: more may have come since */
  async function write(sample: Sample, all: readonly Sample[]): Promise<void> {
    if (++lines <= 2 * samplesMax) return appendFile(path, lineOf(sample));
    await writeFile(`${path}.new`, all.map(lineOf).join(""));
    await rename(`${path}.new`, path);
    lines = all.length;
  }

  return { samples: () => samples, stop };
}

const lineOf = (sample: Sample) => `${JSON.stringify(sample)}\n`;

/** A line that was cut by a crash is left out. */
function kept(path: string): readonly Sample[] {
  try {
    const lines = readFileSync(path, "utf8")
      .split("\n")
      .slice(-samplesMax - 1);
    return lines.flatMap((line) => readLine(line) ?? []);
  } catch {
    return [];
  }
}

function readLine(line: string): Sample | undefined {
  try {
    return sampleSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

function sampleOf(before: Measurements, now: Measurements, at: string): Sample {
  const [then, since] = [before.stats.ingest, now.stats.ingest];
  const sinks = Object.entries(now.stats.sinks);
  const rejected = Object.entries(since.rejected)
    .map(([reason, n]) => [reason, n - (then.rejected[reason] ?? 0)] as const)
    .filter(([, n]) => n > 0);
  return {
    at,
    accepted: since.accepted - then.accepted,
    duplicate: since.duplicate - then.duplicate,
    rejected: Object.fromEntries(rejected),
    to_disk_ms: between(before.intakeLatency, now.intakeLatency),
    to_sink_ms: Object.fromEntries(
      Object.entries(now.sinkLatencies).map(([sink, latency]) => [
        sink,
        between(before.sinkLatencies[sink], latency),
      ]),
    ),
    waiting: Object.fromEntries(sinks.map(([sink, { waiting }]) => [sink, waiting])),
    spool_bytes: now.stats.spool.bytes,
  };
}

function between(before: HistogramStats | undefined, now: HistogramStats): Percentiles | null {
  const counts = now.counts.map((n, i) => n - (before?.counts[i] ?? 0));
  const count = counts.reduce((sum, n) => sum + n, 0);
  if (count === 0) return null;
  return percentilesOf({ counts, count, sumSeconds: 0 });
}
