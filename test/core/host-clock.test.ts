import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/core/log/log.ts";
import { doubtMs, hostClock } from "../../src/core/host-clock.ts";
import { simulatedClock } from "../kit/clock.ts";

const day = 86_400_000;
const year = 365 * day;
const builtMs = Date.UTC(2026, 5, 1);
const nowMs = Date.UTC(2026, 10, 25);

/** A gateway that starts while the host's clock shows `hostMs`, with such an entry as the newest in its spool. */
function start(hostMs: number, newestMs?: number) {
  const host = simulatedClock(hostMs);
  const clock = hostClock({ host, builtMs, log: silentLog });
  clock.begin(newestMs);
  return { host, clock, set: (toMs: number) => host.stepWall(toMs - host.wallMs()) };
}

describe("the host's clock", () => {
  test.each([
    ["as usual", nowMs, nowMs - day],
    ["an empty spool", nowMs, undefined],
    ["set back by half a minute before the restart", nowMs, nowMs + 30_000],
    ["a spool that holds what a clock in 2100 stamped", nowMs, Date.UTC(2100, 0)],
    ["five years in a store room", nowMs + 5 * year, nowMs],
  ])("is believed: %s", (_, hostMs, newestMs) => {
    const { clock } = start(hostMs, newestMs);
    expect(clock.doubt()).toBeNull();
    expect(clock.isTimeKnown()).toBe(true);
    expect(clock.wallMs()).toBe(hostMs);
    expect(clock.correctionMs()).toBeUndefined();
  });

  test.each([
    ["1970", 600_000, "1970-01-01T00:10:00Z, before this executable was made (2026-06-01T00:00:00Z)"],
    ["2000", Date.UTC(2000, 0), "before this executable was made"],
    ["2100", Date.UTC(2100, 0), "more than 50 years after"],
    [
      "before the newest in the spool",
      nowMs - 2 * day,
      "before the newest in the spool (2026-11-24T00:00:00Z)",
    ],
  ])("is not believed: %s", (_, hostMs, words) => {
    const { clock, host } = start(hostMs, nowMs - day);
    expect(clock.doubt()).toContain(words);
    expect(clock.isTimeKnown()).toBe(false);
    // A time of our own: after everything in the spool, and it advances.
    expect(clock.wallMs()).toBe(nowMs - day);
    host.advance(5_000);
    expect(clock.wallMs()).toBe(nowMs - day + 5_000);
  });

  test("is believed once it is set, and what came before gets its time to the millisecond", () => {
    const { clock, host, set } = start(600_000, nowMs - 90 * day);
    const known: number[] = [];
    clock.onTimeKnown(() => known.push(clock.wallMs()));
    host.advance(60_000);
    const stampedMs = clock.wallMs();
    host.advance(3_600_000);
    set(nowMs);
    host.advance(1_000);
    expect(clock.doubt()).toBeNull();
    expect(known).toEqual([nowMs + 1_000]);
    expect(stampedMs + (clock.correctionMs() ?? 0)).toBe(nowMs - 3_600_000);
    expect([clock.isTimeKnown(), clock.isTimeKnown(stampedMs), clock.isTimeKnown(clock.wallMs())]).toEqual([
      true,
      false,
      true,
    ]);
  });

  test("in 1970 is never believed, however long it stays so", () => {
    const { clock, host } = start(0);
    host.advance(10 * day);
    expect(clock.isTimeKnown()).toBe(false);
  });

  test("that is behind the newest entry in the spool is believed when somebody sets it, or after a while", () => {
    const wrongOnce = nowMs + 3 * year;
    const set = start(nowMs, wrongOnce);
    set.set(nowMs + 7_000);
    set.host.advance(1_000);
    expect(set.clock.doubt()).toBeNull();

    const left = start(nowMs, wrongOnce);
    left.host.advance(doubtMs - 1_000);
    expect(left.clock.doubt()).toContain("believed in 1 min");
    left.host.advance(1_000);
    expect(left.clock.doubt()).toBeNull();
    expect(left.clock.wallMs()).toBe(nowMs + doubtMs);
    expect(wrongOnce + 60_000 + (left.clock.correctionMs() ?? 0)).toBe(nowMs + 60_000);
  });

  test.each([
    ["back to 1970", 0],
    ["to 2100", Date.UTC(2100, 0)],
    ["forth by three years", nowMs + 3 * year],
  ])("set %s while the gateway runs: our own count continues, at once and to the millisecond", (_, toMs) => {
    const { clock, host, set } = start(nowMs);
    host.advance(10_000);
    set(toMs);
    expect(clock.wallMs()).toBe(nowMs + 10_000);
    host.advance(60_000);
    expect(clock.wallMs()).toBe(nowMs + 70_000);
    expect(clock.doubt()).toContain("our own count");
    expect(clock.isTimeKnown()).toBe(true);
    set(nowMs + 70_000);
    host.advance(1_000);
    expect(clock.doubt()).toBeNull();
  });

  test("set forward by three years and left so is believed after a while; by a day at once, as after a suspend", () => {
    const { clock, host, set } = start(nowMs);
    set(nowMs + day);
    expect(clock.wallMs()).toBe(nowMs + day);
    host.advance(1_000);
    set(nowMs + 3 * year);
    host.advance(1_000 + doubtMs);
    expect(clock.doubt()).toBeNull();
    expect(clock.wallMs()).toBe(nowMs + 3 * year + 1_000 + doubtMs);
  });

  test("in 1970 never makes our own time go back across restarts", () => {
    let newest: number | undefined;
    let last = 0;
    for (let run = 0; run < 5; run++) {
      const { clock, host } = start(run * 1_000, newest);
      expect(clock.wallMs()).toBeGreaterThanOrEqual(last);
      host.advance(60_000);
      newest = last = clock.wallMs();
    }
  });
});
