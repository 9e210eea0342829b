/**
 * How long can we be offline, and how long until we have caught up? Estimated from the last ten minutes, for `/stats` and the
 * stats line; null, "not known yet", rather than guessed from the first seconds.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Drain } from "../drain/drain.ts";
import type { Spool } from "../spool/spool.ts";
import { writtenBytes } from "./process.ts";
import { unlessDiskFails } from "./readiness.ts";

/** What is read of the gateway every few seconds. All but the room and the waiting entries are totals that only grow. */
export interface Reading {
  readonly spooledEntries: number;
  readonly spooledBytes: number;
  /** Settled by the sink that is furthest behind. */
  readonly settledEntries: number;
  /** Until the spool takes no more: its bound, or what its disk has free. */
  readonly roomBytes: number;
  readonly waitingEntries: number;
  /** What the process has written to disks, as the system counts it; undefined if it does not. */
  readonly writtenBytes: number | undefined;
}

/** In the names of `/stats`. */
export interface OutlookStats {
  readonly entries_per_second: number | null;
  readonly bytes_per_second: number | null;
  /** Until the spool is at its bound or the disk at its floor, if nothing were delivered from now on. */
  readonly offline_hours_left: number | null;
  /** Until the sink that is furthest behind has caught up; null if it is not catching up. */
  readonly drain_seconds_left: number | null;
  /** What all of this process writes to disks a day at this rate, as the system counts it: which wears flash. */
  readonly written_bytes_per_day: number | null;
}

const readEveryMs = 10_000;
const readingsMax = 60;
/** Less than a minute shows only the noise of a start: three messages would make years of it. */
const knownAfterSeconds = 60;

export interface Outlook {
  stats(): OutlookStats;
  stop(): void;
}

export function createOutlook(options: { clock: Clock; read: () => Reading }): Outlook {
  const { clock, read } = options;
  const readings: { atMs: number; reading: Reading }[] = [];
  const note = () => {
    readings.push({ atMs: clock.monoMs(), reading: read() });
    if (readings.length > readingsMax) readings.shift();
  };
  note();
  const timer: Timer = clock.every(readEveryMs, note);

  function stats(): OutlookStats {
    const oldest = readings[0];
    const now = read();
    const seconds = (clock.monoMs() - (oldest?.atMs ?? 0)) / 1000;
    if (oldest === undefined || seconds < knownAfterSeconds) return nothingKnown;
    const perSecond = (of: (reading: Reading) => number) => (of(now) - of(oldest.reading)) / seconds;
    const entries = perSecond((r) => r.spooledEntries);
    const bytes = perSecond((r) => r.spooledBytes);
    const written = perSecond((r) => r.writtenBytes ?? Number.NaN);
    const gain = perSecond((r) => r.settledEntries) - entries;
    return {
      entries_per_second: rounded(entries),
      bytes_per_second: rounded(bytes),
      offline_hours_left: bytes > 0 ? rounded(now.roomBytes / bytes / 3600) : null,
      drain_seconds_left: drainSeconds(now.waitingEntries, gain),
      written_bytes_per_day: Number.isNaN(written) ? null : Math.round(written * 86_400),
    };
  }

  return { stats, stop: () => timer.cancel() };
}

/** Of a gateway, now. */
export function readingOf(spool: Spool, drains: readonly Pick<Drain, "stats">[]): Reading {
  const waitingEntries = Math.max(0, ...drains.map((drain) => drain.stats().waiting));
  return {
    spooledEntries: spool.head,
    spooledBytes: spool.appendedBytes,
    settledEntries: spool.head - waitingEntries,
    roomBytes: unlessDiskFails(() => spool.roomBytes) ?? 0,
    waitingEntries,
    writtenBytes: writtenBytes(),
  };
}

const nothingKnown: OutlookStats = {
  entries_per_second: null,
  bytes_per_second: null,
  offline_hours_left: null,
  drain_seconds_left: null,
  written_bytes_per_day: null,
};

function drainSeconds(waiting: number, gain: number): number | null {
  if (waiting === 0) return 0;
  return gain > 0 ? Math.ceil(waiting / gain) : null;
}

function rounded(n: number): number {
  return Math.round(n * 100) / 100;
}
