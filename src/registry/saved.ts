/**
 * The auth cache across a restart: cached rows in a SQLite file beside the spool, so that a reboot in the middle of a
 * registry outage is no outage. Only what changed is written (a row that was merely read again: once per hour),
 * because flash wears; and only what was cached since the last time is looked at for that, because to compare all took half of what an
 * idle gateway does. What is on the file the file alone knows: what stands there of a device, kept beside its row, was a sixth of that.
 *
 * The file holds hashes of tokens, as the registry does, never a token.
 */
import type { Database } from "bun:sqlite";
import type { Clock } from "../core/clock.ts";
import { openSqlite } from "../core/file/sqlite.ts";
import type { DeviceAuthCache } from "./auth-cache.ts";
import type { Cached, CachedRow } from "./cached.ts";
import { inParts } from "./in-parts.ts";
import type { DeviceId } from "../core/device.ts";

export interface SavedCache {
  /** Brings the file up to date, in parts, so that messages are not kept waiting. */
  save(): Promise<void>;
  close(): void;
}

/** Looked at in a part, and of those written at a time, which takes some milliseconds. */
const rowsAPart = 2_000;
const rowsAtATime = 250;
const refreshMs = 3_600_000;

const table = `CREATE TABLE IF NOT EXISTS auth_cache (tenant_id TEXT NOT NULL, device_id TEXT NOT NULL, site_id TEXT NOT NULL,
  status TEXT NOT NULL, token_hash TEXT, previous_token_hash TEXT, previous_token_until_ms INTEGER, cached_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, device_id)) WITHOUT ROWID`;

const selectAll = `SELECT tenant_id AS tenantId, device_id AS deviceId, site_id AS siteId, status, token_hash AS tokenHash,
  previous_token_hash AS previousTokenHash, previous_token_until_ms AS previousTokenUntilMs, cached_ms AS cachedWallMs
  FROM auth_cache ORDER BY cached_ms`;

const values = (of = "") =>
  `(${of}site_id, ${of}status, ${of}token_hash, ${of}previous_token_hash, ${of}previous_token_until_ms`;
const hour = (of = "") => `${of}cached_ms / ${refreshMs}`;

/** Writes nothing for a row that stands there already. */
const upsert = `INSERT INTO auth_cache VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  ${values()}, cached_ms) = ${values("excluded.")}, excluded.cached_ms)
  WHERE ${values()}, ${hour()}) IS NOT ${values("excluded.")}, ${hour("excluded.")})`;

const selectIdsAfter = `SELECT tenant_id AS tenantId, device_id AS deviceId FROM auth_cache
  WHERE (tenant_id, device_id) > (?, ?) ORDER BY tenant_id, device_id LIMIT ${rowsAPart}`;

/** Fills the cache from the file. @throws if it cannot be opened or read */
export function openSavedCache(path: string, cache: DeviceAuthCache, clock: Clock): SavedCache {
  const db = openSqlite(path);
  try {
    return savedIn(db, cache, clock);
  } catch (error) {
    db.close();
    throw error;
  }
}

function savedIn(db: Database, cache: DeviceAuthCache, clock: Clock): SavedCache {
  // What a power failure takes is looked up again, and an fsync for each part would keep messages waiting.
  db.run("PRAGMA synchronous = NORMAL");
  // KiB. Rows are written in the order of the file, so that pages are seldom needed twice; SQLite would keep 2,000 of them.
  db.run("PRAGMA cache_size = -256");
  db.run(table);
  const put = db.query(upsert);
  const drop = db.query("DELETE FROM auth_cache WHERE tenant_id = ? AND device_id = ?");
  const idsAfter = db.query<DeviceId, [string, string]>(selectIdsAfter);
  /** Of the cache's removals, those that the file has followed; -1: nor is what the cache did not take from it looked for yet. */
  let followed = -1;
  /** What was cached before is on the file (monotonic). */
  let savedMs = Number.NEGATIVE_INFINITY;
  /** The wall clock less the monotonic one: if a time server sets it, the file has to date all rows anew. */
  let savedOffsetMs = offsetMs();
  /** Many rows take longer than until the next time. */
  let saving: Promise<void> | undefined;

  function offsetMs(): number {
    return clock.wallMs() - clock.monoMs();
  }

  async function bringUpToDate(): Promise<void> {
    const [begunMs, begunOffsetMs] = [clock.monoMs(), offsetMs()];
    if (Math.abs(begunOffsetMs - savedOffsetMs) >= refreshMs) savedMs = Number.NEGATIVE_INFINITY;
    const changed: Cached[] = [];
    let looked = 0;
    for (const row of cache.snapshot(savedMs)) {
      if (row) changed.push(row);
      if (++looked % rowsAPart === 0) await Bun.sleep(0);
    }
    for (const part of await inParts(changed, rowsAPart)) await writeInOrder(part);
    if (cache.removals > followed) await dropGone();
    [savedMs, savedOffsetMs] = [begunMs, begunOffsetMs];
  }

  async function writeInOrder(part: Cached[]): Promise<void> {
    part.sort((a, b) => (a.key < b.key ? -1 : 1));
    for (let at = 0; at < part.length; at += rowsAtATime) {
      write(part.slice(at, at + rowsAtATime));
      await Bun.sleep(0);
    }
  }

  async function dropGone(): Promise<void> {
    const { removals } = cache;
    for (let last: DeviceId | undefined = { tenantId: "", deviceId: "" }; last !== undefined;) {
      const ids = idsAfter.all(last.tenantId, last.deviceId);
      forget(ids.filter(({ tenantId, deviceId }) => !cache.has(tenantId, deviceId)));
      last = ids.at(-1);
      await Bun.sleep(0);
    }
    followed = removals;
  }

  /** @throws if the disk is full or such; what was to be written is still to be, then */
  const write = db.transaction((rows: readonly Cached[]) => {
    for (const row of rows) put.run(...valuesOf(row.toKeep(offsetMs())));
  });

  /** @throws likewise */
  const forget = db.transaction((gone: readonly DeviceId[]) => {
    for (const { tenantId, deviceId } of gone) drop.run(tenantId, deviceId);
  });

  // One at a time: all at once they are as large again as the cache.
  cache.restore(db.query<CachedRow, []>(selectAll).iterate());
  // Another process that has it locked would keep the whole gateway waiting; from now on it is tried again soon instead.
  db.run("PRAGMA busy_timeout = 0");
  return {
    save: () => (saving ??= bringUpToDate().finally(() => (saving = undefined))),
    close: () => db.close(),
  };
}

/** In the order of the table. */
function valuesOf(row: CachedRow) {
  const { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash } = row;
  const { previousTokenUntilMs, cachedWallMs } = row;
  const hashes = [tokenHash, previousTokenHash, previousTokenUntilMs] as const;
  return [tenantId, deviceId, siteId, status, ...hashes, cachedWallMs] as const;
}
