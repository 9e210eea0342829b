/**
 * The auth cache: what the judge reads for every message instead of the registry.
 *
 * A row is *fresh* for the TTL. Past the TTL it is *stale*: kept, and served only while the registry does not answer,
 * so that an outage of the database is not an outage of the site. After that it is kept only for `has`, until the
 * cache's bound. While changes may be missed (the watch was lost or never stood), a row is fresh for at most
 * unwatchedFreshMs. Rows from before the watch stood again count as unverified, as do those from an earlier life of
 * the process: they serve as stale rows do. Only rows that were found are cached, never misses.
 *
 * A Map keeps insertion order and a row is inserted again each time it is cached, so the oldest stand first: nothing
 * is ever sorted, and a check costs the same among a hundred devices as among a million.
 */
import type { Address } from "../core/address.ts";
import { interned } from "../core/text/own-text.ts";
import type { Clock } from "../core/clock.ts";
import { integer, type Values } from "../core/settings.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";
import { Cached, type CachedRow, never } from "./cached.ts";
import { TokenIndex } from "./token-index.ts";

export const cacheSettings = {
  ttlSeconds: integer({
    name: "AUTH_CACHE_TTL_SECONDS",
    default: 60,
    max: 31_536_000,
    unit: "seconds",
    help: "How long a device's registry row is trusted before it is read again; 0 turns the cache off.",
  }),
  sizeMax: integer({
    name: "AUTH_CACHE_MAX_SIZE",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "devices",
    help: "The most devices cached; at the bound the oldest tenth is removed.",
  }),
  staleSeconds: integer({
    name: "AUTH_CACHE_STALE_SECONDS",
    default: 86_400,
    max: 31_536_000,
    unit: "seconds",
    help: "How long past the TTL a row still serves while the registry does not answer.",
  }),
};

/**
 * Without a watch the registry does not notify of a revocation; this is how late it may then be seen, by a message. A connection is
 * looked at as often (intake/recheck.ts), and finds a row of that age: together they stay below a second.
 */
export const unwatchedFreshMs = 450;
/** A row that led to a reject is read again at most this often per device. */
export const rereadEveryMs = 5000;
/** The share of the cache that is removed at the bound. */
const evictedShare = 0.1;
/** After so long with a registry that answers, whatever was cleared and is in use is back. */
export const clearedForMs = 86_400_000;
/** How many distinct tenants, sites and states are shared. */
const internedMax = 10_000;

/** Where a device is at hand: with the row that was last found for it, whose strings it shares. */
type At = Pick<Address, "key" | "row" | "share">;

export class DeviceAuthCache {
  readonly #settings: Values<typeof cacheSettings>;
  readonly #clock: Clock;
  readonly #rows = new Map<string, Cached>();
  /** Made when it is first asked for: most sites never do. */
  #tokens: TokenIndex | undefined;
  /** Tenants, sites and states repeat, so all rows share one string: a quarter less memory, and as much of the garbage collector's work. */
  readonly #intern = interned(internedMax);
  readonly #ttlMs: number;
  readonly #keptMs: number;
  #freshMs: number;
  /** Rows of an earlier generation are unverified. */
  #generation = 1;
  /** Monotonic; since when the registry does not answer. null: it answers. */
  #awayMs: number | null = null;
  #hits = 0;
  #misses = 0;
  #staleHits = 0;
  #evictions = 0;
  #invalidated = 0;
  /** Monotonic: when rows of a tenant or of all were removed, later by as long as the registry was away since: none came back then. */
  #clearedMs = never;

  constructor(settings: Values<typeof cacheSettings>, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#ttlMs = settings.ttlSeconds * 1000;
    this.#keptMs = this.#ttlMs + settings.staleSeconds * 1000;
    this.#freshMs = this.#ttlMs;
  }

  /**
   * Returns undefined if the device is not cached and must be looked up.
   * @param at where the device is at hand
   * @param nowMs monotonic
   */
  get(tenantId: string, deviceId: string, at?: At, nowMs = this.#clock.monoMs()): DeviceAuth | undefined {
    const row = at === undefined ? this.#rows.get(deviceKey(tenantId, deviceId)) : this.#rowAt(at);
    if (row !== undefined) {
      const ageMs = nowMs - row.cachedMs;
      const isFresh = this.#isFresh(row, ageMs);
      if (isFresh || (this.#awayMs !== null && ageMs < this.#keptMs)) {
        this.#hits++;
        if (!isFresh) this.#staleHits++;
        return row;
      }
    }
    this.#misses++;
    return undefined;
  }

  #rowAt(at: At): Cached | undefined {
    if (at.row?.home === this.#rows) return at.row as Cached;
    const row = this.#rows.get(at.key);
    at.row = row;
    if (row !== undefined) at.share(row.key, row.deviceId);
    return row;
  }

  /** Was the device found in the registry before, however long ago? Such devices are looked up before those never heard of. */
  has(tenantId: string, deviceId: string): boolean {
    return this.#rows.has(deviceKey(tenantId, deviceId));
  }

  /**
   * May a device that is not here be registered all the same? Empty, as with a TTL of 0, once too small for the fleet, or lately cleared, the
   * cache cannot tell. After a restart it is full as after an eviction.
   */
  mayLack(): boolean {
    const { size } = this.#rows;
    if (size === 0 || size >= this.#settings.sizeMax * (1 - evictedShare)) return true;
    const answeredMs = this.#awayMs ?? this.#clock.monoMs();
    return this.#evictions > 0 || answeredMs - this.#clearedMs < clearedForMs;
  }

  /**
   * The device whose cached row, fresh or not, has this token; undefined: none or several have. A guess, since rows change: whether
   * the token is good is to be found out of the device, and whether another has it, too, of the registry, unless `isSole`.
   */
  ownerOf(tokenHash: string): (DeviceId & { readonly isSole: boolean }) | undefined {
    this.#tokens ??= new TokenIndex(this.#rows);
    const key = this.#tokens.ownerOf(tokenHash);
    const row = key === undefined ? undefined : this.#rows.get(key);
    if (row === undefined) return undefined;
    const { tenantId, deviceId, isSole } = row;
    return { tenantId, deviceId, isSole: isSole && this.#isFresh(row) };
  }

  /** The registry says that nobody else has a token of this device. */
  noteSole({ tenantId, deviceId }: DeviceId): void {
    const row = this.#rows.get(deviceKey(tenantId, deviceId));
    if (row !== undefined) row.isSole = true;
  }

  /** Would it serve now? Counts nothing. */
  isFresh(tenantId: string, deviceId: string): boolean {
    const row = this.#rows.get(deviceKey(tenantId, deviceId));
    return row !== undefined && this.#isFresh(row);
  }

  /** @returns the row as it is kept */
  put(row: DeviceAuth): DeviceAuth {
    return this.#insert(row, this.#clock.monoMs(), this.#generation);
  }

  #isFresh(row: Cached, ageMs = this.#clock.monoMs() - row.cachedMs): boolean {
    return ageMs < this.#freshMs && row.generation === this.#generation;
  }

  /** May the row of a device be read again because it led to a reject? At most once per rereadEveryMs; "yes" counts as reading. */
  mayReread(tenantId: string, deviceId: string): boolean {
    const row = this.#rows.get(deviceKey(tenantId, deviceId));
    const nowMs = this.#clock.monoMs();
    if (row === undefined || this.#awayMs !== null || nowMs - row.rereadMs < rereadEveryMs) return false;
    row.rereadMs = nowMs;
    return true;
  }

  invalidate(tenantId: string, deviceId: string): boolean {
    const isRemoved = this.#remove(deviceKey(tenantId, deviceId));
    if (isRemoved) this.#invalidated++;
    return isRemoved;
  }

  /** Removes the rows of a tenant, or of all tenants if null. @returns how many rows were removed */
  invalidateTenant(tenantId: string | null): number {
    const before = this.#rows.size;
    this.#tokens = undefined;
    for (const [key, row] of this.#rows)
      if (tenantId === null || row.tenantId === tenantId) this.#drop(key, row);
    const removed = before - this.#rows.size;
    if (removed > 0) this.#clearedMs = this.#awayMs ?? this.#clock.monoMs();
    this.#invalidated += removed;
    return removed;
  }

  /** Sets whether the registry answers. While it does not, stale and unverified rows serve. */
  setAvailable(isAvailable: boolean): void {
    const nowMs = this.#clock.monoMs();
    if (isAvailable) this.#clearedMs += nowMs - (this.#awayMs ?? nowMs);
    this.#awayMs = isAvailable ? null : (this.#awayMs ?? nowMs);
  }

  /** The watch does not stand (any more): from now on changes may be missed. */
  unwatched(): void {
    this.#freshMs = Math.min(this.#ttlMs, unwatchedFreshMs);
  }

  /** The watch stands: what was read before is unverified, what is read from now on is good for the TTL. */
  watched(): void {
    this.#freshMs = this.#ttlMs;
    this.#generation++;
  }

  /** Devices in use (read within the last TTL) whose rows are unverified, oldest first. May be walked in parts. */
  *unverified(): Generator<DeviceId> {
    for (const row of this.#rows.values()) {
      if (row.generation !== this.#generation && this.#clock.monoMs() - row.cachedMs < this.#ttlMs) yield row;
    }
  }

  /** Devices, fresh or not. */
  get size(): number {
    return this.#rows.size;
  }

  /** In the names of admin/cache-stats.ts. */
  stats() {
    const asked = this.#hits + this.#misses;
    return {
      size: this.size,
      max_size: this.#settings.sizeMax,
      ttl_seconds: this.#settings.ttlSeconds,
      hits: this.#hits,
      misses: this.#misses,
      hit_rate: asked === 0 ? null : this.#hits / asked,
      stale_hits: this.#staleHits,
      evictions: this.#evictions,
    };
  }

  /** Rows that left since the start; one that was read again did not. */
  get removals(): number {
    return this.#evictions + this.#invalidated;
  }

  /** All rows for the local file, oldest first; null for each that was cached before `sinceMs` (monotonic). May be walked in parts. */
  snapshot(): Generator<Cached>;
  snapshot(sinceMs: number): Generator<Cached | null>;
  *snapshot(sinceMs = never): Generator<Cached | null> {
    for (const cached of this.#rows.values()) yield cached.cachedMs < sinceMs ? null : cached;
  }

  /** Restores a snapshot, oldest first. The rows count as expired: they serve as stale rows until they are read again. */
  restore(rows: Iterable<CachedRow>): void {
    const [wallMs, monoMs] = [this.#clock.wallMs(), this.#clock.monoMs()];
    for (const row of rows) this.#insert(row, monoMs - Math.max(wallMs - row.cachedWallMs, this.#ttlMs), 0);
  }

  #insert(row: DeviceAuth, cachedMs: number, generation: number): DeviceAuth {
    if (this.#ttlMs === 0) return row;
    const key = deviceKey(row.tenantId, row.deviceId);
    const present = this.#rows.get(key);
    if (present !== undefined) this.#remove(key);
    else if (this.#rows.size >= this.#settings.sizeMax) this.#evict();
    const cached = new Cached(key, row, this.#intern, cachedMs, generation);
    if (present !== undefined) cached.rereadMs = present.rereadMs;
    cached.home = this.#rows;
    this.#rows.set(key, cached);
    this.#tokens?.add(key, row);
    return cached;
  }

  #remove(key: string): boolean {
    const row = this.#rows.get(key);
    if (row === undefined) return false;
    this.#tokens?.remove(key, row);
    this.#drop(key, row);
    return true;
  }

  /** Whoever has found it before finds it no more. */
  #drop(key: string, row: Cached): void {
    row.home = undefined;
    this.#rows.delete(key);
  }

  #evict(): void {
    let due = Math.max(1, Math.floor(this.#settings.sizeMax * evictedShare));
    this.#evictions += due;
    this.#tokens = undefined;
    for (const [key, row] of this.#rows) {
      if (due-- === 0) return;
      this.#drop(key, row);
    }
  }
}
