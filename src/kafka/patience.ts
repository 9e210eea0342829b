/** Some answers only say that the cluster is not ready: right after a start, or right after the commit before. */
import { sleep, type Clock } from "../core/clock.ts";
import { isNotCoordinator, isPassing } from "./error.ts";

export interface Patience {
  readonly clock: Clock;
  /** As long as a request may take. */
  readonly timeoutMs: number;
}

const pauseMs = { first: 5, longest: 50 };
/** A coordinator that has just been named may take a moment to know it; one that says so for longer is another node by now. */
const notCoordinatorMs = 1_000;

/** Asks again while the answer is of that kind, counted from the first, for that may have come after a rest that a quota wanted. @throws every other error at once */
export async function patiently<T>({ clock, timeoutMs }: Patience, attempt: () => Promise<T>): Promise<T> {
  let startMs: number | undefined;
  const isOver = (error: unknown, nowMs: number) =>
    nowMs - (startMs ??= nowMs) >
    (isNotCoordinator(error) ? Math.min(notCoordinatorMs, timeoutMs) : timeoutMs);
  for (let waitMs = pauseMs.first; ; waitMs = Math.min(2 * waitMs, pauseMs.longest)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error) || isOver(error, clock.monoMs())) throw error;
    }
    await sleep(clock, waitMs);
  }
}
