/**
 * Whether the downstream system of a sink is away for all of its lanes. While it is, one lane asks now and then for all of them, and the others
 * do not each wait for a time-out of their own (Outage.scope).
 *
 * A time-out may be one lane's all the same. So it takes several in a row, without an answer to any lane in between; and a lane that
 * did not fail so asks first, so that one that always fails keeps no other from being answered.
 */
import { backoffMs } from "../core/clock.ts";
import { Outage } from "../core/outage.ts";
import type { Lane } from "./lane.ts";

/** Failures in a row before the lanes wait for one another. */
const failuresMax = 3;
const pauseMinMs = 1_000;
const pauseMaxMs = 30_000;

export class Away {
  #failures = 0;
  #untilMs = 0;
  /** The key of a lane that an operator sees to. */
  #first: string | undefined;

  get isAway(): boolean {
    return this.#failures >= failuresMax;
  }

  /** Nobody asks before this (monotonic ms). */
  get untilMs(): number {
    return this.isAway ? this.#untilMs : 0;
  }

  /** One asks at once. @param first the key of the lane that is meant, for the failure of any other would set the pause anew */
  retryNow(first?: string): void {
    this.#untilMs = 0;
    this.#first = first;
  }

  /** The lanes in the order in which they may ask. */
  inTurn(lanes: Lane[]): Lane[] {
    if (!this.isAway) return lanes;
    const turn = ({ key, trouble, retryAtMs }: Lane) =>
      key === this.#first && retryAtMs === 0 ? 0 : trouble.isOfSink ? 2 : 1;
    return lanes.sort((a, b) => turn(a) - turn(b));
  }

  /** A lane was answered. @returns whether the downstream system was away */
  answered(): boolean {
    const was = this.isAway;
    this.#failures = 0;
    return was;
  }

  /** A lane's delivery failed. @returns whether it was away, and has answered now */
  failed(error: unknown, nowMs: number, random: () => number): boolean {
    if (!(error instanceof Outage)) return false;
    if (error.scope === "lane") return this.answered();
    const attempt = Math.max(0, ++this.#failures - failuresMax);
    this.#untilMs = nowMs + Math.max(error.retryAfterMs, backoffMs(attempt, pauseMinMs, pauseMaxMs, random));
    return false;
  }
}
