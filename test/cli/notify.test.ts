import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log.ts";
import { systemdOf } from "../../src/cli/notify.ts";
import { simulatedClock } from "../kit/clock.ts";
import { executable, startGateway } from "../kit/gateway.ts";
import { notifySocket } from "../kit/notify.ts";
import { until } from "../kit/until.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

let sockets = 0;

/** The socket of a unit, in the file system or abstract, with systemd at its other end. */
async function unit(kind: "path" | "abstract", env: Record<string, string> = {}) {
  const dir = mkdtempSync(join(tmpdir(), "sluice-notify-"));
  ends.push(() => rmSync(dir, { recursive: true }));
  const path = kind === "path" ? join(dir, "notify") : `@sluice-test-${process.pid}-${++sockets}`;
  const socket = notifySocket(path);
  ends.push(() => socket.close());
  const clock = simulatedClock();
  const systemd = systemdOf({ env: { NOTIFY_SOCKET: path, ...env }, clock, log: silentLog });
  return { clock, path, told: socket.told, systemd };
}

describe("systemd", () => {
  for (const kind of ["path", "abstract"] as const) {
    test(`is told when we are ready (${kind})`, async () => {
      const { told, systemd } = await unit(kind);
      systemd.notify("READY=1");
      systemd.notify("STOPPING=1");
      await until(() => told.length === 2);
      expect(told).toEqual(["READY=1", "STOPPING=1"]);
    });
  }

  test("its watchdog is fed three times per interval while there is progress, and starves without", async () => {
    const { told, systemd, clock } = await unit("path", { WATCHDOG_USEC: "30000000" });
    let isProgressing = true;
    const stop = systemd.feed(() => isProgressing);
    clock.advance(30_000);
    isProgressing = false;
    clock.advance(60_000);
    isProgressing = true;
    stop();
    clock.advance(60_000);
    systemd.notify("STOPPING=1");
    await until(() => told.includes("STOPPING=1"));
    expect(told).toEqual(["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
  });

  test.skipIf(!existsSync(executable))(
    "is notified by the executable, without systemd-notify on its PATH",
    async () => {
      const { told, path } = await unit("path");
      const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "300000", BROKER_LISTEN: "127.0.0.1:0", PATH: "" };
      const gateway = await startGateway(env);
      await until(() => told.filter((state) => state === "WATCHDOG=1").length >= 3);
      await gateway.stop();
      await until(() => told.includes("STOPPING=1"));
      expect(told[0]).toBe("READY=1");
      expect([...new Set(told)]).toEqual(["READY=1", "WATCHDOG=1", "STOPPING=1"]);
    },
  );
});

describe("no systemd", () => {
  test("is not notified if no unit of Type=notify started us", () => {
    const clock = simulatedClock();
    const systemd = systemdOf({ env: { WATCHDOG_USEC: "30000000" }, clock, log: silentLog });
    systemd.notify("READY=1");
    systemd.feed(() => true);
    clock.advance(60_000);
  });

  test("a socket that nobody reads is no error", () => {
    const env = { NOTIFY_SOCKET: "/nowhere/notify" };
    const systemd = systemdOf({ env, clock: simulatedClock(), log: silentLog });
    expect(() => systemd.notify("READY=1")).not.toThrow();
  });
});
