/** Some answers only say that the cluster is not ready: right after a start, or right after the commit before. */
import { sleep, type Clock } from "../core/clock.ts";
import { isPassing } from "./error.ts";

export interface Patience {
  readonly clock: Clock;
  /** As long as a request may take. */
  readonly timeoutMs: number;
}

const pauseMs = { first: 5, longest: 50 };

/** Asks again while the answer is of that kind. @throws every other error at once */
export async function patiently<T>({ clock, timeoutMs }: Patience, ask: () => Promise<T>): Promise<T> {
  const endMs = clock.monoMs() + timeoutMs;
  for (let waitMs = pauseMs.first; ; waitMs = Math.min(2 * waitMs, pauseMs.longest)) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error) || clock.monoMs() > endMs) throw error;
    }
    await sleep(clock, waitMs);
  }
}
