/** What a loop sleeps on: it wakes when something happens, or at a time. */
import type { Clock, Timer } from "../core/clock.ts";

export class Wake {
  readonly #clock: Clock;
  #ring: () => void = () => {};
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something happened. */
  readonly now = (): void => this.#ring();

  /** Resolves at the next thing that happens from now on. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#ring = resolve;
    });
  }

  /** Also at this time, and no other (monotonic ms). */
  at(atMs: number): void {
    this.#timer?.cancel();
    if (atMs < Number.POSITIVE_INFINITY)
      this.#timer = this.#clock.after(Math.max(1, atMs - this.#clock.monoMs()), this.now);
  }

  /** Resolves past this time (monotonic ms), or once `isOver`; what is appended meanwhile is no reason. */
  async past(untilMs: number, isOver: () => boolean): Promise<void> {
    while (this.#clock.monoMs() < untilMs && !isOver()) {
      const woken = this.next();
      this.at(untilMs);
      await woken;
    }
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
