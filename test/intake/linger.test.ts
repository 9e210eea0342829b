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

/** How long each group is collected, the next begun at once. @param messages how many one of so many ms has */
function timesOf(messages: (ms: number) => number, groups: number): number[] {
  const clock = simulatedClock();
  const times: number[] = [];
  let begunMs = clock.monoMs();
  const linger = new Linger(clock, 5, () => {
    const ms = clock.monoMs() - begunMs;
    times.push(ms);
    begunMs = clock.monoMs();
    return messages(ms);
  });
  while (times.length < groups) {
    linger.begin();
    clock.advance(1);
  }
  return times;
}

test.each([
  [4, 5, true],
  [4, 4, false],
  [5, 14, true],
  [5, 13, false],
  [20, 30, true],
  [20, 29, false],
  [20, 96, true],
  [20, 97, false],
])("of %d messages in the usual time a longer group is worth it with %d: %p", (usual, longer, isWorthIt) => {
  const [first, second, third = 0] = timesOf((ms) => (ms === 5 ? usual : longer), 3);
  expect([first, (second ?? 0) > 5, third > 5]).toEqual([5, true, isWorthIt]);
});

test("a sender that waits for its answer waits longer for it less and less often, until a longer group brings more", () => {
  let isWaiting = true;
  let long = 0;
  const times = timesOf((ms) => {
    if (ms > 5) long++;
    // The seventh longer one brings more, and with it those that follow it before the next usual one.
    isWaiting = long < 7 || long > 14;
    return isWaiting ? 10 : 2 * ms;
  }, 130);
  const usual: number[] = [0];
  for (const ms of times) {
    if (ms === 5) usual.push((usual.pop() ?? 0) + 1);
    else usual.push(0);
  }
  expect(usual.slice(0, 17)).toEqual([1, 3, 5, 9, 17, 25, 25, 0, 0, 0, 0, 0, 0, 0, 1, 3, 5]);
});

test("a group that nothing came for is not one in vain", () => {
  const come = [10, 60, 0, 60];
  expect(timesOf(() => come.shift() ?? 0, 4)).toEqual([5, 24, 24, 24]);
});

test.each([
  [50, true],
  [51, false],
])("of a group that is collected for %d ms what comes may be left unread: %p", (ms, mayBe) => {
  const linger = new Linger(simulatedClock(), ms, () => 0);
  linger.begin();
  expect(linger.collects(() => {})).toBe(mayBe);
});
