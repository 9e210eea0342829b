import { describe, expect, test } from "bun:test";
import { createLatency } from "../../src/simulator/latency.ts";

describe("latency", () => {
  test("is null if there is none", () => {
    expect(createLatency().percentiles()).toEqual({ p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null });
  });

  test("gives percentiles to 0.1 % and the longest exactly", () => {
    const latency = createLatency();
    for (let ms = 1; ms <= 1000; ms++) latency.add(ms);
    const { p50Ms, p95Ms, p99Ms, maxMs } = latency.percentiles();
    const off = [(p50Ms ?? 0) / 500, (p95Ms ?? 0) / 950, (p99Ms ?? 0) / 990].map((x) => Math.abs(x - 1));
    expect(Math.max(...off)).toBeLessThan(0.001);
    expect(maxMs).toBe(1000);
  });

  test("takes the shortest and the longest times there are", () => {
    const latency = createLatency();
    latency.add(0);
    latency.add(86_400_000);
    expect(latency.percentiles().p50Ms).toBe(0.001);
    expect(latency.percentiles().maxMs).toBe(86_400_000);
  });
});
