/** What the gateway tells the keeper of its memory. */
import { afterEach, expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import { openSavedCache } from "../../src/registry/saved.ts";
import { aDevice } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";
import { scratch, startInProcess, stopAll } from "../kit/inprocess.ts";

const MiB = 1024 * 1024;
const spies: { mockRestore(): void }[] = [];
afterEach(async () => {
  await stopAll();
  for (const spy of spies.splice(0)) spy.mockRestore();
});

/** @returns whether garbage is collected at 250 MiB, of a host that has enough, with so many devices cached */
async function isCollected(devices: number): Promise<boolean> {
  const clock = simulatedClock(Date.now());
  const dataDir = scratch();
  const settings = { ttlSeconds: 60, sizeMax: 100_000, staleSeconds: 86_400 };
  const cache = new DeviceAuthCache(settings, clock);
  for (let n = 0; n < devices; n++) cache.put(aDevice({ deviceId: `d${n}` }));
  const saved = openSavedCache(join(dataDir, "auth-cache.db"), cache, clock);
  await saved.save();
  saved.close();
  const resident = spyOn(process.memoryUsage, "rss").mockReturnValue(100 * MiB);
  spies.push(resident, spyOn(process, "constrainedMemory").mockReturnValue(8_192 * MiB));
  await startInProcess({ DATA_DIR: dataDir }, { clock });
  resident.mockReturnValue(250 * MiB);
  // It looks at what it has used before and after a collection.
  const used = spyOn(process, "cpuUsage").mockClear();
  spies.push(used);
  clock.advance(100);
  return used.mock.calls.length > 2;
}

test("with many devices cached it collects garbage later, for what it needs for them is none", async () => {
  expect(await isCollected(0)).toBe(true);
  expect(await isCollected(20_000)).toBe(false);
});
