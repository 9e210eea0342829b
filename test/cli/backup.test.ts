/** `sluice backup`: from its copy a gateway goes on as from the directory that was copied. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spoolStatus } from "../../src/spool/tools/status.ts";
import { Spool } from "../../src/spool/spool.ts";
import { event } from "../contract/entries.ts";
import { runCommand } from "../kit/command.ts";
import { simulatedClock } from "../kit/clock.ts";
import { defaultSpoolSettings, emptyRecord } from "../kit/spool.ts";
import { until } from "../kit/until.ts";

let directory: string;
let dataDir: string;
let copy: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-backup-"));
  [dataDir, copy] = [join(directory, "data"), join(directory, "a", "copy")];
  mkdirSync(dataDir);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const sluice = (...words: string[]) => runCommand(words, { env: { DATA_DIR: dataDir, GATEWAY_ID: "test" } });
const open = () => new Spool({ dataDir, settings: defaultSpoolSettings, clock: simulatedClock() });

describe("sluice backup", () => {
  test("copies what a gateway that runs has committed, for its owner's eyes alone", async () => {
    const spool = open();
    spool.append([event(0), event(1)], emptyRecord);
    await sluice("devices", "add", "acme", "d1", "--site", "s");
    const notes = ["gateway-id", "kafka-position.json", "mqtt-session.json"];
    for (const name of [...notes, "history.ndjson"]) writeFileSync(join(dataDir, name), "hall-7\n");
    const { code, out } = await sluice("backup", copy, "--json");
    spool.append([event(2)], emptyRecord);
    spool.close();
    expect(code).toBe(0);
    const { files } = JSON.parse(out) as { files: { name: string; bytes: number }[] };
    expect(files.map(({ name }) => name)).toEqual(["spool.db", "local.db", ...notes]);
    expect(readdirSync(copy).toSorted()).toEqual(["spool.db", "local.db", ...notes].toSorted());
    for (const { name, bytes } of files) {
      const { mode, size } = statSync(join(copy, name));
      expect([mode & 0o777, size]).toEqual([0o600, bytes]);
    }
    expect(spoolStatus(copy)).toMatchObject({ head: 2, entries: 2 });
    const local = new Database(join(copy, "local.db"), { readonly: true });
    expect(local.query("SELECT device_id FROM device_registry").all()).toEqual([{ device_id: "d1" }]);
    local.close();
  });

  test("a directory with something in it stays as it is", async () => {
    open().close();
    mkdirSync(copy, { recursive: true });
    writeFileSync(join(copy, "other"), "");
    const { code, err } = await sluice("backup", copy);
    expect(code).toBe(1);
    expect(err).toContain(`${copy} is not empty: give a directory for this backup alone`);
    expect(readdirSync(copy)).toEqual(["other"]);
  });

  test("a file in the place of the directory stays as it is", async () => {
    open().close();
    const file = join(directory, "copy.tar");
    writeFileSync(file, "mine");
    expect(await sluice("backup", file)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`${file} is a file: give a directory, which is new or empty`),
    });
    expect(statSync(file).size).toBe(4);
  });

  test("a second backup into the same directory leaves the first alone, and says what one that was killed left", async () => {
    open().close();
    const unfinished = join(copy, "unfinished.part");
    mkdirSync(unfinished, { recursive: true });
    writeFileSync(join(unfinished, "spool.db"), "");
    const { code, err } = await sluice("backup", copy);
    expect(code).toBe(1);
    expect(err).toContain(`another backup into ${copy} is not finished`);
    expect(readdirSync(unfinished)).toEqual(["spool.db"]);
  });

  test("a file that cannot be read whole is named, and no part of it is called a copy", async () => {
    const spool = open();
    for (let i = 0; i < 50; i++)
      spool.append([event(i, { payload: `{"n":"${"x".repeat(5_000)}"}` })], emptyRecord);
    spool.close();
    const path = join(dataDir, "spool.db");
    truncateSync(path, statSync(path).size - 40_000);
    const { code, err } = await sluice("backup", copy);
    expect(code).toBe(1);
    expect(err).toContain(`${path} was not copied`);
    expect(existsSync(join(directory, "a"))).toBe(false);
  });

  test("what fails at its second file leaves nothing of the first, so that it can be tried again", async () => {
    open().close();
    writeFileSync(join(dataDir, "local.db"), "no database at all".repeat(1_000));
    mkdirSync(copy, { recursive: true });
    const { code, err } = await sluice("backup", copy);
    expect(code).toBe(1);
    expect(err).toContain(`${join(dataDir, "local.db")} was not copied`);
    expect(readdirSync(copy)).toEqual([]);
  });

  test("what fails takes nothing with it that somebody put beside it meanwhile", async () => {
    open().close();
    const local = new Database(join(dataDir, "local.db"));
    local.run("CREATE TABLE devices (id)");
    local.run("BEGIN EXCLUSIVE");
    const program = ["run", join(import.meta.dir, "../../src/main.ts"), "backup", copy];
    const child = Bun.spawn([process.execPath, ...program], { env: { DATA_DIR: dataDir }, stderr: "pipe" });
    await until(() => existsSync(join(copy, "unfinished.part", "spool.db")));
    const other = join(directory, "a", "other");
    mkdirSync(other);
    // Also lets go of the lock: POSIX drops it with any descriptor of the file.
    writeFileSync(join(dataDir, "local.db"), "no database at all".repeat(1_000));
    expect(await new Response(child.stderr).text()).toContain("local.db was not copied");
    local.close();
    expect([existsSync(other), existsSync(copy)]).toEqual([true, false]);
  });

  test("an empty directory that was there becomes its owner's alone", async () => {
    open().close();
    mkdirSync(copy, { recursive: true });
    chmodSync(copy, 0o777);
    const { code } = await sluice("backup", copy);
    expect([code, statSync(copy).mode & 0o777]).toEqual([0, 0o700]);
  });

  test("a directory within DATA_DIR is refused, also by another name", async () => {
    open().close();
    symlinkSync(dataDir, join(directory, "link"));
    for (const within of [join(dataDir, "copies", "1"), join(directory, "link", "copies")]) {
      const { code, err } = await sluice("backup", within);
      expect(code).toBe(1);
      expect(err).toContain(`${within} is within ${dataDir}, and would be lost with it`);
      expect(existsSync(join(dataDir, "copies"))).toBe(false);
    }
  });

  test("where there is nothing, nothing is made", async () => {
    const { code, err } = await sluice("backup", copy);
    expect(code).toBe(1);
    expect(err).toContain(`there is neither a spool nor a local store in ${dataDir}: see DATA_DIR`);
    expect(existsSync(copy)).toBe(false);
  });
});
