import { describe, expect, test } from "bun:test";
import { createPacer, type Pacer } from "../../src/simulator/pacer.ts";

function takeAll(pacer: Pacer, nowMs: number): number {
  let taken = 0;
  while (taken < 100_000 && pacer.ready(nowMs)) {
    pacer.take();
    taken += 1;
  }
  return taken;
}

describe("the pacer", () => {
  test("permits the rate, whatever the ticks", () => {
    const pacer = createPacer(250, 0);
    let taken = 0;
    for (const nowMs of [0, 7, 13, 40, 41, 300, 1000, 1999, 2000]) taken += takeAll(pacer, nowMs);
    expect(taken).toBe(501);
  });

  test("catches up what a busy moment delayed, up to one second's worth", () => {
    const pacer = createPacer(100, 0);
    takeAll(pacer, 0);
    expect(takeAll(pacer, 500)).toBe(50);
    expect(takeAll(pacer, 60_500)).toBe(100);
  });

  test("works below one message per second", () => {
    const pacer = createPacer(0.5, 0);
    expect([0, 1000, 2000, 3000, 4000].map((nowMs) => takeAll(pacer, nowMs))).toEqual([1, 0, 1, 0, 1]);
  });

  test("has no limit at 0", () => {
    expect(takeAll(createPacer(0, 0), 0)).toBe(100_000);
  });
});
