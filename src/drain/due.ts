/**
 * When a lane is due: once its batch is full, once its oldest entry has waited long enough (less long if a batch is worth it), or as soon
 * as nothing more is expected until then. What comes next is expected after as long as the last took, so that a batch goes with the last group that is in time for it.
 */
import type { Clock } from "../core/clock.ts";
import type { Sink } from "../core/sink.ts";
import type { Lane } from "./lane.ts";

export class Due {
  readonly #sink: Sink;
  readonly #clock: Clock;
  /** When the spool grew last, and how long before that it had grown (monotonic ms). */
  #grownAtMs = Number.NEGATIVE_INFINITY;
  #growsEveryMs = 0;

  constructor(sink: Sink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  /** The spool grew. */
  grown(): void {
    const now = this.#clock.monoMs();
    this.#growsEveryMs = now - this.#grownAtMs;
    this.#grownAtMs = now;
  }

  /** There is a full batch that may go. */
  hasFull(lanes: Iterable<Lane>, now: number): boolean {
    for (const lane of lanes)
      if (!lane.busy && lane.retryAtMs <= now && lane.isFullFor(this.#sink)) return true;
    return false;
  }

  /**
   * Monotonic ms; infinite: not as it is. @param isHurried a part of a batch need not wait either
   * @param isBehind there is more to be read, so that whoever waits keeps it out
   */
  ofLane(lane: Lane, now: number, isHurried: boolean, isBehind: boolean): number {
    if (lane.isDetoured) return lane.retryAtMs;
    if (lane.length === 0) return Number.POSITIVE_INFINITY;
    const { batchTrigger = this.#sink.batchMax, gatherMs = 0, lingerMs } = this.#sink;
    const isWorthIt = lane.length >= batchTrigger;
    const isFull = lane.isFullFor(this.#sink) || (isWorthIt && isBehind);
    const lastMs = lane.sinceMs + (isWorthIt ? Math.min(gatherMs, lingerMs) : lingerMs);
    const goesNow = isHurried || isFull || this.#grownAtMs + this.#growsEveryMs > lastMs;
    return Math.max(lane.retryAtMs, goesNow ? now : lastMs);
  }
}
