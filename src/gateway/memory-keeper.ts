/**
 * Keeps the process near its budget. What was let go of stays in memory until it is collected, and the engine goes by what lives
 * (cli/engine-settings.ts), whatever room there is. So it is told to collect once more is resident than may be, and when a load is over.
 * The program's own pages go now and then whatever the budget, for that costs 2 ms (program-pages.ts).
 *
 * Each collection stops the work and costs some 25 ms of CPU, so there is none that could free but little, and together they take the
 * more CPU the further the budget is exceeded, within a bound: what lives may be beyond it. Rejected alternative: a fixed rest between two,
 * which took 40 % on a busy machine.
 */
import { gcAndSweep } from "bun:jsc";
import type { Clock } from "../core/clock.ts";
import { unmapProgram } from "./program-pages.ts";
import { residentBytes } from "../core/memory/resident.ts";

const MiB = 1024 * 1024;

/** While there is work; and while there is none, when nothing grows and each look is a wake. */
const lookEveryMs = 100;
const calmLookEveryMs = 500;
/** Growth over the least that was seen since the last collection: with less, there is little to free. */
const grownBytesMin = 24 * MiB;
/** Of the part by which the budget is exceeded: beyond it by a tenth, collections take 2.5 % of the CPU at most, and never more than 10 %. */
const cpuShare = 1 / 4;
const cpuShareMax = 1 / 10;
/** Calm is a second in which the process used less than this of a core. */
const windowMs = 1_000;
const calmShare = 0.05;
/** And idle is one with less than this, in which the program's pages may go each time: 100 messages a second take 4 %. */
const idleShare = 0.02;
/** In a load of more than this as well: of what it ran a second ago much is not run again, and they are 10 MB of its peak. */
const busyShare = 0.5;
/** A load is over after so many that were calm: it may have been stopped between two of them. */
const loadWindows = 5;

export interface KeeperOptions {
  /** Beyond so many bytes there are collections; asked at each look. */
  readonly bytesMax: () => number;
  readonly clock: Clock;
  /** Bytes resident. */
  readonly resident?: () => number;
  /** CPU used so far, in µs. */
  readonly cpuMicros?: () => number;
  /** `Bun.gc(false)` leaves the peak a third higher; `Bun.gc(true)` lets go of compiled code as well, which is compiled again. */
  readonly collect?: () => void;
  /** Takes the program's own pages out of the process, if there are many. */
  readonly unmap?: () => void;
}

/** @returns what ends it */
export function keepWithin(options: KeeperOptions): () => void {
  const { bytesMax, clock, resident = residentBytes, cpuMicros = usedMicros, collect = gcAndSweep } = options;
  const { unmap = unmapProgram } = options;
  /** The least that was seen since the last collection, and since the last after a load. */
  let [least, calmLeast] = [resident(), resident()];
  /** CPU used at the end of the last collection, and what it cost. */
  let collected = { micros: cpuMicros(), cost: 0 };
  let window = { micros: collected.micros, atMs: clock.monoMs() };
  /** Windows that were calm since the last that was not; before 0: that were not, since the last that was. */
  let calmFor = 0;

  /** @returns whether a load is over */
  function windowEnds(): boolean {
    const [micros, atMs] = [cpuMicros(), clock.monoMs()];
    const share = (micros - window.micros) / ((atMs - window.atMs) * 1000);
    const isCalm = share < calmShare;
    if (!isCalm) lookEvery(lookEveryMs);
    if (atMs - window.atMs < windowMs - lookEveryMs / 2) return false;
    window = { micros, atMs };
    if (isCalm) lookEvery(calmLookEveryMs);
    calmFor = isCalm ? Math.max(calmFor, 0) + 1 : Math.min(calmFor, 0) - 1;
    const isLast = calmFor % loadWindows === 0;
    if (share < idleShare || share > busyShare || isLast) unmap();
    return isCalm && isLast;
  }

  function collectNow(): void {
    const before = cpuMicros();
    collect();
    const micros = cpuMicros();
    collected = { micros, cost: micros - before };
  }

  function isDue(bytes: number): boolean {
    const most = bytesMax();
    const share = Math.min((cpuShare * (bytes - most)) / most, cpuShareMax);
    return share > 0 && (cpuMicros() - collected.micros) * share >= collected.cost;
  }

  function look(): void {
    const bytes = resident();
    [least, calmLeast] = [Math.min(least, bytes), Math.min(calmLeast, bytes)];
    const isOver = windowEnds();
    if (!isOver && !isDue(bytes)) return;
    if (bytes - (isOver ? calmLeast : least) < grownBytesMin) return;
    collectNow();
    least = bytes;
    if (isOver) calmLeast = bytes;
  }

  let timer = clock.every(lookEveryMs, look);
  function lookEvery(ms: number): void {
    timer.cancel();
    timer = clock.every(ms, look);
  }
  return () => timer.cancel();
}

function usedMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
