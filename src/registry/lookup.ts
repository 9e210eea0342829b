/**
 * Looks devices up that the cache has not: in bulk, one flight a device, at a bounded rate, whatever is asked.
 *
 * Whoever misses joins a flight; a query takes all that wait, first those that were registered when last seen, then rows to be
 * verified after the watch was lost, then ids never heard of. So a flood of made-up ids costs a bounded number of queries a second
 * and stands behind the fleet, without a cache of denials (which would deny a device that has just been registered).
 *
 * As long as the registry answers, whoever waits is answered: a queue that is longer than a registry is quick ends where the
 * intake is full, whose bound is the bound here. (To answer "unavailable" beyond a bound of our own had the flood, and every
 * device that was not cached, spooled unjudged faster than it could be judged again.)
 *
 * When the registry has not answered for REGISTRY_WAIT_MS, whoever has waited as long is told so; stale rows serve, and one
 * query at a time is tried again with back-off until it answers. A change that is told while a query is under way makes its answer void for that device:
 * it may have been read before the change.
 */
import { backoffMs, withDeadline, type Clock, type Timer } from "../core/clock.ts";
import { explain, type Log } from "../core/log.ts";
import { count, flag, type Values } from "../core/settings.ts";
import type { DeviceAuthCache } from "./cache.ts";
import { createFlights, type Answer, type Flight } from "./flights.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";
import type { DeviceLookup, RegistryWatcher } from "../core/registry.ts";
import { createProvisioning, queryDeadlineMs } from "./provisioning.ts";
import { createWatcher } from "./watcher.ts";

export const lookupSettings = {
  registryWaitMs: count({
    name: "REGISTRY_WAIT_MS",
    default: 5000,
    max: 600_000,
    unit: "ms",
    help: "How long a message of a device not in the cache waits for the registry before it is kept as REGISTRY_UNAVAILABLE.",
  }),
  autoProvision: flag({
    name: "AUTO_PROVISION",
    default: false,
    help: "1: an unknown device is registered, without a token, by its first message; that message is still rejected. At most 1,000 at once and 10 a minute lastingly: import a larger fleet.",
  }),
};

/** Devices in one query. */
export const queryDevicesMax = 5000;
/** While the registry does not answer: one that is slow and not away answers a short question in time. */
export const probeDevicesMax = 100;
/** Queries under way at once. */
const queriesMax = 4;
/** Between the starts of two queries; with queryDevicesMax, the most that a flood can ask of the registry. */
const queryEveryMs = 20;
/** A first miss waits this long for company. */
const gatherMs = 1;
const retryBaseMs = 250;
const retryMaxMs = 5000;

/** In the names of `/stats`. */
export interface LookupStats {
  readonly available: boolean;
  readonly queries: number;
  /** Devices asked for, of all queries together. */
  readonly devices: number;
  readonly errors: number;
  /** Devices that wait for an answer. */
  readonly waiting: number;
  /** Unknown devices that AUTO_PROVISION did not register because there were too many. */
  readonly not_provisioned: number;
  readonly last_error: string | null;
  /** Why changes of the registry are not told, so that devices are read anew every second; null: they are told. */
  readonly changes_unheard: string | null;
}

export interface Lookup {
  /**
   * Asks the registry for one device; `done` is called once, never before `resolve` returned. A device that waits already is
   * not asked for twice. `siteId` is for AUTO_PROVISION.
   */
  resolve(tenantId: string, deviceId: string, siteId: string | null, done: (answer: Answer) => void): void;
  /** What the watched registry is to call. */
  readonly watcher: RegistryWatcher;
  stats(): LookupStats;
  /** Answers all that wait with "unavailable" and asks no more. */
  close(): void;
}

export interface LookupOptions {
  readonly registry: DeviceLookup;
  readonly cache: DeviceAuthCache;
  readonly clock: Clock;
  readonly settings: Values<typeof lookupSettings>;
  readonly log: Log;
  readonly random?: () => number;
  /** The registry answers again after it did not. */
  readonly onAvailable?: () => void;
  /** app_settings changed. */
  readonly onSettings?: () => void;
}

export function createLookup(options: LookupOptions): Lookup {
  const { registry, cache, clock, settings, log, random = Math.random } = options;
  const flights = createFlights();
  let verifying: Iterator<DeviceId> | null = null;
  let running = 0;
  let nextStartMs = 0;
  let wake: Timer | null = null;
  let expiry: Timer | null = null;
  /** Monotonic; null while the registry answers. */
  let awaySinceMs: number | null = null;
  let lastAnswerMs = Number.NEGATIVE_INFINITY;
  let attempt = 0;
  let retryOf: DeviceId | null = null;
  let isClosed = false;
  let lastError: string | null = null;
  let unheard: string | null = "not heard yet";
  const counts = { queries: 0, devices: 0, errors: 0 };
  const provisioning = createProvisioning({ registry, clock, log, failed: note });

  function resolve(
    tenantId: string,
    deviceId: string,
    siteId: string | null,
    done: (answer: Answer) => void,
  ) {
    const key = deviceKey(tenantId, deviceId);
    if (isClosed) return queueMicrotask(() => done("unavailable"));
    expiry ??= clock.after(settings.registryWaitMs, expire);
    const present = flights.get(key);
    if (present !== undefined) {
      present.siteId ??= siteId;
      present.waiting.push(done);
      return;
    }
    const isKnown = cache.has(tenantId, deviceId);
    if (hasLongBeenAway()) return queueMicrotask(() => done("unavailable"));
    const deadlineMs = clock.monoMs() + settings.registryWaitMs;
    flights.open({ tenantId, deviceId }, siteId, deadlineMs, isKnown).waiting.push(done);
    if (awaySinceMs === null) schedule(gatherMs);
  }

  /** To wait for a registry that has been away for as long as one may wait would only fill the intake. */
  function hasLongBeenAway(): boolean {
    return awaySinceMs !== null && clock.monoMs() - awaySinceMs >= settings.registryWaitMs;
  }

  function schedule(afterMs: number) {
    if (isClosed || wake !== null || running >= (awaySinceMs === null ? queriesMax : 1)) return;
    wake = clock.after(Math.max(afterMs, nextStartMs - clock.monoMs()), () => {
      wake = null;
      start();
    });
  }

  function start() {
    const devicesMax = awaySinceMs === null ? queryDevicesMax : probeDevicesMax;
    const batch = flights.take(devicesMax, takeUnverified);
    const ids: DeviceId[] = batch.map(({ tenantId, deviceId }) => ({ tenantId, deviceId }));
    // While the registry is away, something must be asked to learn that it is back.
    if (ids.length === 0 && retryOf !== null) ids.push(retryOf);
    if (ids.length === 0) return;
    running++;
    counts.queries++;
    counts.devices += ids.length;
    nextStartMs = clock.monoMs() + queryEveryMs;
    void query(ids, batch).finally(() => {
      running--;
      // Those that were under way together and were not answered are one try.
      if (awaySinceMs === null && hasMore()) schedule(0);
      else if (awaySinceMs !== null && running === 0)
        schedule(backoffMs(attempt++, retryBaseMs, retryMaxMs, random));
    });
    if (awaySinceMs === null && hasMore()) schedule(0);
  }

  function hasMore(): boolean {
    return flights.hasQueued() || verifying !== null;
  }

  async function query(ids: DeviceId[], batch: Flight[]): Promise<void> {
    let rows: DeviceAuth[];
    try {
      rows = await withDeadline(clock, queryDeadlineMs, "device look-up", registry.find(ids));
    } catch (error) {
      return failed(ids, batch, error);
    }
    if (isClosed) return;
    answered();
    const found = new Map(rows.map((row) => [deviceKey(row.tenantId, row.deviceId), row]));
    const strangers = batch.filter((flight) => !conclude(flight, found.get(flight.key) ?? null));
    if (settings.autoProvision) await provisioning.register(strangers);
  }

  /** False where the device is not registered. A device that changes all the time is answered at the second try, but not cached. */
  function conclude(flight: Flight, row: DeviceAuth | null): boolean {
    if (flight.isVoid && !flight.isSecondTry) {
      flight.isSecondTry = true;
      flights.requeue(flight);
      return true;
    }
    if (row === null) cache.invalidate(flight.tenantId, flight.deviceId);
    else if (!flight.isVoid) cache.put(row);
    flights.answer(flight, row);
    return row !== null;
  }

  function note(error: unknown) {
    counts.errors++;
    lastError = explain(error);
  }

  function failed(ids: DeviceId[], batch: Flight[], error: unknown) {
    note(error);
    if (isClosed) return;
    if (awaySinceMs === null) {
      log.warn({ error: lastError }, "the registry does not answer: cached devices go on, unknown ones wait");
      [awaySinceMs, attempt, retryOf] = [clock.monoMs(), 0, ids[0] ?? null];
      cache.setAvailable(false);
      for (const flight of flights.all()) serveStale(flight);
    }
    for (const flight of batch) flights.requeue(flight);
  }

  function serveStale(flight: Flight) {
    const row = flight.isKnown ? cache.get(flight.tenantId, flight.deviceId) : undefined;
    if (row !== undefined) flights.answer(flight, row);
  }

  function answered() {
    lastAnswerMs = clock.monoMs();
    if (awaySinceMs === null) return;
    log.info({ away_ms: Math.round(clock.monoMs() - awaySinceMs) }, "the registry answers again");
    [awaySinceMs, retryOf, lastError] = [null, null, null];
    cache.setAvailable(true);
    options.onAvailable?.();
  }

  /** All flights may wait equally long, so the first to be opened is the first to expire. */
  function expire() {
    expiry = null;
    for (const flight of flights.all()) {
      const leftMs = Math.max(flight.deadlineMs, lastAnswerMs + settings.registryWaitMs) - clock.monoMs();
      if (leftMs > 0) {
        expiry = clock.after(leftMs, expire);
        return;
      }
      flights.answer(flight, "unavailable");
    }
  }

  function takeUnverified(): Flight | undefined {
    for (let next = verifying?.next(); next?.done === false; next = verifying?.next()) {
      const id = next.value;
      if (flights.get(deviceKey(id.tenantId, id.deviceId)) !== undefined) continue;
      return flights.open(id, null, clock.monoMs() + settings.registryWaitMs, true);
    }
    verifying = null;
    return undefined;
  }

  /** What was read before the watch stood is read anew. If the registry is away, its watch is the first to know that it is back. */
  function verify() {
    verifying = cache.unverified();
    wake?.cancel();
    wake = null;
    schedule(0);
  }

  const onHearing = (trouble: string | null) => {
    unheard = trouble;
  };
  const watcher = createWatcher({ cache, flights, verify, onSettings: options.onSettings, onHearing });

  return {
    resolve,
    watcher,
    stats: () => ({
      available: awaySinceMs === null,
      ...counts,
      not_provisioned: provisioning.leftOut(),
      waiting: flights.size(),
      last_error: lastError,
      changes_unheard: unheard,
    }),
    close() {
      isClosed = true;
      wake?.cancel();
      expiry?.cancel();
      for (const flight of flights.all()) flights.answer(flight, "unavailable");
    },
  };
}
