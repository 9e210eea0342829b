/** The auth cache on disk, if the disk does not take it. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createClosers } from "../../src/core/closers.ts";
import { openDevices } from "../../src/gateway/devices.ts";
import { aDevice } from "../kit/builders.ts";
import { recordingLog } from "../kit/source.ts";
import { localRegistry } from "../kit/stores.ts";

test("that it cannot be kept is logged once until it can", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "sluice-kept-"));
  const { log, lines } = recordingLog();
  const closers = createClosers(log);
  const registry = localRegistry({ path: join(dataDir, "local.db") });
  const loaded = loadConfig({ DATA_DIR: dataDir, GATEWAY_ID: "g" });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("; "));
  const { config } = loaded;
  const { cache, keepCache } = openDevices({ config, registry, clock: systemClock, log, closers });
  const disk = new Database(join(dataDir, "auth-cache.db"));
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
    cache.clear();
    await tries();
    expect(lines).toHaveLength(logged);
  }
  disk.close();
  await closers.run();
  await registry.close();
  rmSync(dataDir, { recursive: true });
});
