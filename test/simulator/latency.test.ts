import { describe, expect, test } from "bun:test";
import { createLatency } from "../../src/simulator/latency.ts";

describe("latency", () => {
  test("is null if there is none", () => {
    expect(createLatency().percentiles()).toEqual({ p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null });
  });

  test("gives percentiles to 5 % and the longest exactly", () => {
    const latency = createLatency();
    for (let ms = 1; ms <= 1000; ms++) latency.add(ms);
    const { p50Ms, p95Ms, p99Ms, maxMs } = latency.percentiles();
    for (const [got, exact] of [
      [p50Ms, 500],
      [p95Ms, 950],
      [p99Ms, 990],
    ]) {
      expect((got ?? 0) / (exact ?? 1)).toBeGreaterThan(0.95);
      expect((got ?? 0) / (exact ?? 1)).toBeLessThan(1.06);
    }
    expect(maxMs).toBe(1000);
  });

  test("takes the shortest and the longest times there are", () => {
    const latency = createLatency();
    latency.add(0);
    latency.add(86_400_000);
    expect(latency.percentiles().p50Ms).toBeCloseTo(0.01);
    expect(latency.percentiles().maxMs).toBe(86_400_000);
  });
});
