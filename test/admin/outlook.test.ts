import { afterEach, describe, expect, test } from "bun:test";
import { createOutlook, type Reading, readingOf } from "../../src/admin/outlook.ts";
import { simulatedClock } from "../kit/clock.ts";
import { drainToMemory, putInto } from "../kit/drain.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function site(bytesMax = 3_600_000) {
  const clock = simulatedClock();
  const state = {
    spooledEntries: 0,
    spooledBytes: 0,
    settledEntries: 0,
    roomBytes: bytesMax,
    waitingEntries: 0,
    writtenBytes: 0,
  };
  const outlook = createOutlook({ clock, read: (): Reading => ({ ...state }) });
  /** So many seconds at these rates. */
  const live = (seconds: number, spooled: number, settled: number) => {
    for (let i = 0; i < seconds; i++) {
      state.spooledEntries += spooled;
      state.spooledBytes += spooled * 10;
      state.writtenBytes += spooled * 40;
      state.settledEntries += settled;
      state.waitingEntries = state.spooledEntries - state.settledEntries;
      state.roomBytes = bytesMax - state.waitingEntries * 10;
      clock.advance(1000);
    }
  };
  return { outlook, live };
}

describe("the outlook", () => {
  test("says nothing before it knows anything", () => {
    expect(site().outlook.stats().offline_hours_left).toBeNull();
  });

  test("says nothing during its first minute: three messages would be extrapolated to years", () => {
    const { outlook, live } = site();
    live(1, 3, 3);
    live(58, 0, 0);
    expect(Object.values(outlook.stats())).toEqual([null, null, null, null, null]);
    live(1, 0, 0);
    expect(outlook.stats().entries_per_second).toBe(0.05);
  });

  test("offline: the hours until the bound at the present rate", () => {
    const { outlook, live } = site();
    live(60, 100, 0);
    const stats = outlook.stats();
    expect(stats.entries_per_second).toBe(100);
    expect(stats.bytes_per_second).toBe(1000);
    // 3,600,000 bytes less the 60,000 held, at 1,000 bytes a second.
    expect(stats.offline_hours_left).toBeCloseTo(0.98, 2);
    expect(stats.drain_seconds_left).toBeNull();
    expect(stats.written_bytes_per_day).toBe(345_600_000);
  });

  test("catching up: the seconds until the last entry is delivered", () => {
    const { outlook, live } = site();
    live(600, 100, 0);
    live(600, 100, 150);
    // 60,000 behind, 30,000 of it made good in ten minutes: as long again.
    expect(outlook.stats().drain_seconds_left).toBe(600);
    live(600, 100, 100);
    expect(outlook.stats().drain_seconds_left).toBeNull();
  });

  test("nothing waiting takes no time to drain", () => {
    const { outlook, live } = site();
    live(60, 100, 100);
    expect(outlook.stats().drain_seconds_left).toBe(0);
    live(660, 0, 0);
    expect(outlook.stats().offline_hours_left).toBeNull();
  });
});

test("what is read of a gateway is that of the sink that is furthest behind", () => {
  const { spool, drain } = drainToMemory(kit);
  putInto(spool, 3);
  const ahead = { stats: () => ({ ...drain.stats(), waiting: 1 }) };
  const { appendedBytes: spooledBytes, roomBytes } = spool;
  expect(spooledBytes).toBeGreaterThan(0);
  expect(readingOf(spool, [ahead, drain])).toEqual({
    ...{ spooledEntries: 3, settledEntries: 0, waitingEntries: 3 },
    ...{ spooledBytes, roomBytes, writtenBytes: expect.any(Number) },
  });
  expect(readingOf(spool, [ahead])).toMatchObject({ settledEntries: 2, waitingEntries: 1 });
  expect(readingOf(spool, [])).toMatchObject({ settledEntries: 3, waitingEntries: 0 });
});
