import { expect, test } from "bun:test";
import { residentBytesMax } from "../../src/core/memory/budget.ts";
import { keepWithin } from "../../src/gateway/memory-keeper.ts";
import { simulatedClock } from "../kit/clock.ts";

const MB = 1_000_000;
const bytesMax = 250 * MB;

/** A process that holds `live`, and besides what it has let go of and nobody collected. */
function aProcess({ live = 80 * MB, collectMs = 50, bytesMax: most = bytesMax } = {}) {
  const clock = simulatedClock();
  const state = { live, garbage: 0, micros: 0, collections: 0, unmappings: 0, looks: 0, peak: 0 };
  const stop = keepWithin({
    bytesMax: () => most,
    clock,
    resident() {
      state.looks++;
      return state.live + state.garbage;
    },
    cpuMicros: () => state.micros,
    collect() {
      state.collections++;
      state.garbage = 0;
      state.micros += collectMs * 1000;
    },
    unmap() {
      state.unmappings++;
    },
  });
  /** @param share of a core that it uses */
  function work(seconds: number, bytesPerSecond: number, share: number): void {
    for (let i = 0; i < seconds * 10; i++) {
      state.garbage += bytesPerSecond / 10;
      state.micros += share * 100_000;
      state.peak = Math.max(state.peak, state.live + state.garbage);
      clock.advance(100);
    }
  }
  return { state, work, stop };
}

test("under a load that lets go of 50 MB a second, it stays near its budget", () => {
  const { state, work } = aProcess();
  work(60, 50 * MB, 0.9);
  expect(state.peak).toBeLessThan(bytesMax * 1.25);
  expect(state.collections).toBeWithin(10, 25);
});

test("below its budget, nothing is collected while there is work", () => {
  const { state, work } = aProcess();
  work(30, 5 * MB, 0.5);
  expect(state.collections).toBe(0);
});

test("once the load is over, what it left is collected, once", () => {
  const { state, work } = aProcess();
  work(10, 15 * MB, 0.9);
  work(60, 0, 0.01);
  expect(state).toMatchObject({ collections: 1, garbage: 0 });
});

test("a load is over after five seconds, however long it was", () => {
  const { state, work } = aProcess();
  work(12, 8 * MB, 0.9);
  work(4, 0, 0.01);
  expect(state.collections).toBe(0);
  work(2, 0, 0.01);
  expect(state).toMatchObject({ collections: 1, garbage: 0 });
});

test("what lives is no growth: beyond the budget it is collected once, and so it is after a load", () => {
  const beyond = aProcess();
  beyond.state.live = 300 * MB;
  beyond.work(60, 0, 0.9);
  expect(beyond.state.collections).toBe(1);
  const after = aProcess();
  after.state.live = 200 * MB;
  after.work(60, 0, 0.01);
  expect(after.state.collections).toBe(1);
});

test("a bound is what an operator sets, or the default, or a cgroup that has less", () => {
  const MiB = 1024 * 1024;
  expect(residentBytesMax({ bytesMax: 160 * MiB }, 0, 8192 * MiB)).toBe(140 * MiB);
  expect(residentBytesMax({}, 0, 128 * MiB)).toBe(112 * MiB);
  expect(residentBytesMax({}, 0, 8192 * MiB)).toBe(224 * MiB);
});

test("the devices that are cached raise the default by up to half of what there is, and not what an operator sets", () => {
  const MiB = 1024 * 1024;
  const devices = 1024 * 1024;
  expect(residentBytesMax({}, devices, 8192 * MiB)).toBe(((256 + 2048) * MiB * 7) / 8);
  expect(residentBytesMax({}, devices, 1024 * MiB)).toBe(672 * MiB);
  expect(residentBytesMax({}, devices, 128 * MiB)).toBe(112 * MiB);
  expect(residentBytesMax({ bytesMax: 160 * MiB }, devices, 8192 * MiB)).toBe(140 * MiB);
});

test("a load that needed collections leaves what it still held at the last: that goes too", () => {
  const { state, work } = aProcess();
  state.live = 200 * MB;
  work(10, 40 * MB, 0.9);
  const during = state.collections;
  expect(during).toBeGreaterThan(3);
  // Its windows are empty now, and the same is garbage.
  [state.live, state.garbage] = [80 * MB, 120 * MB];
  work(30, 0, 0.01);
  expect(state).toMatchObject({ collections: during + 1, garbage: 0 });
});

test("the program's pages may go every second while nothing is done or much, and every fifth otherwise", () => {
  const { state, work } = aProcess();
  work(10, 0, 0.01);
  expect(state.unmappings).toBe(10);
  work(60, 0, 0.04);
  expect(state.unmappings).toBe(10 + 12);
  work(60, 1 * MB, 0.3);
  expect(state.unmappings).toBe(10 + 12 + 12);
  work(60, 1 * MB, 0.9);
  expect(state.unmappings).toBe(10 + 12 + 12 + 60);
});

test("what lives beyond the budget is not looked through again and again", () => {
  const { state, work } = aProcess({ live: 300 * MB });
  work(10, 1 * MB, 0.9);
  expect(state.collections).toBe(0);
});

test("collections take a quarter of the part by which the budget is exceeded, a tenth at most, and no more of the CPU", () => {
  for (const live of [1.05, 1.2, 10])
    for (const share of [0.1, 0.9]) {
      const { state, work } = aProcess({ live: bytesMax * live, collectMs: 100 });
      work(200, 30 * MB, share);
      const part = (state.collections * 100) / (200_000 * share);
      expect(part).toBeGreaterThan(0.02);
      expect(part).toBeLessThanOrEqual(Math.min((state.peak / bytesMax - 1) / 4, 1 / 10));
    }
});

test("while it is calm it is looked at twice a second, and a flood then finds it awake in time", () => {
  const { state, work } = aProcess();
  work(10, 0, 0.01);
  state.looks = 0;
  work(60, 0, 0.01);
  expect(state.looks).toBe(120);
  work(60, 50 * MB, 0.9);
  expect(state.peak).toBeLessThan(bytesMax * 1.25);
  expect(state.looks).toBeGreaterThan(120 + 550);
});

test("a gateway that does nothing is left alone, and so is one that has stopped", () => {
  const { state, work, stop } = aProcess();
  work(600, 0.01 * MB, 0.01);
  expect(state.collections).toBe(0);
  stop();
  work(10, 100 * MB, 0.01);
  expect(state.collections).toBe(0);
});
