/** `sluice check` and the file of the local store: it says what the start of a gateway would find there, and makes nothing. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { openLocalFile } from "../../src/store/sqlite/local-file.ts";

let dir: string;
let path: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-check-local-"));
  path = join(dir, "local.db");
});

afterEach(() => rmSync(dir, { recursive: true }));

async function local() {
  let out = "";
  await execute(["check", "--json"], {
    env: { DATA_DIR: dir, HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" },
    stdout: (text) => void (out += text),
    stderr: () => {},
    signal: new AbortController().signal,
    createLog: () => silentLog,
  });
  const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean; detail: string }[] };
  return probes.find(({ part }) => part === "local");
}

test("its devices are counted", async () => {
  const { db } = openLocalFile(path);
  db.run(
    "INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'a', 's'), ('acme', 'b', 's')",
  );
  const detail = expect.stringContaining(`${path}: 2 devices of 1 tenant`);
  expect(await local()).toMatchObject({ ok: true, detail });
  db.close();
});

test("one that is damaged, or no database, is no good", async () => {
  writeFileSync(path, "no database at all ".repeat(500));
  const detail = expect.stringContaining(`${path} is damaged (file is not a database)`);
  expect(await local()).toMatchObject({ ok: false, detail });
});

test("a database of another program is no good, and stays as it is", async () => {
  const db = new Database(path);
  db.run("CREATE TABLE other (id)");
  const detail = expect.stringContaining(
    `${path}: it is a database, but not the one that belongs here (its tables: other)`,
  );
  expect(await local()).toMatchObject({ ok: false, detail });
  expect(() => openLocalFile(path)).toThrow("local.db: it is a database, but not the one that belongs here");
  expect(db.query("SELECT name FROM sqlite_schema").all()).toEqual([{ name: "other" }]);
  db.close();
});

test("one that is not there, or has no tables yet, stays so", async () => {
  expect(await local()).toMatchObject({ ok: true });
  expect(existsSync(path)).toBe(false);
  const db = new Database(path);
  db.run("PRAGMA user_version = 1");
  expect(await local()).toMatchObject({ ok: true, detail: expect.stringContaining("0 devices") });
  expect(db.query("SELECT name FROM sqlite_schema").all()).toEqual([]);
  db.close();
});
