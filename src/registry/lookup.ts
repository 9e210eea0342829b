/**
 * The look-up of devices that are not cached: in bulk, one flight per device, at a bounded rate, whatever is looked
 * up.
 *
 * A message whose device is not cached joins a flight. A query takes all that wait: first those that were registered
 * when last seen, then rows to be verified after the watch was lost, then ids never heard of. So a flood of made-up
 * ids costs a bounded number of queries per second and stands behind the fleet, without a cache of misses (which
 * would lock out a device that has just been registered).
 *
 * As long as the registry answers, every flight is answered: a queue that grows faster than the registry answers ends
 * when the intake is full, so the intake's bound is the bound here. (Rejected alternative: to answer "unavailable"
 * beyond a bound of our own, because then the flood, and every device that was not cached, was spooled unjudged
 * faster than it could be judged again.)
 *
 * If the registry has not answered for REGISTRY_WAIT_MS, flights that have waited as long are answered "unavailable";
 * stale rows serve, and one query at a time is retried with back-off until it is answered. A change that is notified
 * while a query is under way makes its answer void for that device: it may have been read before the change.
 */
import { withDeadline, type Clock, type Timer } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import { integer, flag, type Values } from "../core/settings.ts";
import type { DeviceAuthCache } from "./auth-cache.ts";
import type { Lookup } from "./contract.ts";
import { createFlights, type Answer, type Flight } from "./flights.ts";
import { byDevice, deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";
import type { DeviceLookup } from "../core/registry.ts";
import type { SharedCache, SharedRows } from "../core/shared-cache.ts";
import { createOutage } from "./outage.ts";
import { createProvisioning, queryDeadlineMs } from "./provisioning.ts";
import { createWatcher, sharing } from "./watcher.ts";

export const lookupSettings = {
  registryWaitMs: integer({
    name: "REGISTRY_WAIT_MS",
    default: 5000,
    max: 600_000,
    unit: "ms",
    help: "How long a message waits for the registry, if its device is not cached, before it is kept as REGISTRY_UNAVAILABLE.",
  }),
  autoProvision: flag({
    name: "AUTO_PROVISION",
    default: false,
    help: "1: an unknown device is registered, without a token, by its first message; what it sends until then is still rejected. At most 1,000 at once, then 10 per minute; import a larger fleet with sluice devices import.",
  }),
};

/** Devices per query. */
export const queryDevicesMax = 5000;
/** Devices per query while the registry does not answer: one that is only slow answers a short query in time. */
export const probeDevicesMax = 100;
/** How many queries may be under way at once. */
const queriesMax = 4;
/**
 * Time between the starts of two queries; with queryDevicesMax, it bounds what a flood can demand of the registry.
 */
const queryEveryMs = 20;
/** The first miss waits this long, so that others can join its query. */
const gatherMs = 1;

export interface LookupOptions {
  readonly registry: DeviceLookup;
  readonly cache: DeviceAuthCache;
  /** What gateways share, between the cache and the registry; absent: nothing. */
  readonly shared?: SharedCache | undefined;
  readonly clock: Clock;
  readonly settings: Values<typeof lookupSettings>;
  readonly log: Log;
  readonly random?: () => number;
  /** app_settings changed. */
  readonly onSettings?: () => void;
}

export function createLookup(options: LookupOptions): Lookup {
  const { registry, cache, shared, clock, settings, log, random = Math.random } = options;
  const flights = createFlights();
  let verifying: Iterator<DeviceId> | null = null;
  let running = 0;
  let nextStartMs = 0;
  let wake: Timer | null = null;
  let expiry: Timer | null = null;
  let lastAnswerMs = Number.NEGATIVE_INFINITY;
  let isClosed = false;
  let unheard: string | null = "not heard yet";
  const counts = { queries: 0, devices: 0 };
  const outage = createOutage({ cache, clock, log, random, waitMs: settings.registryWaitMs });
  const provisioning = createProvisioning({ registry, clock, log, failed: outage.note });

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
    if (outage.isLong()) return queueMicrotask(() => done("unavailable"));
    const deadlineMs = clock.monoMs() + settings.registryWaitMs;
    flights.open({ tenantId, deviceId }, siteId, deadlineMs, isKnown).waiting.push(done);
    schedule(gatherMs);
  }

  function schedule(afterMs: number) {
    if (isClosed || wake !== null || running >= (outage.isOn() ? 1 : queriesMax)) return;
    wake = clock.after(Math.max(afterMs, nextStartMs - clock.monoMs()), () => {
      wake = null;
      start();
    });
  }

  function start() {
    const devicesMax = outage.isOn() ? probeDevicesMax : queryDevicesMax;
    const batch = flights.take(devicesMax, takeUnverified);
    const ids: DeviceId[] = batch.map(({ tenantId, deviceId }) => ({ tenantId, deviceId }));
    // While the registry is away, something must be looked up to learn that it is back.
    const probe = outage.probe();
    if (ids.length === 0 && probe !== null) ids.push(probe);
    running++;
    nextStartMs = clock.monoMs() + queryEveryMs;
    void query(ids, batch).finally(() => {
      running--;
      // Queries that were under way together and were not answered count as one try.
      if (!outage.isOn() && hasMore()) schedule(0);
      else if (outage.isOn() && running === 0) schedule(outage.retryAfterMs());
    });
    if (!outage.isOn() && hasMore()) schedule(0);
  }

  function hasMore(): boolean {
    return flights.hasQueued() || verifying !== null;
  }

  async function query(asked: DeviceId[], taken: Flight[]): Promise<void> {
    const [ids, batch, learn] = shared ? await withoutShared(shared, asked, taken) : [asked, taken];
    if (ids.length === 0 || isClosed) return;
    counts.queries++;
    counts.devices += ids.length;
    let rows: DeviceAuth[];
    try {
      rows = await withDeadline(clock, queryDeadlineMs, "device look-up", registry.find(ids));
    } catch (error) {
      return failed(ids, batch, error);
    }
    if (isClosed) return;
    lastAnswerMs = clock.monoMs();
    outage.end();
    learn?.(rows);
    const found = byDevice(rows);
    const strangers = batch.filter((flight) => !conclude(flight, found.get(flight.key) ?? null));
    if (settings.autoProvision) await registerAndAnswer(strangers);
  }

  /** Who is registered is answered after that: what it sends meanwhile joins its flight, and spends no further allowance. */
  async function registerAndAnswer(strangers: readonly Flight[]): Promise<void> {
    const chosen = new Set(provisioning.choose(strangers));
    for (const stranger of strangers) if (!chosen.has(stranger)) flights.answer(stranger, null);
    await provisioning.register([...chosen]);
    for (const stranger of chosen) flights.answer(stranger, null);
  }

  /**
   * Ends the flights that the shared cache answers, and returns the others. It is asked only while changes are notified, or while
   * the registry does not answer at all: a gateway that hears of no change must not rely on what somebody read a while ago. Nor is
   * it asked for a row that is read again because it led to a reject.
   */
  async function withoutShared(
    held: SharedCache,
    ids: DeviceId[],
    batch: Flight[],
  ): Promise<[DeviceId[], Flight[], SharedRows["learn"]?]> {
    if (unheard !== null && !outage.isOn()) return [ids, batch];
    const fit = batch.filter(({ tenantId, deviceId }) => !cache.isFresh(tenantId, deviceId));
    const { rows, learn } = await held.find(fit.map(({ tenantId, deviceId }) => ({ tenantId, deviceId })));
    const found = byDevice(rows);
    const rest = batch.filter(({ key }) => !found.has(key));
    for (const flight of batch) {
      const row = found.get(flight.key);
      if (row !== undefined) conclude(flight, row);
    }
    const left = new Set(rest.map(({ key }) => key));
    // While the registry is away it must be asked for something, to learn that it is back.
    const still = ids.filter(
      ({ tenantId, deviceId }) => outage.isOn() || left.has(deviceKey(tenantId, deviceId)),
    );
    return [still, rest, learn];
  }

  /**
   * Ends a flight by its row, or queues it again. Returns false if the device is not registered, and leaves it open if it may be. A device
   * that changes all the time is answered at the second try, but not cached.
   */
  function conclude(flight: Flight, row: DeviceAuth | null): boolean {
    if (flight.isVoid && !flight.isSecondTry) {
      flight.isSecondTry = true;
      flights.requeue(flight);
      return true;
    }
    if (row === null) cache.invalidate(flight.tenantId, flight.deviceId);
    const answer = row === null || flight.isVoid ? row : cache.put(row);
    if (row !== null || !settings.autoProvision) flights.answer(flight, answer);
    return row !== null;
  }

  function failed(ids: DeviceId[], batch: Flight[], error: unknown) {
    outage.note(error);
    if (isClosed) return;
    if (!outage.isOn()) {
      outage.begin(ids[0] ?? null);
      for (const flight of flights.all()) serveStale(flight);
    }
    for (const flight of batch) flights.requeue(flight);
  }

  function serveStale(flight: Flight) {
    const row = flight.isKnown ? cache.get(flight.tenantId, flight.deviceId) : undefined;
    if (row !== undefined) flights.answer(flight, row);
  }

  /** All flights may wait equally long, so the first to be opened is the first to expire. */
  function expire() {
    for (const flight of flights.all()) {
      const leftMs = Math.max(flight.deadlineMs, lastAnswerMs + settings.registryWaitMs) - clock.monoMs();
      if (leftMs > 0) {
        expiry = clock.after(leftMs, expire);
        return;
      }
      flights.answer(flight, "unavailable");
    }
    expiry = null;
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

  /**
   * Reads again what was read before the watch stood. If the registry is away, its watch is the first to know that it
   * is back.
   */
  function verify() {
    verifying = cache.unverified();
    wake?.cancel();
    wake = null;
    schedule(0);
  }

  const onHearing = (trouble: string | null) => {
    unheard = trouble;
  };
  const own = createWatcher({ cache, flights, verify, onSettings: options.onSettings, onHearing });
  const watcher = shared ? sharing(own, shared) : own;
  shared?.listen({
    devices: own.devices,
    tenant: own.tenant,
    // Without a watch of our own every row is read again each second anyway.
    gap: () => unheard === null && own.restored(),
  });

  return {
    resolve,
    onAvailable: outage.onEnd,
    watcher,
    stats: () => ({
      available: !outage.isOn(),
      ...counts,
      errors: outage.errors(),
      not_provisioned: provisioning.leftOut(),
      waiting: flights.size(),
      last_error: outage.lastError(),
      changes_unheard: unheard,
    }),
    sharedStats: () => shared?.stats() ?? null,
    close() {
      isClosed = true;
      shared?.close();
      wake?.cancel();
      expiry?.cancel();
      for (const flight of flights.all()) flights.answer(flight, "unavailable");
    },
  };
}
