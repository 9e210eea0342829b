/**
 * A data directory that others may write to, links that lead elsewhere, secrets that everybody can read: refused or
 * warned of, as root and as another user.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exposureOf } from "../../src/config/exposure.ts";
import { endOf, executable } from "../kit/gateway.ts";

/** nobody */
const service = 65_534;
const other = 12_345;
const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && existsSync(executable) && Bun.which("setpriv") !== null;

let directory: string;
let data: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-exposure-"));
  chmodSync(directory, 0o755);
  data = join(directory, "data");
  mkdirSync(data);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function as(user: number, env: Record<string, string>, ...words: string[]) {
  const child = Bun.spawn(["setpriv", `--reuid=${user}`, "--clear-groups", executable, ...words], {
    env: { PATH: process.env["PATH"], DATA_DIR: data, ...env },
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return endOf(child);
}

interface Case {
  readonly what: string;
  readonly owner: number;
  readonly mode: number;
  readonly user: number;
  readonly code: 0 | 78;
  readonly says: string;
}

const cases: Case[] = [
  { what: "our own", owner: service, mode: 0o750, user: service, code: 0, says: "" },
  { what: "our own, open to all", owner: service, mode: 0o777, user: service, code: 78, says: "chmod o-w" },
  {
    what: "of another user",
    owner: other,
    mode: 0o770,
    user: service,
    code: 78,
    says: "belongs to user 12345",
  },
  {
    what: "of another user, open to all",
    owner: other,
    mode: 0o777,
    user: service,
    code: 78,
    says: "chown -R",
  },
  {
    what: "a volume of root's, open to all",
    owner: 0,
    mode: 0o777,
    user: service,
    code: 0,
    says: "chmod o-w",
  },
  { what: "one like /tmp", owner: 0, mode: 0o1777, user: service, code: 0, says: "chmod o-w" },
  { what: "the service's, for a tool of root's", owner: service, mode: 0o750, user: 0, code: 0, says: "" },
  {
    what: "the service's, open to all, for root",
    owner: service,
    mode: 0o777,
    user: 0,
    code: 78,
    says: "chmod",
  },
];

describe.skipIf(!canTry)("the data directory (skipped without root, setpriv or dist/sluice)", () => {
  test.each(cases.map((it) => [it.what, it] as const))("%s", async (_, { owner, mode, user, code, says }) => {
    chownSync(data, owner, owner);
    chmodSync(data, mode);
    const done = await as(user, {}, "migrate");
    expect([done.code, done.err]).toEqual([code, expect.stringContaining(says)]);
    if (code === 78) expect(readdirSync(data)).toEqual([]);
    if (says === "") expect(done.err).not.toContain("DATA_DIR=");
  });

  test("run ends before it touches anything, and names the setting", async () => {
    chownSync(data, service, service);
    chmodSync(data, 0o777);
    const { code, err } = await as(service, {}, "run");
    expect([code, readdirSync(data)]).toEqual([78, []]);
    expect(err).toContain(`DATA_DIR=${data} can be written by every user`);
  });

  test.each([
    ["spool.db", service],
    ["spool.lock", service],
    ["local.db", service],
    ["local.db", 0],
    ["audit.ndjson", service],
  ])("%s that leads elsewhere is not followed by user %d", async (name, user) => {
    chownSync(data, service, service);
    const elsewhere = join(directory, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o777 });
    chmodSync(elsewhere, 0o777);
    symlinkSync(join(elsewhere, "target"), join(data, name));
    for (const words of [["run"], ["migrate"], ["devices", "add", "acme", "d", "--site", "s"]]) {
      const { code, err } = await as(user, {}, ...words);
      expect([words, code, err]).toEqual([
        words,
        78,
        expect.stringContaining(`${join(data, name)} is a symbolic link`),
      ]);
    }
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("a directory above it that everybody may write to causes a warning", async () => {
    chownSync(data, service, service);
    const fix = `every user of this host can write ${directory} above it`;
    chmodSync(directory, 0o777);
    expect((await as(service, {}, "migrate")).err).toContain(fix);
    chmodSync(directory, 0o1777);
    expect((await as(service, {}, "migrate")).err).not.toContain("warning");
  });

  test("a file in it that everybody may write to", async () => {
    chownSync(data, service, service);
    writeFileSync(join(data, "local.db"), "");
    chmodSync(join(data, "local.db"), 0o666);
    const { code, err } = await as(service, {}, "devices", "list");
    expect([code, err]).toEqual([78, expect.stringContaining(`chmod o-w ${join(data, "local.db")}`)]);
  });

  test("a secret that everybody can read causes a warning, but only if others can reach it", async () => {
    chownSync(data, service, service);
    const inner = join(directory, "inner");
    mkdirSync(inner);
    const file = join(inner, "token");
    writeFileSync(file, "a-token-of-some-length\n");
    chownSync(inner, service, service);
    chownSync(file, service, service);
    const warning = `ADMIN_TOKEN: every user of this host can read ${file}: chmod o-rw ${file} (vfat and exfat keep no permissions`;
    const said = async () => (await as(service, { ADMIN_TOKEN_FILE: file }, "migrate")).err;
    chmodSync(inner, 0o755);
    chmodSync(file, 0o644);
    expect(await said()).toContain(warning);
    const key = await as(service, { MQTT_TLS_KEY: file }, "migrate");
    expect(key.err).toContain(`MQTT_TLS_KEY: every user of this host can read ${file}`);
    chmodSync(file, 0o642);
    expect(await said()).toContain(`every user of this host can write ${file}`);
    // Its remedy would close what the whole host needs.
    for (const path of ["/etc", "/dev/null"])
      expect((await as(service, { MQTT_TLS_KEY: path }, "migrate")).err).not.toContain("chmod");
    chmodSync(file, 0o644);
    chmodSync(inner, 0o750);
    expect(await said()).not.toContain("warning");
    chmodSync(inner, 0o755);
    chmodSync(file, 0o640);
    expect(await said()).not.toContain("warning");
  });

  test("a file of settings with a secret in it that everybody can read", async () => {
    const file = join(directory, "sluice.env");
    writeFileSync(file, `DATA_DIR=${data}\nADMIN_TOKEN=a-token-of-some-length\n`);
    chmodSync(file, 0o644);
    const words = ["migrate", "--env-file", file];
    expect((await as(0, {}, ...words)).err).toContain(
      `ADMIN_TOKEN: every user of this host can read ${file}`,
    );
    chmodSync(file, 0o600);
    expect((await as(0, {}, ...words)).err).not.toContain("every user");
  });
});

test("a missing directory, or a file in its place, is not a matter of exposure", () => {
  writeFileSync(join(directory, "file"), "");
  for (const path of [join(directory, "none"), join(directory, "file"), join(directory, "file", "data")])
    expect(exposureOf(path)).toEqual({ mistakes: [], warnings: [] });
});

test("of many links, as in a directory that is not ours, one sentence asks for another directory", () => {
  for (const name of ["a", "b", "c"]) symlinkSync("/dev/null", join(data, name));
  const { mistakes } = exposureOf(data);
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]).toContain("and so are 2 more: set DATA_DIR to a directory of Sluice's own");
});
