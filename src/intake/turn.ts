/**
 * The intake's turn: how long it works at a stretch before everybody else on this thread has his (look-ups, drains, HTTP, timers).
 *
 * A broker that holds a backlog always has more to give, and what one look-up answers may be twenty thousand messages. Without an
 * end of the turn all of that is taken in before anything is given out: measured with 300,000 messages in the broker, 1.4 s to the
 * first row on a quiet machine and half a minute on a busy one. What is put off goes on in its order, before anything new: a source that
 * put itself off reads nothing meanwhile. Rejected alternative: to pause the reading while sinks are behind, since no sink may delay
 * the intake.
 */
import type { Clock } from "../core/clock.ts";

/** Long beside what a turn of the others costs, short beside their deadlines: a transaction of ten round trips loses a tenth of a second. */
export const turnMs = 10;

export class Turn {
  readonly #clock: Clock;
  /** When it began, monotonic; undefined: others had theirs since. */
  #sinceMs: number | undefined;
  readonly #putOff: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Is it over? Then `goOn` is called in the next one. */
  putsOff(goOn: () => void): boolean {
    const isOver = this.#isOver();
    if (isOver) this.#putOff.push(goOn);
    return isOver;
  }

  #isOver(): boolean {
    const nowMs = this.#clock.monoMs();
    if (this.#sinceMs === undefined) {
      this.#sinceMs = nowMs;
      this.#clock.after(0, () => this.#next());
    }
    return nowMs - this.#sinceMs >= turnMs;
  }

  #next(): void {
    this.#sinceMs = undefined;
    while (this.#putOff.length > 0 && !this.#isOver()) this.#putOff.shift()?.();
  }
}
