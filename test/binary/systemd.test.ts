/**
 * The service under a real systemd, as an operator has it: one file copied to an empty Debian, `install`, a message and
 * its row; then everything that systemd and an operator may do to it. The tests follow one another on one host.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debPackage } from "../../src/release/packages.ts";
import { textsOf } from "../../src/release/release.ts";
import { boot, type Booted } from "../kit/booted.ts";
import { executable } from "../kit/gateway.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(180_000);

const found = await boot();
const why = typeof found === "string" ? found : "";
const host = found as Booted;
afterAll(() => (why === "" ? host.end() : undefined));

/** What a shell script says; its exit code must be 0. */
function sh(script: string): string {
  const { code, out, err } = host.run(script);
  if (code !== 0) throw new Error(`${script}: ${code}\n${out}${err}`);
  return out.trim();
}
const property = (name: string) => sh(`systemctl show --value -p ${name} sluice`);
const journal = () => sh("journalctl -u sluice --no-pager -o cat");
const isActive = () => property("ActiveState") === "active";

function rows(sql: string): Record<string, unknown>[] {
  const db = new Database(join(host.root, "var/lib/private/sluice/local.db"), { readonly: true });
  try {
    return db.query<Record<string, unknown>, []>(sql).all();
  } finally {
    db.close();
  }
}
const count = (where: string) =>
  Number(rows(`select count(*) as n from raw_events where ${where}`)[0]?.["n"]);

/** Publishes one message as a device does, and waits for its row. */
async function publish(device: string, value: number): Promise<void> {
  const token = sh(`sluice devices add acme ${device} --site hall-7 2>/dev/null`);
  const message = `{"site_id":"hall-7","provision_token":"${token}","metrics":{"temp_c":${value}}}`;
  sh(`mosquitto_pub -h 127.0.0.1 -q 1 -t tenant/acme/device/${device}/telemetry -m '${message}'`);
  await until(() => count(`device_id = '${device}'`) === 1);
}

/** The data on a disk of its own, as docs/operating.md has it. */
const mountDisk = "mount --bind /var/lib/private/sluice /var/lib/private/sluice";
/** It must be empty by then. */
const unmountDisk = "umount /var/lib/private/sluice && rmdir /var/lib/private/sluice";

/** Writes the file of settings and restarts. */
function restartWith(settings: string) {
  writeFileSync(join(host.root, "etc/sluice/sluice.env"), settings);
  return host.run("systemctl restart sluice");
}

describe.skipIf(why !== "")(`under a booted systemd ${why}`, () => {
  // On a quick machine the restarts of several tests fall into the ten seconds in which systemd allows five.
  beforeEach(() => void host.run("systemctl reset-failed sluice"));

  test("one file copied and `install`: it is ready, and the row of a published message is there", async () => {
    cpSync(executable, join(host.root, "root/sluice"));
    expect(sh("/root/sluice install")).toContain("Its page: http://127.0.0.1:8080/");
    expect([isActive(), property("UnitFileState")]).toEqual([true, "enabled"]);
    await publish("first", 21.5);
    expect(sh("sluice latest --tenant acme --device first")).toContain("21.5");
    expect(sh("systemctl status sluice --no-pager -n 0")).toContain('Status: "Working; ');
  });

  test("an install, and an upgrade, that ended before the restart go on there, as one that is done does not", () => {
    // All that the first start wrote is in the write-ahead log.
    expect(sh("sluice upgrade --dry-run /root/sluice")).not.toContain("no way back");
    const restarted = (command: string) => {
      const before = property("MainPID");
      const said = sh(command);
      return [property("MainPID") !== before, said.includes("as it is  ") || said.includes("already")];
    };
    for (const command of ["/root/sluice install", "sluice upgrade /root/sluice"]) {
      sh("cp /root/sluice /usr/local/bin/sluice.new && mv /usr/local/bin/sluice.new /usr/local/bin/sluice");
      expect(restarted(command)).toEqual([true, true]);
      expect(restarted(command)).toEqual([false, true]);
    }
  });

  test("an `install` that cannot start it says why", async () => {
    sh("systemctl stop sluice");
    sh("systemd-run --quiet --unit=other -E DATA_DIR=/root/other -E HTTP_LISTEN=127.0.0.1:0 sluice run");
    await until(() => host.run("mosquitto_pub -h 127.0.0.1 -t a -n").code === 0);
    const { code, err } = host.run("/root/sluice install");
    expect([code, err]).toEqual([1, expect.stringMatching(/it said: cannot start: .*127\.0\.0\.1:1883/)]);
    sh("systemctl stop other && /root/sluice install");
  });

  test("it runs without rights, and only it reads what it writes", () => {
    const status = sh(`cat /proc/${property("MainPID")}/status`);
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).not.toMatch(/^Uid:\s+0/m);
    expect(sh("stat -c %a /var/lib/private/sluice")).toBe("700");
  });

  test("a restart under load loses nothing and writes nothing twice", async () => {
    const fleet = "--tenants load --devices 20 --seed 7";
    sh(
      `sluice simulate ${fleet} --print-registry csv >/root/fleet.csv && sluice devices import /root/fleet.csv`,
    );
    const sender = host.start(
      `sluice simulate ${fleet} --broker mqtt://127.0.0.1:1883 --count 6000 --rate 1000 --json`,
    );
    await until(() => count("tenant_id = 'load'") > 500);
    sh("systemctl restart sluice");
    await until(() => count("tenant_id = 'load'") > 3000);
    sh("systemctl kill --kill-whom=main --signal=KILL sluice");
    expect(await sender.exited).toBe(0);
    const sent = JSON.parse(await new Response(sender.stdout).text()) as { acknowledged: number };
    await until(() => count("tenant_id = 'load'") >= sent.acknowledged);
    expect(count("tenant_id = 'load'")).toBe(6000);
    expect(Number(property("NRestarts"))).toBe(1);
  });

  test("a credential is in force after a restart, and the reload of a service says what it read", async () => {
    writeFileSync(join(host.root, "etc/sluice/credentials/admin-token"), "sixteen-characters-1\n");
    sh("systemctl restart sluice");
    expect(sh("sluice check --json")).toContain('"ADMIN_TOKEN","value":"***","origin":"file"');
    sh("systemctl reload sluice");
    // The unit's reload is a signal: systemctl may return before it is acted upon.
    await until(() => journal().includes("reloaded: the files of secrets and certificates were read again"));
    await until(isActive);
    expect(journal()).not.toContain("sixteen-characters-1");
    rmSync(join(host.root, "etc/sluice/credentials/admin-token"));
  });

  test("a wrong configuration ends it with 78, and systemd does not try again", async () => {
    expect(restartWith("LOG_LEVEL=loud\n").code).not.toBe(0);
    await Bun.sleep(2_500);
    expect([property("ActiveState"), property("ExecMainStatus"), property("NRestarts")]).toEqual([
      "failed",
      "78",
      "0",
    ]);
    expect(journal()).toContain("LOG_LEVEL=loud");
    expect(restartWith("").code).toBe(0);
  });

  test("a gateway that stands still is killed and started anew", async () => {
    sh("mkdir -p /etc/systemd/system/sluice.service.d");
    sh(
      "printf '[Service]\\nWatchdogSec=2\\n' >/etc/systemd/system/sluice.service.d/short.conf && systemctl daemon-reload && systemctl restart sluice",
    );
    const before = property("MainPID");
    sh(`kill -STOP ${before}`);
    await until(() => Number(property("NRestarts")) > 0 && isActive());
    expect(property("MainPID")).not.toBe(before);
    expect(journal()).toContain("Watchdog timeout (limit 2s)!");
    sh("rm -r /etc/systemd/system/sluice.service.d && systemctl daemon-reload && systemctl restart sluice");
  });

  test("an upgrade to an executable that does not start goes back by itself", async () => {
    const answer = '{"version":"9.9.9","commit":"cafe","spool_format":99}';
    sh(
      `printf '#!/bin/sh\\n[ "$1 $2" = "help version" ] && echo "%s" && exit 0\\nexit 1\\n' '${answer.replaceAll('"', '\\"')}' >/root/broken && chmod +x /root/broken`,
    );
    const { code, err } = host.run("sluice upgrade /root/broken");
    expect([code, err.includes("so the old one runs again")]).toEqual([1, true]);
    expect(isActive()).toBe(true);
    sh("cmp /root/sluice /usr/local/bin/sluice");
    await publish("upgraded", 1);
  });

  test("uninstall leaves settings and data, --purge nothing but the place at which a disk is mounted", () => {
    sh("sluice uninstall");
    expect(host.run("systemctl cat sluice").code).not.toBe(0);
    expect(sh("ls /etc/sluice /var/lib/private/sluice")).toMatch(/sluice\.env[\s\S]*local\.db/);
    sh(mountDisk);
    expect(sh("/root/sluice uninstall --purge")).toContain("unmount it");
    sh(unmountDisk);
    expect(
      sh("ls -A /etc/sluice /var/lib/sluice /var/lib/private/sluice /usr/local/bin 2>/dev/null || true"),
    ).toBe("/usr/local/bin:");
  });

  test("dpkg installs the package as a service, and removes it; settings and data stay until a purge", async () => {
    const work = mkdtempSync(join(tmpdir(), "sluice-deb-"));
    const order = {
      program: executable,
      target: { deb: "amd64", rpm: "x86_64" },
      texts: textsOf(),
      outDir: work,
      workDir: work,
      epochSeconds: 1_795_000_000,
    } as const;
    cpSync(debPackage(order), join(host.root, "root/sluice.deb"));
    rmSync(work, { recursive: true });
    sh("dpkg -i /root/sluice.deb");
    expect([isActive(), property("UnitFileState")]).toEqual([true, "enabled"]);
    await publish("packaged", 2);
    sh("systemctl disable --now sluice && dpkg -i /root/sluice.deb");
    expect([isActive(), property("UnitFileState")]).toEqual([false, "disabled"]);
    sh("systemctl enable --now sluice && dpkg -r sluice");
    expect(host.run("systemctl is-active sluice").code).not.toBe(0);
    expect(sh("ls /var/lib/private/sluice")).toContain("local.db");
    sh(`${mountDisk} && dpkg --purge sluice && ${unmountDisk}`);
    expect(sh("ls -A /etc/sluice /var/lib/sluice /var/lib/private/sluice 2>/dev/null || true")).toBe("");
  });
});
