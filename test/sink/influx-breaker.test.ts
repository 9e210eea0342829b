/** How long the other databases stay away while the far side is down, and while one of them asks. */
import { expect, test } from "bun:test";
import { createBreaker } from "../../src/sink/influx/breaker.ts";
import { Outage } from "../../src/core/outage.ts";
import { simulatedClock } from "../kit/clock.ts";

function down() {
  const clock = simulatedClock();
  const breaker = createBreaker(clock, () => 1);
  for (let i = 0; i < 3; i++) breaker.down("broken", new Outage("gone"));
  return { clock, breaker };
}

function waitMs(check: () => void): number {
  try {
    check();
    return 0;
  } catch (error) {
    if (error instanceof Outage) return error.retryAfterMs;
    throw error;
  }
}

test("while the far side is down nobody asks until the pause is over", () => {
  const { clock, breaker } = down();
  expect(waitMs(breaker.check)).toBe(1_000);
  clock.advance(1_000);
  expect(waitMs(breaker.check)).toBe(0);
});

test("while one asks the others look again soon, and go on at once when it is answered", () => {
  const { clock, breaker } = down();
  clock.advance(1_000);
  breaker.enter("one");
  expect(waitMs(() => breaker.enter("one"))).toBe(1_000);
  breaker.up();
  expect(waitMs(() => breaker.enter("one"))).toBe(0);
});

test("Retry-After is a floor of the pause", () => {
  const { breaker } = down();
  breaker.down("broken", new Outage("busy", { retryAfterMs: 60_000 }));
  expect(waitMs(breaker.check)).toBe(60_000);
});

test("one that always fails does not keep another from asking first", () => {
  const { clock, breaker } = down();
  clock.advance(1_000);
  expect(waitMs(() => breaker.enter("broken"))).toBe(1_000);
  expect(waitMs(() => breaker.enter("well"))).toBe(0);
  breaker.up();
  expect(waitMs(() => breaker.enter("broken"))).toBe(0);
});

test("if all fail, one of them asks a moment later", () => {
  const { clock, breaker } = down();
  clock.advance(2_000);
  expect(waitMs(() => breaker.enter("broken"))).toBe(0);
});
