/** Each time counts in its own bucket, whatever was observed before it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Histogram, latencyBounds } from "../../src/core/histogram.ts";

test("a time counts under the least bound that it lies within, also if others came between", () => {
  const ms = fc.oneof(
    fc.constantFrom(-5, 0, 1, 2, 3, 20, 999, 1_000, 1_001, 1e9),
    fc.integer({ min: -10, max: 5_000 }),
  );
  fc.assert(
    fc.property(fc.array(ms, { maxLength: 30 }), (times) => {
      const histogram = new Histogram();
      for (const time of times) histogram.observeMs(time);
      const expected = Array.from({ length: latencyBounds.length + 1 }, () => 0);
      for (const time of times) {
        const bucket = latencyBounds.findIndex((bound) => time <= bound * 1000);
        expected[bucket < 0 ? latencyBounds.length : bucket]! += 1;
      }
      const { counts, count, sumSeconds } = histogram.stats();
      expect(counts).toEqual(expected);
      expect(count).toBe(times.length);
      expect(sumSeconds).toBeCloseTo(times.reduce((sum, time) => sum + Math.max(0, time), 0) / 1000, 6);
    }),
  );
});
