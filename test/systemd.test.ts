import { describe, expect, test } from "bun:test";
import { silentLog } from "../src/core/log.ts";
import { systemdOf } from "../src/systemd.ts";
import { simulatedClock } from "./kit/clock.ts";

function unit(env: Record<string, string>) {
  const clock = simulatedClock();
  const told: string[] = [];
  const systemd = systemdOf({ env, clock, log: silentLog, spawn: (state) => told.push(state) });
  return { clock, told, systemd };
}

const watched = { NOTIFY_SOCKET: "/run/systemd/notify", WATCHDOG_USEC: "30000000" };

describe("systemd", () => {
  test("is told nothing where no unit of Type=notify started us", () => {
    const { told, systemd, clock } = unit({ WATCHDOG_USEC: "30000000" });
    systemd.notify("READY=1");
    systemd.feed(() => true);
    clock.advance(60_000);
    expect(told).toEqual([]);
  });

  test("is told when we are ready", () => {
    const { told, systemd } = unit(watched);
    systemd.notify("READY=1");
    expect(told).toEqual(["READY=1"]);
  });

  test("its watchdog is fed three times an interval while there is progress, and starves without", () => {
    const { told, systemd, clock } = unit(watched);
    let isProgressing = true;
    const stop = systemd.feed(() => isProgressing);
    clock.advance(30_000);
    expect(told).toEqual(["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
    isProgressing = false;
    clock.advance(60_000);
    expect(told.length).toBe(3);
    isProgressing = true;
    stop();
    clock.advance(60_000);
    expect(told.length).toBe(3);
  });

  test("a host without systemd-notify is warned about, not ended", () => {
    const clock = simulatedClock();
    const spawn = () => {
      throw new Error("ENOENT");
    };
    const systemd = systemdOf({ env: watched, clock, log: silentLog, spawn });
    expect(() => systemd.notify("READY=1")).not.toThrow();
  });
});
