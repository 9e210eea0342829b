/**
 * What the process itself takes of its host: CPU, memory, open files, and how late its event loop runs.
 *
 * The lag is the longest of the last minute rather than the last measured, since a scrape comes every 15 to 60 s and would miss what
 * happened in between.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Clock, Timer } from "../core/clock.ts";
import { descriptorsMax } from "../core/memory/descriptors.ts";
import { residentBytes } from "../core/memory/resident.ts";

/** In the names of `/stats`. Files are null if the system does not show them (not Linux). */
export interface ProcessStats {
  /** User and system time since the start. */
  readonly cpu_seconds: number;
  readonly resident_bytes: number;
  readonly open_files: number | null;
  readonly open_files_max: number | null;
  /** How much later than due a timer ran, at worst, within the last minute. */
  readonly event_loop_lag_seconds: number;
}

const tickMs = 500;
const ticksKept = 120;

export interface ProcessWatch {
  stats(): ProcessStats;
  stop(): void;
}

export function watchProcess(clock: Clock): ProcessWatch {
  const lags: number[] = [];
  let dueMs = clock.monoMs() + tickMs;
  const timer: Timer = clock.every(tickMs, () => {
    const now = clock.monoMs();
    lags.push(Math.max(0, now - dueMs));
    if (lags.length > ticksKept) lags.shift();
    dueMs = now + tickMs;
  });

  function stats(): ProcessStats {
    const { user, system } = process.cpuUsage();
    return {
      cpu_seconds: (user + system) / 1e6,
      resident_bytes: residentBytes(),
      open_files: openFiles(),
      open_files_max: descriptorsMax() ?? null,
      event_loop_lag_seconds: Math.max(0, ...lags) / 1000,
    };
  }

  return { stats, stop: () => timer.cancel() };
}

function openFiles(): number | null {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return null;
  }
}

/** proc(5), /proc/pid/io: bytes that this process caused to be sent to the storage layer. Linux alone counts them. */
export function writtenBytes(): number | undefined {
  try {
    const written = /^write_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1];
    return written === undefined ? undefined : Number(written);
  } catch {
    return undefined;
  }
}
