/** The host's own timers. */
import { afterEach, expect, jest, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";

afterEach(() => void jest.useRealTimers());

const dayMs = 86_400_000;

test("a timer of a month ends after a month, and not at once as one of the runtime's", () => {
  jest.useFakeTimers();
  let ended = 0;
  systemClock.after(30 * dayMs, () => void ended++);
  const cancelled = systemClock.after(30 * dayMs, () => void ended++);
  jest.advanceTimersByTime(29 * dayMs);
  expect(ended).toBe(0);
  cancelled.cancel();
  jest.advanceTimersByTime(dayMs);
  expect(ended).toBe(1);
});
