/**
 * install, upgrade and uninstall by the compiled executable at their real paths, in a mount namespace where these
 * paths are empty. systemctl is a strict stand-in (kit/systemctl), because a test may not boot systemd.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { executable } from "../kit/gateway.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

setDefaultTimeout(60_000);

const canUnshare =
  process.getuid?.() === 0 && Bun.spawnSync(["unshare", "--mount", "true"]).success
    ? ""
    : "skipped: only root may make a mount namespace";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-install-"));
  for (const name of ["bin", "unit", "etc", "work", "lib", "man", "state"]) mkdirSync(join(directory, name));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string) => join(directory, name);
const told = () => readFileSync(at("state/told"), "utf8").trim().split("\n");

/** Runs a shell command on a host whose paths are directories of ours. `systemd`: whether it has booted. */
function host(script: string, { systemd = true } = {}) {
  const bind = (from: string, to: string) => `mkdir -p ${to} && mount --bind ${at(from)} ${to}`;
  const lines = [
    bind("bin", "/usr/local/bin"),
    // What is written there is ours, and /etc/sluice does not exist at first.
    `mount -t overlay overlay -o lowerdir=/etc,upperdir=${at("etc")},workdir=${at("work")} /etc`,
    bind("unit", "/etc/systemd/system"),
    bind("lib", "/var/lib"),
    bind("man", "/usr/local/share/man"),
    "mount -t tmpfs tmpfs /run",
    systemd ? "mkdir -p /run/systemd/system" : "true",
    script,
  ];
  const child = Bun.spawnSync(["unshare", "--mount", "bash", "-c", lines.join(" && ")], {
    env: {
      PATH: `${join(import.meta.dir, "../kit/systemctl")}:${process.env["PATH"]}`,
      SYSTEMCTL_STATE: at("state"),
    },
    stdin: "ignore",
  });
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

describe.skipIf(canUnshare !== "")(`the service of a host ${canUnshare}`, () => {
  test("--dry-run prints every step and does none", () => {
    const { code, out } = host(`${executable} install --dry-run; ls /usr/local/bin /etc/systemd/system`);
    expect(code).toBe(0);
    expect(out).toMatch(/^would {5}copy this program to \/usr\/local\/bin\/sluice$/m);
    expect(out).toMatch(/^would {5}start it and wait until it is ready$/m);
    expect(out.trimEnd()).toEndWith("/usr/local/bin:");
  });

  test("install makes a service that runs; a second install changes nothing and keeps the settings; uninstall keeps data and settings, --purge does not", () => {
    const first = host(
      `${executable} install && stat -c '%a %n' /usr/local/bin/sluice /etc/sluice /etc/sluice/credentials /etc/sluice/sluice.env /usr/local/share/man/man8 && cmp <(sluice help man) /usr/local/share/man/man8/sluice.8 && man -w sluice`,
    );
    expect(first.err).not.toContain("cannot");
    expect(first.out).toContain("Its page: http://127.0.0.1:8080/");
    expect(first.out).toContain(
      "755 /usr/local/bin/sluice\n700 /etc/sluice\n700 /etc/sluice/credentials\n640 /etc/sluice/sluice.env\n755 /usr/local/share/man/man8\n/usr/local/",
    );
    expect(told()).toContain("restart sluice");

    writeFileSync(at("etc/sluice/sluice.env"), "GATEWAY_ID=mine\n");
    rmSync(at("state/told"));
    const again = host("sluice install");
    expect(again.out.match(/^now /gm)).toBeNull();
    expect(told().filter((words) => !/^(is-|show)/.test(words))).toEqual([]);
    expect(readFileSync(at("etc/sluice/sluice.env"), "utf8")).toBe("GATEWAY_ID=mine\n");

    mkdirSync(at("lib/sluice"), { recursive: true });
    const gone = host(
      "sluice uninstall; ls /usr/local/bin /etc/systemd/system; cat /etc/sluice/sluice.env; ls /var/lib",
    );
    expect(gone.out).toContain("GATEWAY_ID=mine\nsluice\n");
    expect(gone.out).toContain("/etc/systemd/system:\n\n/usr/local/bin:\n");
    const purged = host(`${executable} uninstall --purge; ls /etc/sluice /var/lib`);
    expect(purged.out.trimEnd()).toEndWith("/var/lib:");
  });

  const noAnalyze = Bun.which("systemd-analyze") === null ? "skipped: no systemd-analyze" : "";
  test.skipIf(noAnalyze !== "")(
    `systemd finds nothing to complain of in the installed unit ${noAnalyze}`,
    () => {
      const { code, out, err } = host(
        `${executable} install >/dev/null && systemd-analyze verify /etc/systemd/system/sluice.service 2>&1 && echo clean`,
      );
      expect([code, out, err]).toEqual([0, "clean\n", expect.any(String)]);
    },
  );

  test("a host without systemd is told what to do", () => {
    const { code, err, out } = host(`${executable} install && ls /usr/local/bin`, { systemd: false });
    expect([code, out.includes("sluice\n")]).toEqual([0, true]);
    expect(err).toContain("this host has no systemd");
  });

  /** A program that claims to be Sluice, and then does not start. */
  function pretender(name: string, answer: object, run = "true"): string {
    const path = at(name);
    writeFileSync(
      path,
      `#!/bin/sh\n[ "$1 $2" = "help version" ] && echo '${JSON.stringify(answer)}' && exit 0\n${run}\nexit 1\n`,
    );
    chmodSync(path, 0o755);
    return path;
  }
  const newer = { version: "9.9.9", commit: "cafe", spool_format: 99 };

  test("an upgrade that is not ready goes back to the old one by itself", () => {
    host(`${executable} install`);
    const broken = pretender("broken", newer);
    const { code, err, out } = host(
      `sluice upgrade ${broken}; echo "code $?"; sluice --version; systemctl is-active --quiet sluice && echo active`,
    );
    expect(err).toContain("was not ready in time (journalctl -u sluice says why), so the old one runs again");
    expect(out).toContain("code 1\nsluice 0.");
    expect(out.trimEnd()).toEndWith("active");
    expect(code).toBe(0);
  });

  const onceRun = `(export DATA_DIR=/var/lib/sluice HTTP_LISTEN=127.0.0.1:0 BROKER_LISTEN=127.0.0.1:0
    sluice run >/run/log & until grep -q '"started"' /run/log; do sleep 0.05; done; kill $!; wait $!)`;

  test("an upgrade that has changed the spool's format does not go back, and says before that it cannot", () => {
    host(`${executable} install && ${onceRun}`);
    const spoil = "printf '\\000\\000\\000\\143' | dd of=/var/lib/sluice/spool.db bs=1 seek=60 conv=notrunc";
    const file = pretender("migrating", newer, spoil);
    const { out, err } = host(
      `sluice upgrade ${file}; echo "code $?"; cmp ${file} /usr/local/bin/sluice && echo stays`,
    );
    expect(out).toContain(
      "it gives the spool format 99, which the installed version cannot read: no way back",
    );
    expect(err).toContain("cannot be taken back: it has given the spool format 99, and 0.");
    expect(out.trimEnd()).toEndWith("code 1\nstays");
  });

  test("an upgrade completes the tables in PostgreSQL; a database that is away only causes a warning", async () => {
    const upgradeWith = (url: string) =>
      host(
        `${executable} install && echo DATABASE_URL=${url} >/etc/sluice/sluice.env && cp ${executable} /run/next && printf x >>/run/next && sluice upgrade /run/next && sluice upgrade ${executable}`,
      );
    const away = upgradeWith("postgres://u@127.0.0.1:9/d");
    expect([away.code, away.err]).toEqual([
      0,
      expect.stringContaining("warning: the tables were not completed ("),
    ]);
    if (postgresAvailable() !== "") return;
    const url = await (await sharedPostgres()).createDatabase();
    expect(upgradeWith(url).out).toContain("complete the tables in PostgreSQL (`sluice migrate`)");
    const sql = postgres(url, { max: 1 });
    expect(
      await sql`select tgname from pg_trigger where tgrelid = 'device_registry'::regclass`,
    ).not.toBeEmpty();
    await sql.end();
  });

  test.each([200, 300])(
    "an upgrade that a disk of %d MB has no room for leaves nothing there",
    (megabytes) => {
      const small = `mkdir /run/small && mount -t tmpfs -o size=${megabytes}m tmpfs /run/small && cp /usr/local/bin/sluice /run/small && mount --bind /run/small /usr/local/bin`;
      const { out, err } = host(
        `${executable} install && ${small} && cp ${executable} /run/next && printf x >> /run/next && ! sluice upgrade /run/next && ls /run/small && cmp ${executable} /run/small/sluice && echo stays`,
      );
      expect(err).toContain("no space left on device");
      expect(out.trimEnd()).toEndWith("\nsluice\nstays");
    },
  );

  test("an upgrade to the running version changes nothing; one that works replaces it and keeps the old one beside it", () => {
    host(`${executable} install`);
    expect(host(`sluice upgrade ${executable}`).out).toContain("it is the installed version already");
    const { out, code } = host(
      `cp ${executable} /run/next && printf x >> /run/next && sluice upgrade /run/next && cmp /run/next /usr/local/bin/sluice && cmp ${executable} /usr/local/bin/sluice.previous && echo swapped`,
    );
    expect([code, out.includes("swapped")]).toEqual([0, true]);
  });

  test("the one that was kept can be put in place again, and the service's user can run what was only its owner's", () => {
    host(`${executable} install`);
    const there = "cp /usr/local/bin/sluice /run/next && printf x >> /run/next && chmod 700 /run/next";
    const { out, code } = host(
      `${there} && sluice upgrade /run/next && stat -c '%a' /usr/local/bin/sluice && sluice upgrade /usr/local/bin/sluice.previous && cmp ${executable} /usr/local/bin/sluice && cmp /run/next /usr/local/bin/sluice.previous && echo back`,
    );
    expect([code, out.includes("back")]).toEqual([0, true]);
    expect(out).toContain("\n755\n");
  });

  test.each([
    ["is no Sluice", () => "/bin/true", "is not a Sluice that runs on this host (if it should be one, copy"],
    ["may not be run", () => "/etc/passwd", "runs on this host (`chmod +x /etc/passwd`; if that"],
    ["is not there", () => "/nowhere", "is not a Sluice that runs on this host"],
    [
      "knows only an older format of the spool",
      () => pretender("older", { ...newer, spool_format: 0 }),
      "the spool has format 1",
    ],
  ])("an upgrade to a file that %s changes nothing, and says why", (_, file, why) => {
    host(`${executable} install && ${onceRun}`);
    const { code, err } = host(`sluice upgrade ${file()}`);
    expect(code).toBe(1);
    expect(err).toContain(why);
    expect(host(`cmp ${executable} /usr/local/bin/sluice`).code).toBe(0);
  });

  test("an upgrade to a file that is given by its bare name asks that file, and not the installed program of this name", () => {
    host(`${executable} install`);
    const { code, err } = host("cp /bin/true /run/sluice && cd /run && sluice upgrade sluice");
    expect([code, err]).toEqual([1, expect.stringContaining("/run/sluice is not a Sluice that runs")]);
    expect(host(`cmp ${executable} /usr/local/bin/sluice`).code).toBe(0);
  });

  test("a host with the package is told to use its package manager; what was installed by hand besides can be removed", () => {
    const packaged =
      "mount -t overlay overlay -o lowerdir=/usr/lib/systemd,upperdir=$UP,workdir=$WORK /usr/lib/systemd && mkdir -p /usr/lib/systemd/system && touch /usr/lib/systemd/system/sluice.service";
    for (const name of ["packaged", "packaging"]) mkdirSync(at(name));
    const tried = (words: string) =>
      host(
        `export UP=${at("packaged")} WORK=${at("packaging")} && mkdir -p /usr/lib/systemd && ${packaged} && ${words}`,
      );
    for (const words of ["install", "upgrade /bin/true", "uninstall", "install --dry-run"]) {
      const { code, out, err } = tried(`${executable} ${words}`);
      expect([code, out, err]).toEqual([2, "", expect.stringContaining("apt install ./FILE.deb")]);
    }
    expect(host(`${executable} install`).code).toBe(0);
    expect(tried("/usr/local/bin/sluice uninstall").code).toBe(0);
    expect(host("ls /usr/local/bin").out).toBe("");
  });

  test("a user who is not root gets an error before anything is changed", () => {
    const { code, err } = host(`setpriv --reuid=nobody --clear-groups ${executable} install`);
    expect([code, err.includes("run it as root")]).toEqual([2, true]);
  });
});
