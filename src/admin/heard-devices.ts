/**
 * The registered devices with when and how often each was heard, what of it was rejected and from where it is connected, in the order of
 * their names or the silent ones first.
 *
 * The order by silence is over all devices of the registry: it is walked a page at a time, and only as many devices are kept as are asked
 * for, so that a large fleet costs time and no memory. Rejected alternative: an order kept in memory, which would have to follow every
 * change of a registry that others change too.
 *
 * One walk at a time, for each takes the thread page by page: sixty at once left devices and /healthz a turn every five seconds, and none of
 * them ended before its connection was given up.
 */
import { type DeviceActivity } from "./device-activity.ts";
import { devicePages } from "./device-pages.ts";
import type { RecentRejects } from "./recent-rejects.ts";
import {
  byKey,
  type Device,
  deviceKey,
  type DeviceFilter,
  type DeviceId,
  type DeviceStore,
} from "../core/device.ts";
import type { Clock } from "../core/clock.ts";
import { latestIdsMax, type LatestParts, LatestUnavailable } from "../core/latest-view.ts";
import type { SeenDevice } from "../core/recent.ts";
import type { Connection, Source } from "../core/source.ts";
import { createBriefTurns } from "../core/turns.ts";
import { RegistryError } from "./registry-error.ts";

export interface HeardDevice {
  readonly device: Device;
  /** null: not heard since the start, nor before as far as the latest values tell. */
  readonly seenMs: number | null;
  readonly messages: number;
  readonly perMinute: number;
  readonly rejected: number;
  readonly lastReject: string | null;
  readonly lastRejectMs: number | null;
  /** undefined: no source knows who is connected. */
  readonly connections: readonly Connection[] | undefined;
}

export interface HeardQuery {
  readonly filter: Omit<DeviceFilter, "limit" | "after">;
  readonly limit: number;
  readonly order: "silent" | "name";
  /** Continues behind it. */
  readonly after?: SeenDevice | undefined;
  /** Aborted once nobody waits for the answer. */
  readonly signal?: AbortSignal;
}

export interface HeardPage {
  readonly devices: readonly HeardDevice[];
  readonly next: SeenDevice | null;
  /** Why it is not known when devices were heard that were not heard since the start; null: it is known. */
  readonly earlierUnknown: string | null;
}

export interface HeardDevices {
  /** Rejects with a RegistryError if it cannot be told now. */
  list(query: HeardQuery): Promise<HeardPage>;
}

export interface HeardParts {
  readonly devices: DeviceStore;
  readonly activity: DeviceActivity;
  readonly rejects: Pick<RecentRejects, "ofDevice">;
  readonly latest: LatestParts;
  readonly sources: readonly Pick<Source, "connectionsOf">[];
  readonly clock: Pick<Clock, "monoMs">;
}

/** A device with when it was heard since the start; 0: it was not. */
interface Ranked extends SeenDevice {
  readonly device: Device;
}

export function createHeardDevices(parts: HeardParts): HeardDevices {
  const { devices, activity, rejects, latest, clock } = parts;
  const inTurn = createBriefTurns(clock, (why) => new RegistryError("busy", why));
  const door = parts.sources.find((source) => source.connectionsOf !== undefined);
  const ranked = (device: Device): Ranked => {
    const { tenantId, deviceId } = device;
    return { tenantId, deviceId, device, seenMs: activity.of(device, latest.nowMs())?.seenMs ?? 0 };
  };

  async function silentFirst({ filter, limit, after, signal }: HeardQuery): Promise<Ranked[]> {
    let kept: Ranked[] = [];
    signal?.throwIfAborted();
    for await (const page of devicePages(devices, filter)) {
      signal?.throwIfAborted();
      const behind = page.map(ranked).filter((one) => after === undefined || bySilence(after, one) < 0);
      kept = [...kept, ...behind].sort(bySilence).slice(0, limit);
    }
    return kept;
  }

  async function byName({ filter, limit, after }: HeardQuery): Promise<Ranked[]> {
    return (await devices.list({ ...filter, limit, after })).map(ranked);
  }

  /** Before the start. */
  async function earlier(ids: readonly DeviceId[]): Promise<ReadonlyMap<string, number>> {
    const found = ids.length === 0 ? [] : await latest.view.get(ids.slice(0, latestIdsMax));
    return new Map(found.flatMap((one) => (one === null ? [] : [[keyOf(one), one.seenMs] as const])));
  }

  function shown({ device, seenMs }: Ranked, seenBefore: ReadonlyMap<string, number>): HeardDevice {
    const { messages = 0, perMinute = 0 } = activity.of(device, latest.nowMs()) ?? {};
    return {
      device,
      seenMs: seenMs === 0 ? (seenBefore.get(keyOf(device)) ?? null) : seenMs,
      messages,
      perMinute,
      ...rejects.ofDevice(device),
      connections: door?.connectionsOf?.(device),
    };
  }

  return {
    async list(query) {
      const found = await (query.order === "silent" ? inTurn(() => silentFirst(query)) : byName(query));
      const next = found.length < query.limit ? null : (found.at(-1) ?? null);
      const silent = found.filter(({ seenMs }) => seenMs === 0);
      try {
        const seenBefore = await earlier(silent);
        return { devices: found.map((one) => shown(one, seenBefore)), next, earlierUnknown: null };
      } catch (error) {
        if (!(error instanceof LatestUnavailable)) throw error;
        return {
          devices: found.map((one) => shown(one, new Map())),
          next,
          earlierUnknown: error.message,
        };
      }
    },
  };
}

const keyOf = ({ tenantId, deviceId }: DeviceId) => deviceKey(tenantId, deviceId);

/** The silent first, then by name. */
const bySilence = (a: SeenDevice, b: SeenDevice) => a.seenMs - b.seenMs || byKey(a, b);
