/**
 * Keeps the process near its budget. What was let go of stays in memory until it is collected, and the engine lets that grow to three or
 * four times what lives, since it goes by the host's memory. So it is told to collect once more is resident than may be, and when a
 * load is over.
 *
 * Each collection stops the work and costs some 50 ms of CPU, so there is none that could free but little, and together they take the
 * more CPU the further the budget is exceeded. Rejected alternative: a fixed rest between two, which took 40 % on a busy machine.
 */
import { gcAndSweep } from "bun:jsc";
import type { Clock } from "./clock.ts";

const MiB = 1024 * 1024;

const lookEveryMs = 100;
/** Growth over the least that was seen since the last collection: with less, there is little to free. */
const grownBytesMin = 24 * MiB;
/** Of the part by which the budget is exceeded: beyond it by a tenth, collections take 2.5 % of the CPU at most. */
const cpuShare = 1 / 4;
/** A load is over if the process used less than this of a core for so many looks: it may have been stopped between two of them. */
const calmShare = 0.05;
const calmLooks = 50;

export interface KeeperOptions {
  /** Beyond it there is a collection; infinite: only after a load. */
  readonly bytesMax: number;
  readonly clock: Clock;
  /** Bytes resident. */
  readonly resident?: () => number;
  /** CPU used so far, in µs. */
  readonly cpuMicros?: () => number;
  /** `Bun.gc(false)` leaves the peak a third higher; `Bun.gc(true)` lets go of compiled code as well, which is compiled again. */
  readonly collect?: () => void;
}

/** @returns what ends it */
export function keepWithin(options: KeeperOptions): () => void {
  const { bytesMax, clock, resident = residentBytes, cpuMicros = usedMicros, collect = gcAndSweep } = options;
  /** The least that was seen since the last collection, and since the last after a load. */
  let [least, calmLeast] = [resident(), resident()];
  /** CPU used at the end of the last collection, and what it cost. */
  let collected = { micros: cpuMicros(), cost: 0 };
  let calmFrom = { micros: collected.micros, looks: 0 };

  function isCalm(): boolean {
    calmFrom.looks++;
    if (calmFrom.looks < calmLooks) return false;
    const used = cpuMicros() - calmFrom.micros;
    calmFrom = { micros: calmFrom.micros + used, looks: 0 };
    return used < calmShare * calmLooks * lookEveryMs * 1000;
  }

  function collectNow(): void {
    const before = cpuMicros();
    collect();
    const micros = cpuMicros();
    collected = { micros, cost: micros - before };
  }

  function isDue(bytes: number): boolean {
    const share = (cpuShare * (bytes - bytesMax)) / bytesMax;
    return share > 0 && (cpuMicros() - collected.micros) * share >= collected.cost;
  }

  const timer = clock.every(lookEveryMs, () => {
    const bytes = resident();
    [least, calmLeast] = [Math.min(least, bytes), Math.min(calmLeast, bytes)];
    const calm = isCalm();
    if (!calm && !isDue(bytes)) return;
    if (bytes - (calm ? calmLeast : least) < grownBytesMin) return;
    collectNow();
    least = bytes;
    if (calm) calmLeast = bytes;
  });
  return () => timer.cancel();
}

const residentBytes = () => process.memoryUsage.rss();

function usedMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
