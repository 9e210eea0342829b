/** The auth cache on disk, if the disk does not take it, or has damaged it. */
import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createClosers } from "../../src/core/closers.ts";
import { openDevices } from "../../src/gateway/devices.ts";
import { aDevice } from "../kit/builders.ts";
import { openFiles } from "../kit/open-files.ts";
import { recordingLog } from "../kit/source.ts";
import { localRegistry } from "../kit/stores.ts";

async function setUp() {
  const dataDir = mkdtempSync(join(tmpdir(), "sluice-kept-"));
  const { log, lines } = recordingLog();
  const registry = localRegistry({ path: join(dataDir, "local.db") });
  const loaded = loadConfig({ DATA_DIR: dataDir, GATEWAY_ID: "g" });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("; "));
  const { config } = loaded;
  const start = () => {
    const closers = createClosers(log);
    return {
      ...openDevices({ config, registry, clock: systemClock, log, closers }),
      stop: () => closers.run(),
    };
  };
  const end = async () => {
    await registry.close();
    rmSync(dataDir, { recursive: true });
  };
  return { path: join(dataDir, "auth-cache.db"), lines, start, end };
}

test("that it cannot be kept is logged once until it can", async () => {
  const { path, lines, start, end } = await setUp();
  const { cache, keepCache, stop } = start();
  const disk = new Database(path);
  const tries = async () => {
    for (let n = 0; n < 5; n++) {
      cache.put(aDevice({ deviceId: `d${n}` }));
      await keepCache();
    }
  };
  const full = "CREATE TRIGGER full BEFORE INSERT ON auth_cache BEGIN SELECT RAISE(ABORT, 'full'); END";
  for (const [statement, logged] of [
    [full, 1],
    ["DROP TRIGGER full", 1],
    [full, 2],
  ] as const) {
    disk.run(statement);
    cache.invalidateTenant(null);
    await tries();
    expect(lines).toHaveLength(logged);
  }
  disk.close();
  await stop();
  await end();
});

test.each([
  ["is no database", () => Buffer.alloc(8_192, 7)],
  ["has lost its pages", (bytes: Buffer) => bytes.fill(7, 4_096)],
  ["was cut off", (bytes: Buffer) => bytes.subarray(0, 4_096)],
])("one that %s is begun anew, and the gateway starts", async (_, damaged) => {
  const { path, lines, start, end } = await setUp();
  const first = start();
  for (let n = 0; n < 500; n++) first.cache.put(aDevice({ deviceId: `d${n}` }));
  await first.keepCache();
  await first.stop();
  writeFileSync(path, damaged(readFileSync(path)));
  const second = start();
  expect(lines.map(({ msg }) => msg)).toEqual(["the auth cache kept on disk is damaged, and begun anew"]);
  expect(openFiles().filter((file) => file === `${path} (deleted)`)).toEqual([]);
  second.cache.put(aDevice({ deviceId: "later" }));
  await second.keepCache();
  await second.stop();
  const third = start();
  expect([...third.cache.snapshot()].map((row) => row?.deviceId)).toEqual(["later"]);
  await third.stop();
  await end();
});

test("one in a bad sector is begun anew, and the gateway starts", async () => {
  const { path, lines, start, end } = await setUp();
  const ask = Database.prototype.query;
  let isRead = false;
  const query = spyOn(Database.prototype, "query").mockImplementation(function (this: Database, sql: string) {
    if (isRead || this.filename !== path) return ask.call(this, sql);
    isRead = true;
    // Only SQLite can make one of its errors; they are known by their name.
    throw Object.assign(new Error("disk I/O error"), { name: "SQLiteError", code: "SQLITE_IOERR_CORRUPTFS" });
  } as never);
  const { stop } = start();
  query.mockRestore();
  expect(lines.map(({ msg }) => msg)).toEqual(["the auth cache kept on disk is damaged, and begun anew"]);
  await stop();
  await end();
});
