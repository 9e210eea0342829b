/**
 * The auth cache across a restart: cached rows in a SQLite file beside the spool, so that a reboot in the middle of a
 * registry outage is no outage. Only what changed is written (a row that was merely read again: once per hour),
 * because flash wears; and only what was cached since the last time is looked at for that, because to compare all took half of what an
 * idle gateway does.
 *
 * The file holds hashes of tokens, as the registry does, never a token.
 */
import type { Clock } from "../core/clock.ts";
import { openSqlite } from "../core/sqlite.ts";
import type { DeviceAuthCache } from "./auth-cache.ts";
import type { CachedRow } from "./cached.ts";
import { toFields, type Columns } from "../core/columns.ts";
import { deviceKey } from "../core/device.ts";

export interface SavedCache {
  /** Fills the cache from the file. */
  restore(): void;
  /** Brings the file up to date, in parts, so that messages are not kept waiting. */
  save(): Promise<void>;
  close(): void;
}

/** Looked at in a part, and of those written at a time, which takes some milliseconds. */
const rowsAPart = 2_000;
const rowsAtATime = 250;
const refreshMs = 3_600_000;

/** A row, with the names of the query below. */
type Row = Columns<Omit<CachedRow, "key" | "cachedWallMs">> & Pick<CachedRow, "cachedWallMs">;

const table = `CREATE TABLE IF NOT EXISTS auth_cache (tenant_id TEXT NOT NULL, device_id TEXT NOT NULL, site_id TEXT NOT NULL,
  status TEXT NOT NULL, token_hash TEXT, previous_token_hash TEXT, previous_token_until_ms INTEGER, cached_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, device_id)) WITHOUT ROWID`;

const selectAll = `SELECT tenant_id, device_id, site_id, status, token_hash AS provision_token_hash, previous_token_hash,
  previous_token_until_ms, cached_ms AS cachedWallMs FROM auth_cache ORDER BY cached_ms`;

/** @throws if the file cannot be opened */
export function openSavedCache(path: string, cache: DeviceAuthCache, clock: Clock): SavedCache {
  const db = openSqlite(path);
  // What a power failure takes is looked up again, and an fsync for each part would keep messages waiting.
  db.run("PRAGMA synchronous = NORMAL");
  db.run(table);
  const put = db.query("INSERT OR REPLACE INTO auth_cache VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const drop = db.query("DELETE FROM auth_cache WHERE tenant_id = ? AND device_id = ?");
  /** Device key → checksum of its row in the file. */
  let onFile = new Map<string, number>();
  /** What was cached before is on the file (monotonic). */
  let savedMs = Number.NEGATIVE_INFINITY;
  /** The wall clock less the monotonic one: if a time server sets it, the file has to date all rows anew. */
  let savedOffsetMs = offsetMs();
  /** Many rows take longer than until the next time. */
  let saving: Promise<void> | undefined;

  function offsetMs(): number {
    return clock.wallMs() - clock.monoMs();
  }

  function restore(): void {
    const rows = db
      .query<Row, []>(selectAll)
      .all()
      .map((row) => toFields(row))
      .map((row) => ({ ...row, key: deviceKey(row.tenantId, row.deviceId) }));
    onFile = new Map(rows.map((row) => [row.key, checksum(row)]));
    cache.restore(rows);
  }

  async function bringUpToDate(): Promise<void> {
    const [begunMs, begunOffsetMs] = [clock.monoMs(), offsetMs()];
    if (Math.abs(begunOffsetMs - savedOffsetMs) >= refreshMs) savedMs = Number.NEGATIVE_INFINITY;
    let part: CachedRow[] = [];
    let looked = 0;
    for (const row of cache.snapshot(savedMs)) {
      if (row) part.push(row);
      if (++looked % rowsAPart > 0) continue;
      await writeInParts(part);
      part = [];
      await Bun.sleep(0);
    }
    await writeInParts(part);
    if (onFile.size > cache.size) write([], [...onFile.keys()].filter(isGone));
    [savedMs, savedOffsetMs] = [begunMs, begunOffsetMs];
  }

  /** In the order of the file: neighbours share a page, which is then written once. */
  async function writeInParts(rows: CachedRow[]): Promise<void> {
    rows.sort((a, b) => (a.key < b.key ? -1 : 1));
    for (let at = 0; at < rows.length; at += rowsAtATime) {
      write(rows.slice(at, at + rowsAtATime).filter(isChanged), []);
      await Bun.sleep(0);
    }
  }

  function isChanged(row: CachedRow): boolean {
    return onFile.get(row.key) !== checksum(row);
  }

  function isGone(key: string): boolean {
    return !cache.has(...idOf(key));
  }

  const toFile = db.transaction((rows: readonly CachedRow[], gone: readonly string[]) => {
    for (const row of rows) {
      put.run(...valuesOf(row), row.cachedWallMs);
    }
    for (const key of gone) drop.run(...idOf(key));
  });

  /** @throws if the disk is full or such; what was to be written is still to be, then */
  function write(rows: readonly CachedRow[], gone: readonly string[]): void {
    if (rows.length + gone.length > 0) toFile(rows, gone);
    for (const row of rows) onFile.set(row.key, checksum(row));
    for (const key of gone) onFile.delete(key);
  }

  return {
    restore,
    save: () => (saving ??= bringUpToDate().finally(() => (saving = undefined))),
    close: () => db.close(),
  };
}

function idOf(key: string): [tenantId: string, deviceId: string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** In the order of the table; when it was cached comes after them. */
function valuesOf(row: CachedRow) {
  const { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs } = row;
  return [tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs];
}

function checksum(row: CachedRow): number {
  return Bun.hash.crc32(`${valuesOf(row).join("\n")}\n${Math.floor(row.cachedWallMs / refreshMs)}`);
}
