/** Wrong tokens are counted for so many addresses and no more: strangers have any number of them. */
import { expect, test } from "bun:test";
import { createAttempts, networkOf } from "../../../src/core/net/attempts.ts";
import { simulatedClock } from "../../kit/clock.ts";

test("of ten thousand and one addresses the one that was counted first is forgotten", () => {
  const attempts = createAttempts(simulatedClock());
  const wrong = (address: string, times = 1) => {
    for (let i = 0; i < times; i++) attempts.wrong(address);
  };
  for (const address of ["192.0.2.1", "192.0.2.2"]) wrong(address, 10);
  for (let i = 0; i < 9_998; i++) wrong(`10.0.${i >> 8}.${i & 255}`);
  expect(attempts.waitMs("192.0.2.1")).toBeGreaterThan(0);
  wrong("192.0.2.3");
  expect(attempts.waitMs("192.0.2.1")).toBe(0);
  expect(attempts.waitMs("192.0.2.2")).toBeGreaterThan(0);
  expect(attempts.total()).toBe(20 + 9_998 + 1);
});

test.each([
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::6", "2001:db8:1:2"],
  ["2001:db8::6", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
])("%s is of %s: a host has all of a /64", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test("an address whose time was over is counted anew, and forgotten behind those that were counted before", () => {
  const clock = simulatedClock();
  const attempts = createAttempts(clock);
  attempts.wrong("192.0.2.1");
  clock.advance(30_000);
  attempts.wrong("192.0.2.2");
  clock.advance(30_000);
  for (let i = 0; i < 10; i++) attempts.wrong("192.0.2.1");
  for (let i = 0; i < 9_999; i++) attempts.wrong(`10.0.${i >> 8}.${i & 255}`);
  expect(attempts.waitMs("192.0.2.1")).toBe(60_000);
});
