/** The host's own timers, and what is waited for. */
import { afterEach, expect, jest, test } from "bun:test";
import { backoffMs, sleep, systemClock, unlessStopped } from "../../src/core/clock.ts";
import { simulatedClock } from "../kit/clock.ts";

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

test("who sleeps is awake at once if it is aborted, before or meanwhile, and leaves no timer", async () => {
  const clock = simulatedClock();
  await sleep(clock, 1_000, AbortSignal.abort());
  const stopping = new AbortController();
  const asleep = sleep(clock, 1_000, stopping.signal);
  expect(clock.pending()).toBe(1);
  stopping.abort();
  await asleep;
  expect(clock.pending()).toBe(0);
});

test("who slept or waited listens no more to what would have ended that", async () => {
  const clock = simulatedClock();
  const { signal } = new AbortController();
  let listeners = 0;
  signal.addEventListener = () => void listeners++;
  signal.removeEventListener = () => void listeners--;
  const asleep = sleep(clock, 1_000, signal);
  clock.advance(1_000);
  await asleep;
  await unlessStopped(signal, Promise.resolve());
  await Bun.sleep(0);
  expect(listeners).toBe(0);
});

test("what was stopped before is not waited for", async () => {
  await expect(unlessStopped(AbortSignal.abort(), new Promise(() => {}))).rejects.toThrow(
    "the gateway stops",
  );
});

test("no try follows at once, and none later than the most, however many there were", () => {
  expect([0, 1, 2, 9, 5_000].map((attempt) => backoffMs(attempt, 100, 3_000, () => 1))).toEqual([
    100, 200, 400, 3_000, 3_000,
  ]);
  expect(backoffMs(5_000, 100, 3_000, () => 0)).toBe(50);
});
