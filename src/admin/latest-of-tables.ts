/**
 * The look-up of latest values at a gateway without Redis: from what is in raw_events and, not there yet, in the spool.
 *
 * An index on device and arrival makes it quick. `sluice migrate --index-latest` creates it; a start of the gateway does not, because the
 * index costs each insert in the local store some 8 µs, and an existing database is used as it is. Without it a bounded number of
 * the newest events is read; a device that is not among them is not called unknown: the answer is that it cannot be said.
 */
import { toColumns } from "../core/columns.ts";
import type { Clock } from "../core/clock.ts";
import { byDevice, byKey, deviceKey, type DeviceId } from "../core/device.ts";
import type { Event } from "../core/entry.ts";
import {
  coalesce,
  datatypeField,
  datatypeFields,
  isoWithoutZone,
  type Latest,
  persistOf,
  textOf,
  timeMs,
} from "../core/latest.ts";
import {
  type LatestDevice,
  LatestUnavailable,
  type LatestView,
  type SeenPage,
  type SeenQuery,
} from "../core/latest-view.ts";
import { explain } from "../core/log/log.ts";
import type { EventTable, HeldEntries, SeenDevice } from "../core/recent.ts";

/** Events of a device whose metrics are put together: it may send some in one message and others in the next. */
const eventsPerDevice = 10;
/** Without an index: some 100 ms of reading. */
const eventsReadMax = 20_000;
/** The spool's newest, of which the tables may not have all yet. */
const spooledReadMax = 5_000;

export interface TablesParts {
  readonly events: EventTable;
  readonly held: HeldEntries;
  readonly clock: Clock;
  /** A device that was silent for longer is left out, as its metadata in Redis would have expired. */
  readonly ttlMs: number;
}

export function latestOfTables({ events, held, clock, ttlMs }: TablesParts): LatestView {
  const sinceMs = () => clock.wallMs() - ttlMs;

  /** In any order: the times decide. */
  function spooled(): Event[] {
    const found: Event[] = [];
    for (let seq = Math.max(1, held.head - spooledReadMax + 1); seq <= held.head;) {
      const entries = held.read(seq);
      seq = (entries.at(-1)?.seq ?? held.head) + 1;
      for (const entry of entries)
        if (entry.kind === "event" && entry.receivedMs >= sinceMs()) found.push(entry);
    }
    return found;
  }

  async function get(ids: readonly DeviceId[]): Promise<(LatestDevice | null)[]> {
    const wanted = new Set(ids.map(({ tenantId, deviceId }) => deviceKey(tenantId, deviceId)));
    const isWanted = ({ tenantId, deviceId }: Event) => wanted.has(deviceKey(tenantId, deviceId));
    const index = await events.indexed();
    const stored = index
      ? await index.newestOf(ids, sinceMs(), eventsPerDevice)
      : await newestByReading(isWanted, wanted.size);
    const latest = new Map(
      coalesce([...stored, ...spooled().filter(isWanted)], deviceKey).map((each) => [each.name, each]),
    );
    return ids.map(({ tenantId, deviceId }) => {
      const found = latest.get(deviceKey(tenantId, deviceId));
      return found === undefined ? null : deviceOf(found, ttlMs);
    });
  }

  /** @throws LatestUnavailable if some of them were not met among the events that may be read */
  async function newestByReading(isWanted: (event: Event) => boolean, count: number): Promise<Event[]> {
    const found = new Map<string, Event[]>();
    let [full, read] = [0, 0];
    for await (const page of events.recent(sinceMs())) {
      for (const event of page.filter(isWanted)) {
        const key = deviceKey(event.tenantId, event.deviceId);
        const own = found.get(key) ?? [];
        found.set(key, own);
        if (own.length < eventsPerDevice && own.push(event) === eventsPerDevice) full++;
      }
      read += page.length;
      if (full === count) break;
      if (read < eventsReadMax) continue;
      if (found.size < count) throw new LatestUnavailable(wantsIndex);
      break;
    }
    return [...found.values()].flat();
  }

  async function seen({ tenantId, sinceMs: asked, after, limit }: SeenQuery): Promise<SeenPage> {
    const since = Math.max(asked, sinceMs());
    const query = { tenantId, sinceMs: since, after, limit };
    const index = await events.indexed();
    const stored = index ? await index.lastSeen(query) : await seenByReading();
    const last = byDevice(stored);
    for (const event of spooled()) note(last, event);
    const devices = [...last.values()]
      .filter((device) => tenantId === undefined || device.tenantId === tenantId)
      .filter((device) => device.seenMs >= since && (after === undefined || bySeen(after, device) < 0))
      .sort(bySeen);
    // The tables may have more behind the last that they told of, whatever the spool knows of those that they did tell of.
    const edge = index === undefined || stored.length < limit ? undefined : stored.at(-1);
    const sure = edge === undefined ? devices : devices.filter((device) => bySeen(device, edge) <= 0);
    const page = sure.slice(0, limit);
    return { devices: page, next: sure.length > limit ? (page.at(-1) ?? null) : (edge ?? null) };
  }

  async function seenByReading(): Promise<SeenDevice[]> {
    const last = new Map<string, SeenDevice>();
    let read = 0;
    for await (const page of events.recent(sinceMs())) {
      for (const event of page) note(last, event);
      if ((read += page.length) >= eventsReadMax) throw new LatestUnavailable(wantsIndex);
    }
    return [...last.values()];
  }

  return {
    get: (ids) => named(get(ids)),
    seen: (query) => named(seen(query)),
    close() {},
  };
}

const wantsIndex =
  "raw_events holds more than can be read through for this, and has no index for it: run `sluice migrate --index-latest` once, or set REDIS_URL";

function note(last: Map<string, SeenDevice>, { tenantId, deviceId, receivedMs }: Event): void {
  const key = deviceKey(tenantId, deviceId);
  if ((last.get(key)?.seenMs ?? 0) < receivedMs) last.set(key, { tenantId, deviceId, seenMs: receivedMs });
}

/** The last heard first, then by name. */
const bySeen = (a: SeenDevice, b: SeenDevice) => b.seenMs - a.seenMs || byKey(a, b);

async function named<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw cause instanceof LatestUnavailable ? cause : new LatestUnavailable(explain(cause), { cause });
  }
}

function deviceOf(latest: Latest, ttlMs: number): LatestDevice {
  const { newest, receivedMs, values } = latest;
  const { tenantId, deviceId, siteId, msgType, eventMs } = newest;
  const datatypes = datatypeFields.map((field) => [field, datatypeField(latest, field) ?? ""] as const);
  return {
    tenantId,
    deviceId,
    seenMs: receivedMs,
    expiresMs: receivedMs + ttlMs,
    metadata: {
      ...Object.fromEntries(datatypes),
      persist: persistOf(latest),
      last_updated: isoWithoutZone(eventMs),
      ...toColumns({ tenantId, siteId, msgType }),
      event_ms: String(eventMs),
    },
    values: [...values].map(([metric, { entry, value }]) => ({
      metric,
      json: textOf(value),
      timeMs: timeMs(entry),
    })),
  };
}
