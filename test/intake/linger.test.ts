/** For how long groups are collected: the time alone. What is in them: ingest.test.ts. */
import { expect, test } from "bun:test";
import { Linger } from "../../src/intake/linger.ts";
import { simulatedClock } from "../kit/clock.ts";

test.each([
  [5, 30],
  [10, 50],
  [40, 50],
  [50, 50],
  [1_000, 1_000],
  [10_000, 10_000],
])(
  "few messages are collected for longer than the %d ms that were set, but no longer than %d",
  (setMs, longestMs) => {
    const clock = simulatedClock();
    const times: number[] = [];
    let begunMs = clock.monoMs();
    const linger = new Linger(clock, setMs, () => {
      times.push(clock.monoMs() - begunMs);
      begunMs = clock.monoMs();
      // As many as come in the time: eight in the usual one.
      return Math.round((8 * (times.at(-1) ?? 0)) / setMs);
    });
    linger.begin();
    clock.advance(setMs * 40);
    expect(times.length).toBeGreaterThan(6);
    expect(Math.min(...times)).toBe(setMs);
    expect(Math.max(...times)).toBe(longestMs);
  },
);

test("one group that had few in it, for its sender stood still, makes the next no longer", () => {
  const clock = simulatedClock();
  const times: number[] = [];
  const come = [60, 60, 12, 100, 60, 8, 60];
  let begunMs = clock.monoMs();
  const linger = new Linger(clock, 5, () => {
    times.push(clock.monoMs() - begunMs);
    begunMs = clock.monoMs();
    return come.shift() ?? 0;
  });
  linger.begin();
  clock.advance(100);
  expect(times).toEqual([5, 5, 5, 5, 5, 5, 5, 5]);
});

test.each([
  [3, 1],
  [4, 2],
])(
  "after a group of %d messages the timer has run %d times: a site where little comes is not woken for nothing",
  (messages, runs) => {
    const clock = simulatedClock();
    const come = [messages];
    let written = 0;
    const linger = new Linger(clock, 5, () => {
      written++;
      return come.shift() ?? 0;
    });
    linger.begin();
    clock.advance(1_000);
    expect(written).toBe(runs);
  },
);
