/**
 * Simulated time: it passes only by `advance` (or `pass`), and timers run in the order of their times. The wall clock
 * and the monotonic clock run together and can be set apart with `stepWall`, as an operator or NTP does.
 */
import type { Clock, Timer } from "../../src/core/clock.ts";

export interface SimulatedClock extends Clock {
  /**
   * Advances by `ms`, running each timer at its time. What waits for a promise does not run in between; see `pass`.
   */
  advance(ms: number): void;
  /** As `advance`, and lets promises settle after each timer, so that asynchronous code runs as it would in real time. */
  pass(ms: number): Promise<void>;
  /** Time that work takes: it passes, and no timer runs meanwhile. */
  spend(ms: number): void;
  /** Sets the wall clock forward or (negative) back; the monotonic clock goes on. */
  stepWall(ms: number): void;
  /** Timers that have not run. */
  pending(): number;
}

interface Due {
  atMs: number;
  readonly order: number;
  readonly everyMs: number | null;
  readonly run: () => void;
}

/** 2026-11-21T00:00:00Z, and a monotonic clock that does not begin at 0. */
export function simulatedClock(wallMs = Date.UTC(2026, 10, 21), monoMs = 1_000): SimulatedClock {
  const timers = new Set<Due>();
  let offsetMs = wallMs - monoMs;
  let nowMs = monoMs;
  let order = 0;

  function add(ms: number, everyMs: number | null, run: () => void): Timer {
    const due: Due = { atMs: nowMs + Math.max(0, ms), order: order++, everyMs, run };
    timers.add(due);
    return { cancel: () => timers.delete(due) };
  }

  /** Runs the next timer due by `untilMs`; returns false if there is none. */
  function step(untilMs: number): boolean {
    let next: Due | undefined;
    for (const due of timers) {
      if (due.atMs > untilMs) continue;
      if (!next || due.atMs < next.atMs || (due.atMs === next.atMs && due.order < next.order)) next = due;
    }
    if (next === undefined) return false;
    nowMs = Math.max(nowMs, next.atMs);
    if (next.everyMs === null) timers.delete(next);
    else next.atMs += next.everyMs;
    next.run();
    return true;
  }

  return {
    wallMs: () => offsetMs + nowMs,
    monoMs: () => nowMs,
    after: (ms, run) => add(ms, null, run),
    every: (ms, run) => add(ms, Math.max(1, ms), run),
    advance(ms) {
      const untilMs = nowMs + ms;
      while (step(untilMs));
      nowMs = Math.max(nowMs, untilMs);
    },
    async pass(ms) {
      const untilMs = nowMs + ms;
      await settled();
      while (step(untilMs)) await settled();
      nowMs = Math.max(nowMs, untilMs);
    },
    spend(ms) {
      nowMs += ms;
    },
    stepWall(ms) {
      offsetMs += ms;
    },
    pending: () => timers.size,
  };
}

/** Resolves once all promises that can settle without a timer have settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
