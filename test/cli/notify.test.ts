import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log/log.ts";
import { systemdOf } from "../../src/cli/service/notify.ts";
import { simulatedClock } from "../kit/clock.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { executable, startGateway } from "../kit/gateway.ts";
import { notifySocket } from "../kit/notify.ts";
import { until } from "../kit/until.ts";

const ends = endsAfterEach();

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
      expect([...new Set(told)]).toEqual([
        "EXTEND_TIMEOUT_USEC=0",
        "READY=1",
        "STATUS=Working; 0 messages/s, nothing waits",
        "WATCHDOG=1",
        "STOPPING=1",
      ]);
    },
  );

  test("is shown how it goes as often as that changes", async () => {
    const { told, systemd, clock } = await unit("path");
    let text = "one";
    const hide = systemd.show(() => text);
    clock.advance(60_000);
    text = "two";
    clock.advance(60_000);
    hide();
    text = "three";
    clock.advance(60_000);
    systemd.notify("STOPPING=1");
    await until(() => told.includes("STOPPING=1"));
    expect(told).toEqual(["STATUS=one", "STATUS=two", "STOPPING=1"]);
  });

  test("is told of a reload with the host's own monotonic time, and of its end even if it does not succeed", async () => {
    const { told, systemd } = await unit("path");
    const reload = systemd.whileReloading(() => Promise.reject(new Error("no")));
    await expect(reload).rejects.toThrow("no");
    await until(() => told.length === 2);
    expect(told[1]).toBe("READY=1");
    const seconds = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(told[0] ?? "")?.[1]) / 1e6;
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    // Time asleep counts only for the uptime.
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(uptime + 1);
    expect(seconds).toBeGreaterThan(process.uptime());
  });
});

describe.skipIf(!existsSync(executable))("SIGHUP", () => {
  const mapping = '[[mapping]]\ntopic = "tele/{device}/SENSOR"\ntenant = "acme"\n';

  /** A gateway in whose file of settings a test writes while it runs. */
  async function service() {
    const { told, path } = await unit("path");
    const dir = mkdtempSync(join(tmpdir(), "sluice-hangup-"));
    ends.push(() => rmSync(dir, { recursive: true }));
    const at = (name: string) => join(dir, name);
    const settings = (more: string) =>
      writeFileSync(at("env"), `ADMIN_TOKEN_FILE=${at("token")}\nMAPPINGS_FILE=${at("map.toml")}\n${more}`);
    writeFileSync(at("token"), "the-first-of-sixteen", { mode: 0o600 });
    writeFileSync(at("map.toml"), mapping);
    settings("");
    const gateway = await startGateway(
      { NOTIFY_SOCKET: path, BROKER_LISTEN: "127.0.0.1:0", SETTINGS_FILE: at("env") },
      undefined,
      { command: ["/bin/sh", "-c", `exec ${executable} run --env-file "$SETTINGS_FILE"`] },
    );
    ends.push(() => gateway.stop());
    await until(() => told.some((state) => state.startsWith("STATUS=")));
    const hangUp = async () => {
      told.length = 0;
      process.kill(gateway.pid, "SIGHUP");
      await until(() => told.includes("READY=1"));
      expect(told[0]).toStartWith("RELOADING=1\n");
    };
    const allows = async (token: string) => {
      const asked = await fetch(`${gateway.url}/admin/rejects`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return asked.ok;
    };
    return { at, settings, gateway, hangUp, allows };
  }

  test("puts secrets in force at once, and names what waits for a restart", async () => {
    const { at, settings, gateway, hangUp, allows } = await service();
    expect(await allows("the-first-of-sixteen")).toBe(true);
    writeFileSync(at("token"), "the-second-of-sixteen");
    writeFileSync(at("map.toml"), `${mapping}# changed\n`);
    settings("LOG_STATS_EVERY_SECONDS=7\n");
    await hangUp();
    expect([await allows("the-first-of-sixteen"), await allows("the-second-of-sixteen")]).toEqual([
      false,
      true,
    ]);
    await until(() => gateway.log().includes("only after a restart"));
    // By the signal, or by the reading of every ten seconds if that came just before it.
    expect(gateway.log()).toMatch(/"(?:taken|settings)":\["ADMIN_TOKEN"\]/);
    expect(gateway.log()).toContain('"settings":["LOG_STATS_EVERY_SECONDS","MAPPINGS_FILE"]');
    expect(await gateway.stop()).toBe(0);
  });

  test.each<[string, string, (at: (name: string) => string, settings: (more: string) => void) => void]>([
    ["an empty secret", "the file is empty", (at) => writeFileSync(at("token"), "")],
    ["a mapping that is none", "map.toml", (at) => writeFileSync(at("map.toml"), "[")],
    ["a wrong setting", "LOG_LEVEL=loud", (_, settings) => settings("LOG_LEVEL=loud\n")],
    ["no file of settings any more", "cannot be read", (at) => rmSync(at("env"))],
  ])("keeps what is in force after %s, and says why", async (_, why, spoil) => {
    const { at, settings, gateway, hangUp, allows } = await service();
    spoil(at, settings);
    await hangUp();
    await until(() =>
      gateway
        .log()
        .split("\n")
        .some((line) => line.includes("nothing was reloaded") && line.includes(why)),
    );
    expect(await allows("the-first-of-sixteen")).toBe(true);
  });
});

describe("no systemd", () => {
  test("is not notified if no unit of Type=notify started us", () => {
    const clock = simulatedClock();
    const systemd = systemdOf({ env: { WATCHDOG_USEC: "30000000" }, clock, log: silentLog });
    systemd.notify("READY=1");
    systemd.feed(() => true);
    systemd.show(() => "it works");
    expect(clock.pending()).toBe(0);
  });

  test("a socket that nobody reads is no error", () => {
    const env = { NOTIFY_SOCKET: "/nowhere/notify" };
    const systemd = systemdOf({ env, clock: simulatedClock(), log: silentLog });
    expect(() => systemd.notify("READY=1")).not.toThrow();
  });
});
