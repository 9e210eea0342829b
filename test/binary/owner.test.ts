/** Tools that root runs beside a service without privileges, and commands that read a store that does not exist. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endOf, executable, sluice } from "../kit/gateway.ts";
import { anEntry, defaultSpoolSettings } from "../kit/spool.ts";
import { simulatedClock } from "../kit/clock.ts";
import { Spool } from "../../src/spool/spool.ts";

/** nobody */
const serviceUid = 65_534;
const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && existsSync(executable) && Bun.which("setpriv") !== null;

let directory: string;
let data: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-owner-"));
  data = join(directory, "data");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function asService(...words: string[]) {
  const child = Bun.spawn(["setpriv", `--reuid=${serviceUid}`, "--clear-groups", executable, ...words], {
    env: { PATH: process.env["PATH"], DATA_DIR: data },
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return endOf(child);
}

const asRoot = (...words: string[]) => sluice({ DATA_DIR: data }, ...words);

describe.skipIf(!canTry)("tools that root runs (skipped without root, setpriv or dist/sluice)", () => {
  beforeEach(() => {
    Bun.spawnSync(["chmod", "755", directory]);
    mkdirSync(data);
    chownSync(data, serviceUid, serviceUid);
  });

  test("leave no file of root's in the service's data directory", async () => {
    const spool = new Spool({ dataDir: data, settings: defaultSpoolSettings, clock: simulatedClock() });
    spool.append([anEntry()], {
      books: new Map([
        ["received", 1],
        ["accepted", 1],
      ]),
    });
    spool.close();
    rmSync(join(data, "spool.lock"));
    chownSync(join(data, "spool.db"), serviceUid, serviceUid);
    chownSync(join(data, "spool.state"), serviceUid, serviceUid);
    const tools = [
      ["migrate"],
      ["devices", "add", "acme", "d1", "--site", "s"],
      ["devices", "list"],
      ["settings", "set", "RATE_LIMIT_RPS", "7"],
      ["spool", "status"],
      ["spool", "verify"],
      ["spool", "export"],
      ["spool", "compact"],
      ["spool", "repair"],
    ];
    for (const words of tools) {
      expect([words, (await asRoot(...words)).code]).toEqual([words, 0]);
      const roots = readdirSync(data).filter((name) => statSync(join(data, name)).uid !== serviceUid);
      expect([words, roots]).toEqual([words, []]);
    }
    expect((await asService("devices", "show", "acme", "d1")).code).toBe(0);
    expect((await asService("spool", "verify")).code).toBe(0);
  });

  test.each(["local.db", "spool.lock"])(
    "a %s that root owns is reported with its owner and the remedy",
    async (name) => {
      const made = name === "local.db" ? ["migrate"] : ["spool", "verify"];
      const spool = new Spool({ dataDir: data, settings: defaultSpoolSettings, clock: simulatedClock() });
      spool.close();
      await asRoot(...made);
      chownSync(join(data, name), 0, 0);
      Bun.spawnSync(["chmod", "600", join(data, name)]);
      const { code, err } = await asService(
        ...(name === "local.db" ? ["devices", "list"] : ["spool", "verify"]),
      );
      expect(code).toBe(1);
      expect(err).toContain(`${join(data, name)} belongs to user 0 and this is user ${serviceUid}`);
      expect(err).toContain(`chown --reference=${data}`);
    },
  );
});

test.skipIf(!canTry).each(
  // Closed to everybody else, and open to the group for reading.
  ["700", "750"].flatMap((mode) => ["devices list", "spool status", "spool verify"].map((it) => [mode, it])),
)(
  "in a directory of mode %s %s says whose it is, and neither that nothing is there nor that it is damaged",
  async (mode = "", words = "") => {
    Bun.spawnSync(["chmod", "755", directory]);
    expect((await asRoot("migrate")).code).toBe(0);
    new Spool({ dataDir: data, settings: defaultSpoolSettings, clock: simulatedClock() }).close();
    Bun.spawnSync(["chmod", mode, data]);
    const { code, out, err } = await asService(...words.split(" "));
    expect([code, out]).toEqual([1, ""]);
    const cure = "run this as that user, or as root";
    expect(err).toContain(`${data} belongs to user 0 and this is user ${serviceUid}: ${cure}`);
    expect(err).not.toContain("there is no");
  },
);

const readers = [
  ["devices", "list"],
  ["devices", "show", "acme", "d"],
  ["devices", "export"],
  ["devices", "revoke", "acme", "d"],
  ["devices", "rotate-token", "acme", "d"],
  ["devices", "remove", "acme", "d"],
  ["settings", "list"],
  ["settings", "unset", "MODE"],
  ["spool", "status"],
  ["spool", "verify"],
  ["spool", "repair"],
  ["spool", "export"],
  ["spool", "compact"],
];

describe.skipIf(!existsSync(executable))("a command that only reads creates nothing", () => {
  test.each(readers.map((words) => [words.join(" "), words] as const))("%s", async (_, words) => {
    for (const isThere of [false, true]) {
      if (isThere) mkdirSync(data);
      const { code, out, err } = await asRoot(...words);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain("DATA_DIR");
      expect(existsSync(data) ? readdirSync(data) : []).toEqual([]);
      expect(existsSync(data)).toBe(isThere);
    }
  });

  test("each command says which store it works on", async () => {
    expect((await asRoot("migrate")).out).toContain(join(data, "local.db"));
    expect((await asRoot("devices", "list")).err).toStartWith(
      `in the local store, ${join(data, "local.db")}\n`,
    );
    expect((await asRoot("settings", "list")).err).toBe(`in the local store, ${join(data, "local.db")}\n`);
    new Spool({ dataDir: data, settings: defaultSpoolSettings, clock: simulatedClock() }).close();
    const ofSpool = [...readers, ["dead-letters", "list"]].filter(
      ([group]) => group !== "devices" && group !== "settings",
    );
    for (const words of ofSpool) {
      const { err: said } = await asRoot(...words);
      expect([words, said.split("\n")[0]]).toEqual([words, `in the spool, ${join(data, "spool.db")}`]);
    }
    const elsewhere = { DATA_DIR: join(directory, "new") };
    const added = await sluice(elsewhere, "devices", "add", "acme", "d", "--site", "s");
    expect(added.err).toContain(`in the local store, ${join(directory, "new", "local.db")}, which is new`);
    writeFileSync(join(directory, "none"), "");
    const database = { DATABASE_URL: "postgres://me:hunter2@127.0.0.1:1/db", PG_TIMEOUT_MS: "500" };
    const { code, err } = await sluice(database, "devices", "list");
    expect(code).toBe(1);
    expect(err).toStartWith("in PostgreSQL, ");
    expect(err).not.toContain("hunter2");
  });
});
