/**
 * Every command that prints much, into every kind of output: a slow reader, one that leaves, a full device, a full
 * disk, none at all. Either all of it arrives, or the exit code is not 0 and nothing is changed.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { simulatedClock } from "../kit/clock.ts";
import { commands } from "../../src/cli/index.ts";
import { endOf, executable, sluice, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { freePort } from "../kit/port.ts";
import { defaultSpoolSettings, entries, emptyRecord } from "../kit/spool.ts";
import { Spool } from "../../src/spool/spool.ts";

const devices = 2_000;
const held = 3_000;

let directory: string;
let data: string;

beforeAll(async () => {
  if (!existsSync(executable)) return;
  directory = mkdtempSync(join(tmpdir(), "sluice-output-"));
  data = join(directory, "data");
  const csv = Array.from({ length: devices }, (_, i) => `acme,device-${i},hall-7`);
  writeFileSync(join(directory, "fleet.csv"), `tenant_id,device_id,site_id\n${csv.join("\n")}\n`);
  const { code } = await sluice({ DATA_DIR: data }, "devices", "import", join(directory, "fleet.csv"));
  expect(code).toBe(0);
  const spool = new Spool({ dataDir: data, settings: defaultSpoolSettings, clock: simulatedClock() });
  spool.append(entries(held), emptyRecord);
  spool.close();
}, 60_000);

afterAll(() => {
  if (directory) rmSync(directory, { recursive: true, force: true });
});

/** Runs it in a shell, because operators use a shell's redirections. `$S` is the command with its arguments. */
function shell(script: string, words: readonly string[] = []) {
  const child = Bun.spawn(["bash", "-c", script, "bash", ...words], {
    env: { PATH: process.env["PATH"], DATA_DIR: data, S: executable },
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return endOf(child);
}

/** Command → the lines that it prints. */
const long: readonly [string, string[], number][] = [
  ["spool export", ["spool", "export"], held],
  ["devices list", ["devices", "list"], devices + 1],
  ["devices export", ["devices", "export"], devices],
  ["devices export as CSV", ["devices", "export", "--format", "csv"], devices + 1],
  ["help settings", ["help", "settings"], -1],
  ["help environment", ["help", "environment"], -1],
  ["help licenses", ["help", "licenses"], -1],
  ["completion bash", ["completion", "bash"], -1],
  ["simulate --print-registry", ["simulate", "--devices", "2000", "--print-registry", "csv"], -1],
];

/** Command → arguments with which it prints something, in this order, because some of them change the state. */
const printing: Readonly<Record<string, string>> = {
  demo: `--seconds 1 --port ${await freePort()}`,
  simulate: "--print-registry sql",
  check: "",
  health: "",
  migrate: "",
  "devices add": "acme added --site s",
  "devices list": "",
  "devices show": "acme device-1",
  "devices update": "acme device-1 --site s",
  "devices revoke": "acme device-1",
  "devices activate": "acme device-1",
  "devices rotate-token": "acme device-1",
  "devices export": "",
  "devices import": "one.ndjson --json",
  "devices remove": "acme device-ANOTHER",
  completion: "bash",
  status: "",
  top: "--count 1",
  rejects: "--json",
  latest: "--json --gateway GATEWAY",
  "mappings try": "--topic tenant/acme/device/d/telemetry < one.ndjson",
  install: "--dry-run",
  uninstall: "--dry-run",
  "cache stats": "--gateway GATEWAY",
  "cache clear": "--gateway GATEWAY",
  "cache invalidate": "acme --gateway GATEWAY",
  "settings list": "",
  "settings set": "MODE PROD",
  "settings unset": "MODE",
  backup: "$(mktemp -d copy.XXXXXX)",
  "spool status": "",
  "spool verify": "",
  "spool repair": "",
  "spool export": "",
  "spool compact": "",
  "dead-letters list": "--json",
  "dead-letters replay": "--all",
  "dead-letters discard": "--all",
  "quarantine list": "--json --gateway GATEWAY",
  "quarantine replay": "--all --gateway GATEWAY",
  "quarantine discard": "--all --gateway GATEWAY",
};
/** A gateway prints its log; the others find nothing here to print. */
const silent = ["run", "events", "upgrade", "dead-letters show", "dead-letters set-aside", "quarantine show"];

describe.skipIf(!existsSync(executable))("output of the executable (skipped without: bun run build)", () => {
  test.each(long)("%s arrives whole behind a slow reader", async (_, words, lines) => {
    const { code, out } = await shell('"$S" "$@" | { sleep 0.3; wc -l; }; exit ${PIPESTATUS[0]}', words);
    const whole = await shell('"$S" "$@"', words);
    expect(code).toBe(0);
    expect(Number(out)).toBe(whole.out.split("\n").length - 1);
    if (lines >= 0) expect(Number(out)).toBe(lines);
  });

  test.each(long)("%s into a full device: exit code 1 and the reason", async (_, words) => {
    const { code, err } = await shell('"$S" "$@" > /dev/full', words);
    expect(code).toBe(1);
    expect(err).toContain("standard output cannot be written: ENOSPC");
  });

  test.each(long)("%s with standard output closed: exit code 1 and the reason", async (_, words) => {
    const { code, err } = await shell('"$S" "$@" >&-', words);
    expect(code).toBe(1);
    expect(err).toContain("standard output cannot be written: it is closed");
  });

  test.each(long)("%s to nowhere, as asked for: exit code 0", async (_, words) => {
    expect((await shell('"$S" "$@" > /dev/null 2>&1 < /dev/null', words)).code).toBe(0);
  });

  test.each(long)("%s for a reader that leaves: exit code 1, without a message", async (_, words) => {
    const { code, err } = await shell('"$S" "$@" | true; exit ${PIPESTATUS[0]}', words);
    expect(err).not.toContain("error");
    expect([0, 1]).toContain(code);
  });

  test("remarks for people may be lost without harm", async () => {
    const { code, out } = await shell('"$S" devices list 2> /dev/full | wc -l; exit ${PIPESTATUS[0]}');
    expect([code, Number(out)]).toEqual([0, devices + 1]);
    expect((await shell('"$S" devices list 2>&- > /dev/null')).code).toBe(0);
  });

  test("a demo whose reader leaves ends in order and leaves nothing behind", async () => {
    const temporary = join(directory, "tmp");
    mkdirSync(temporary);
    const { code, out, err } = await shell(
      `TMPDIR=${temporary} "$S" demo --seconds 20 --port ${await freePort()} | head -1; exit \${PIPESTATUS[0]}`,
    );
    expect([code, err]).toEqual([1, ""]);
    expect(out).toStartWith("Sluice demo: ");
    expect(readdirSync(temporary)).toEqual([]);
  });

  describe("every command whose result cannot be written: exit code 1 and the reason", () => {
    let gateway: GatewayProcess;
    beforeAll(async () => {
      gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" });
      writeFileSync(join(directory, "one.ndjson"), '{"tenant_id":"acme","device_id":"one","site_id":"s"}\n');
    });
    afterAll(async () => {
      await gateway.stop();
      rmSync(gateway.dataDir, { recursive: true, force: true });
    });

    test("the table names every command that prints a result", () => {
      const named = commands.flatMap((entry) =>
        "run" in entry ? [entry.name] : entry.commands.map(({ name }) => `${entry.name} ${name}`),
      );
      const tried = Object.keys(printing);
      expect([...tried, ...silent].sort()).toEqual(named.toSorted());
    });

    test.each(
      Object.entries(printing).flatMap(([name, words]) =>
        ["> /dev/full", ">&-"].map((output): [string, string, string] => [name, output, words]),
      ),
    )("%s %s", async (name, output, words) => {
      const another = output.includes("full") ? "2" : "3";
      const given = words.replaceAll("GATEWAY", gateway.url).replace("ANOTHER", another);
      const script = `HTTP_LISTEN=${new URL(gateway.url).host} "$S" ${name} ${given} ${output}`;
      const { code, err } = await shell(script);
      expect([script, code, err]).toEqual([
        script,
        1,
        expect.stringContaining("standard output cannot be written"),
      ]);
    });
  });

  const registered = async () =>
    (JSON.parse((await shell('"$S" devices list --json')).out) as { device_id: string }[]).map(
      (device) => device.device_id,
    );

  describe("a token that cannot be printed", () => {
    const outputs = ["> /dev/full", ">&-", "| true"];

    test.each(outputs)("devices add %s registers nothing", async (output) => {
      const { code } = await shell(
        `"$S" devices add acme secret-1 --site s ${output}; exit \${PIPESTATUS[0]}`,
      );
      const ids = await registered();
      // A reader that leaves may have got the token before it left.
      if (output === "| true" && code === 0) return;
      expect(code).toBe(1);
      expect(ids).not.toContain("secret-1");
    });

    test.each(outputs.slice(0, 2))("devices rotate-token %s leaves the old one in force", async (output) => {
      await shell('"$S" devices add acme rotated --site s');
      const before = readHash("rotated");
      expect((await shell(`"$S" devices rotate-token acme rotated ${output}`)).code).toBe(1);
      expect(readHash("rotated")).toBe(before);
    });

    test.each(outputs.slice(0, 2))("devices import --make-tokens %s adds nothing", async (output) => {
      const before = await registered();
      writeFileSync(
        join(directory, "more.csv"),
        "tenant_id,device_id,site_id\nacme,more-1,s\nacme,more-2,s\n",
      );
      const { code, err } = await shell(`"$S" devices import more.csv --make-tokens ${output}`);
      expect(code).toBe(1);
      expect(err).toContain("removed again");
      expect(await registered()).toEqual(before);
    });
  });

  const disk = join(tmpdir(), `sluice-output-disk-${process.pid}`);
  mkdirSync(disk, { recursive: true });
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]);
  afterAll(() => {
    Bun.spawnSync(["umount", "-l", disk]);
    rmSync(disk, { recursive: true, force: true });
  });

  test.skipIf(!mounted.success)(
    `a full disk: exit code 1, and a file that was cut is not left${mounted.success ? "" : " (nothing can be mounted here)"}`,
    async () => {
      const redirected = await shell(`"$S" spool export > ${disk}/export`);
      expect([redirected.code, redirected.err.includes("ENOSPC")]).toEqual([1, true]);
      rmSync(join(disk, "export"));
      const named = await shell(`"$S" spool export --output ${disk}/named`);
      expect([named.code, named.err.includes("ENOSPC")]).toEqual([1, true]);
      expect(existsSync(join(disk, "named"))).toBe(false);
    },
  );
});

function readHash(device: string): string | undefined {
  const db = new Database(join(data, "local.db"), { readonly: true });
  const row = db
    .query<{ hash: string }, [string]>(
      "SELECT provision_token_hash AS hash FROM device_registry WHERE device_id = ?",
    )
    .get(device);
  db.close();
  return row?.hash;
}
