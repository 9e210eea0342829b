import { expect, test } from "bun:test";
import fc from "fast-check";
import { bucketsMax, createLimiter } from "../../src/judge/limit.ts";

test("it lets through exactly what a bucket of tokens would", () => {
  const steps = fc.array(
    fc.record({ afterMs: fc.integer({ min: 0, max: 3000 }), key: fc.constantFrom("a", "b") }),
    {
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(
      steps,
      fc.constantFrom(1, 2, 4, 5, 0.5),
      fc.integer({ min: 1, max: 20 }),
      (taken, rps, burst) => {
        const limiter = createLimiter();
        const buckets = new Map<string, { tokens: number; atMs: number }>();
        let nowMs = 17;
        for (const { afterMs, key } of taken) {
          nowMs += afterMs;
          const bucket = buckets.get(key) ?? { tokens: burst, atMs: nowMs };
          const tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) * rps) / 1000);
          const isWanted = tokens >= 1 - 1e-9;
          expect(limiter.take(key, nowMs, rps, burst)).toBe(isWanted);
          buckets.set(key, { tokens: isWanted ? tokens - 1 : tokens, atMs: nowMs });
        }
      },
    ),
  );
});

test("buckets that are full again are forgotten", () => {
  const limiter = createLimiter();
  for (let at = 0; at < 1000; at++) limiter.take(`d${at}`, 0, 5, 20);
  expect(limiter.size()).toBe(1000);
  limiter.take("x", 4001, 5, 20);
  limiter.take("x", 8002, 5, 20);
  expect(limiter.size()).toBe(2);
});

test("a flood of names takes a bounded memory", () => {
  const limiter = createLimiter();
  for (let at = 0; at < 3 * bucketsMax; at++) limiter.take(`d${at}`, 0, 5, 20);
  expect(limiter.size()).toBeLessThanOrEqual(2 * bucketsMax);
});

test("0 is no limit, and takes no memory", () => {
  const limiter = createLimiter();
  for (let at = 0; at < 100; at++) expect(limiter.take("a", 0, 0, 1)).toBe(true);
  expect(limiter.size()).toBe(0);
});
