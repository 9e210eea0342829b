import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/core/log/log.ts";
import { startWatchdog, type Oldest } from "../../src/intake/watchdog.ts";
import { simulatedClock } from "../kit/clock.ts";

function site(namedMs: Partial<Record<Oldest["stage"], number>> = {}, stage: Oldest["stage"] = "look-up") {
  const clock = simulatedClock();
  const done: string[] = [];
  const state = { held: null as string | null, since: undefined as number | undefined, unacknowledged: 0 };
  const oldest = (): Oldest | undefined =>
    state.since === undefined
      ? undefined
      : { waitedMs: clock.monoMs() - state.since, topic: "tenant/a/device/b/telemetry", stage };
  const watchdog = startWatchdog({
    seconds: 60,
    namedMs: { "look-up": 0, group: 0, ...namedMs },
    clock,
    log: silentLog,
    intake: {
      get held() {
        return state.held;
      },
      oldest,
      giveUpLookups: () => done.push("give up look-ups"),
      flush: () => done.push("flush"),
    },
    sources: [
      {
        status: () => ({
          kind: "mqtt",
          connected: true,
          detail: "",
          reconnects: 0,
          unacknowledged: state.unacknowledged,
        }),
        reconnect: () => void done.push("reconnect"),
      },
    ],
  });
  return { clock, done, state, watchdog };
}

describe("the stall watchdog", () => {
  test("does nothing while messages come and go", () => {
    const { clock, done, state, watchdog } = site();
    for (let i = 0; i < 300; i++) {
      state.since = clock.monoMs();
      state.unacknowledged = i;
      clock.advance(1_000);
    }
    expect(done).toEqual([]);
    expect(watchdog.isProgressing()).toBe(true);
  });

  test("frees a message whose look-up never answers, writes the group and reconnects", () => {
    const { clock, done, state, watchdog } = site();
    state.since = clock.monoMs();
    clock.advance(62_000);
    expect(done).toEqual(["give up look-ups", "flush", "reconnect"]);
    expect(watchdog.isProgressing()).toBe(false);
    state.since = undefined;
    clock.advance(1_000);
    expect(watchdog.isProgressing()).toBe(true);
    expect(watchdog.stalls()).toBe(1);
  });

  test("tries again only after the same time again, and does not pretend progress meanwhile", () => {
    const { clock, done, state, watchdog } = site();
    state.since = clock.monoMs();
    clock.advance(90_000);
    expect(done.length).toBe(3);
    clock.advance(40_000);
    expect(done.length).toBe(6);
    expect(watchdog.isProgressing()).toBe(false);
  });

  test("reconnects if acknowledgements are never sent", () => {
    const { clock, done, state } = site();
    state.unacknowledged = 20;
    clock.advance(63_000);
    expect(done).toContain("reconnect");
  });

  test("does not count the time in which the whole process stood still: paused, or behind a disk that hung", () => {
    const { clock, done, state, watchdog } = site();
    state.since = clock.monoMs();
    clock.spend(300_000);
    clock.advance(1);
    clock.advance(55_000);
    expect([done, watchdog.isProgressing()]).toEqual([[], true]);
    clock.advance(7_000);
    expect(done.splice(0)).toContain("give up look-ups");
    state.since = undefined;
    state.unacknowledged = 20;
    clock.advance(5_000);
    clock.spend(300_000);
    clock.advance(30_000);
    expect(done).toEqual([]);
    clock.advance(35_000);
    expect(done).toContain("reconnect");
  });

  test.each([
    ["a look-up has the time of REGISTRY_WAIT_MS", "look-up"],
    ["a group has the time of SPOOL_LINGER_MS", "group"],
  ] as const)("%s, and no device is disconnected because of it", (_, stage) => {
    const { clock, done, state, watchdog } = site({ [stage]: 600_000 }, stage);
    state.since = clock.monoMs();
    clock.advance(650_000);
    expect(done).toEqual([]);
    expect(watchdog.isProgressing()).toBe(true);
    clock.advance(20_000);
    expect(done).toEqual(["give up look-ups", "flush", "reconnect"]);
  });

  test("a held intake waits for a known reason: it is left alone", () => {
    const { clock, done, state, watchdog } = site();
    state.since = clock.monoMs();
    state.held = "the spool is full";
    clock.advance(600_000);
    expect(done).toEqual([]);
    expect(watchdog.isProgressing()).toBe(true);
  });
});
