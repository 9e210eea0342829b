/** The auth cache on disk: changes are written, removed rows disappear, and nobody waits long for it. */
import { Database } from "bun:sqlite";
import { afterEach, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import { openSavedCache } from "../../src/registry/saved.ts";
import { aDevice } from "../kit/builders.ts";
import { keptRows } from "../kit/kept-rows.ts";
import { simulatedClock } from "../kit/clock.ts";

const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true });
});

function setUp(devices: number) {
  const dir = mkdtempSync(join(tmpdir(), "sluice-saved-"));
  dirs.push(dir);
  const settings = { ttlSeconds: 60, sizeMax: 100_000, staleSeconds: 86_400 };
  const clock = simulatedClock();
  const make = () => new DeviceAuthCache(settings, clock);
  const cache = make();
  for (let n = 0; n < devices; n++) cache.put(aDevice({ deviceId: `d${n}` }));
  const path = join(dir, "auth-cache.db");
  /** What the next start would find. */
  const rows = () => {
    const next = make();
    const saved = openSavedCache(path, next, clock);
    saved.close();
    return keptRows(next, clock);
  };
  const kept = () => rows().map(({ deviceId }) => deviceId);
  return { path, rows, clock, cache, saved: openSavedCache(path, cache, clock), kept };
}

test("cached rows are found again, removed ones are not", async () => {
  const { cache, saved, kept } = setUp(12_000);
  await saved.save();
  expect(kept()).toHaveLength(12_000);
  cache.invalidate("acme", "d7");
  cache.invalidate("acme", "d11999");
  cache.put(aDevice({ deviceId: "new" }));
  await saved.save();
  saved.close();
  const found = new Set(kept());
  expect(found.size).toBe(11_999);
  expect([found.has("d7"), found.has("d11999"), found.has("new")]).toEqual([false, false, true]);
});

test("the rows of a tenant that was removed, and those for which there was no room, are not found again", async () => {
  const { cache, saved, kept } = setUp(3);
  cache.put(aDevice({ tenantId: "zeta" }));
  await saved.save();
  cache.invalidateTenant("acme");
  await saved.save();
  expect(kept()).toEqual(["dev-0001"]);
  for (let n = 0; n < 100_000; n++) cache.put(aDevice({ deviceId: `n${n}` }));
  await saved.save();
  saved.close();
  expect(kept()).toHaveLength(cache.stats().size);
});

test("rows that the cache did not take from the file leave it", async () => {
  const { path, clock, saved, kept } = setUp(3);
  await saved.save();
  saved.close();
  const off = new DeviceAuthCache({ ttlSeconds: 0, sizeMax: 10, staleSeconds: 0 }, clock);
  const next = openSavedCache(path, off, clock);
  await next.save();
  next.close();
  expect(kept()).toEqual([]);
});

test("what changes between two times, or while it is written, is on the file after the next", async () => {
  const { clock, cache, saved, kept } = setUp(7_000);
  for (let n = 0; n < 4; n++) {
    const saving = saved.save();
    cache.put(aDevice({ deviceId: `during ${n}` }));
    cache.invalidate("acme", `d${n}`);
    await saving;
    clock.advance(10_000);
    cache.put(aDevice({ deviceId: `between ${n}` }));
    cache.invalidate("acme", `d${n + 100}`);
  }
  await saved.save();
  saved.close();
  expect(kept().toSorted()).toEqual([...cache.snapshot()].map(({ deviceId }) => deviceId).toSorted());
});

test("what was written before the disk was full is written again the next time", async () => {
  const { path, cache, saved, kept } = setUp(3);
  await saved.save();
  const other = new Database(path);
  other.run(
    "CREATE TRIGGER full BEFORE INSERT ON auth_cache WHEN NEW.device_id = 'second' BEGIN SELECT RAISE(ABORT, 'full'); END",
  );
  cache.put(aDevice({ deviceId: "first" }));
  cache.put(aDevice({ deviceId: "second" }));
  expect(await saved.save().catch(String)).toContain("full");
  other.run("DROP TRIGGER full");
  other.close();
  await saved.save();
  expect(kept().toSorted()).toEqual(["d0", "d1", "d2", "first", "second"]);
});

// The deadline is the test: while a write waits for the lock, nothing else in the gateway moves.
test("a file that somebody has locked keeps nobody waiting, and is written the next time", async () => {
  const { path, saved, kept } = setUp(3);
  const operator = new Database(path);
  operator.run("BEGIN IMMEDIATE");
  for (let i = 0; i < 3; i++) expect(await saved.save().catch(String)).toContain("database is locked");
  operator.run("ROLLBACK");
  operator.close();
  await saved.save();
  expect(kept()).toHaveLength(3);
}, 5_000);

test("rows that were written before the host knew the time are dated anew once it does", async () => {
  const { clock, saved, rows } = setUp(3);
  clock.advance(10_000);
  await saved.save();
  clock.stepWall(365 * 86_400_000);
  await saved.save();
  saved.close();
  // As old as a row without a reading since the start: by the earlier date it would have been a year, too stale to serve.
  expect(rows().map(({ cachedWallMs }) => clock.wallMs() - cachedWallMs)).toEqual([60_000, 60_000, 60_000]);
});

test("a row that was read again and says the same is written once an hour", async () => {
  const { path, clock, cache, saved } = setUp(0);
  const file = new Database(path);
  const onFile = () => file.query("SELECT site_id, cached_ms FROM auth_cache").values();
  const reread = async (afterMs: number, siteId = "plant") => {
    clock.advance(afterMs);
    cache.put(aDevice({ siteId, tokenHash: null }));
    await saved.save();
  };
  await reread(3_600_000 - (clock.wallMs() % 3_600_000));
  const first = clock.wallMs();
  await reread(3_599_999);
  expect(onFile()).toEqual([["plant", first]]);
  await reread(1);
  expect(onFile()).toEqual([["plant", first + 3_600_000]]);
  await reread(1, "yard");
  expect(onFile()).toEqual([["yard", first + 3_600_001]]);
  file.close();
  saved.close();
});

test("an unchanged cache is not compared again", async () => {
  const { clock, cache, saved } = setUp(3);
  await saved.save();
  clock.advance(10_000);
  const savedMs = clock.monoMs();
  await saved.save();
  const [compared, lookedFor] = [spyOn(cache, "snapshot"), spyOn(cache, "has")];
  await saved.save();
  expect(compared).toHaveBeenCalledWith(savedMs);
  expect(lookedFor).not.toHaveBeenCalled();
  cache.put(aDevice({ deviceId: "d1" }));
  expect([...cache.snapshot(savedMs)].map((row) => row?.deviceId)).toEqual([undefined, undefined, "d1"]);
  saved.close();
});

test("a large cache is written and checked in parts, and once at a time", async () => {
  const { saved } = setUp(12_000);
  let turns = 0;
  const turnWhileWritten = setInterval(() => turns++, 0);
  await Promise.all([saved.save(), saved.save()]);
  clearInterval(turnWhileWritten);
  expect(turns).toBeGreaterThan(12_000 / 500);
  turns = 0;
  const turn = setInterval(() => turns++, 0);
  await saved.save();
  clearInterval(turn);
  saved.close();
  expect(turns).toBeGreaterThan(0);
});
