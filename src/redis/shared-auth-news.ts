/**
 * What gateways that share an auth cache tell each other of changes: the rows go first, then it is said, for who hears it and asks
 * again must not find the old row. It is told until it was, over a connection of its own, for a revocation must not be lost because
 * Redis was slow for a moment; what waits is coalesced, so that it is bounded however long Redis is away.
 */
import { backoffMs, sleep, type Clock } from "../core/clock.ts";
import { deviceKey, type DeviceId } from "../core/device.ts";
import type { SharedNews } from "../core/shared-cache.ts";
import { type Command, openRedis } from "./redis-client.ts";
import type { RedisValues } from "./redis-settings.ts";

const publishWithinMs = 2_000;
const retryBaseMs = 100;
const retryMaxMs = 2_000;
/** Devices in one message; more are told as all. */
const publishedMax = 500;

export interface News {
  forget(ids: readonly DeviceId[]): void;
  forgetTenant(tenantId: string | null): void;
  /** Something is not told yet. */
  readonly isPending: boolean;
  /** Is told here, too, once it was told to the others: what was read meanwhile is old. */
  onTold(own: SharedNews): void;
  close(): void;
}

interface Batch {
  readonly devices: readonly DeviceId[];
  /** null: all. */
  readonly tenants: readonly (string | null)[];
}

export interface NewsOptions {
  readonly settings: RedisValues;
  readonly clock: Clock;
  /** The channel. */
  readonly base: string;
  readonly generationKey: string;
  readonly keyOf: (id: DeviceId) => string;
  readonly signal: AbortSignal;
}

export function createNews({ settings, clock, base, generationKey, keyOf, signal }: NewsOptions): News {
  const client = openRedis({ settings, clock, timeoutMs: publishWithinMs });
  const devices = new Map<string, DeviceId>();
  const tenants = new Set<string>();
  let isAll = false;
  let own: SharedNews | undefined;
  let publishing: Promise<void> | undefined;

  const isEmpty = () => devices.size === 0 && tenants.size === 0 && !isAll;

  function take(): Batch {
    const batch = { devices: [...devices.values()], tenants: isAll ? [null] : [...tenants] };
    devices.clear();
    tenants.clear();
    isAll = false;
    return batch;
  }

  function add(ids: readonly DeviceId[], ofTenants: readonly (string | null)[]): void {
    for (const id of ids) devices.set(deviceKey(id.tenantId, id.deviceId), id);
    for (const tenant of ofTenants) {
      if (tenant === null) isAll = true;
      else tenants.add(tenant);
    }
    if (devices.size + tenants.size > publishedMax) isAll = true;
    if (isAll) {
      devices.clear();
      tenants.clear();
    }
  }

  async function publish(): Promise<void> {
    for (let tries = 0; !isEmpty() && !signal.aborted;) {
      const batch = take();
      try {
        await client.pipeline(clearing(batch));
        // Not along with it: while Redis takes no writes, each try would have all gateways read their caches anew.
        await client.pipeline(telling(batch));
        tries = 0;
        own?.devices(batch.devices);
        for (const tenant of batch.tenants) own?.tenant(tenant);
      } catch {
        add(batch.devices, batch.tenants);
        await sleep(clock, backoffMs(tries++, retryBaseMs, retryMaxMs), signal);
      }
    }
  }

  function clearing({ devices: ids, tenants: ofTenants }: Batch): Command[] {
    return [
      ...(ids.length > 0 ? [["DEL", ...ids.map(keyOf)] as const] : []),
      ...(ofTenants.length > 0 ? [["INCR", generationKey] as const] : []),
    ];
  }

  function telling({ devices: ids, tenants: ofTenants }: Batch): Command[] {
    const news = ids.map(({ tenantId, deviceId }) => [tenantId, deviceId]);
    return [
      ...(ids.length > 0 ? [["PUBLISH", base, JSON.stringify({ devices: news })] as const] : []),
      ...ofTenants.map((tenant) => ["PUBLISH", base, JSON.stringify({ tenant })] as const),
    ];
  }

  function start(): void {
    publishing ??= publish().finally(() => {
      publishing = undefined;
      if (!isEmpty() && !signal.aborted) start();
    });
  }

  return {
    forget(ids) {
      add(ids, []);
      start();
    },
    forgetTenant(tenantId) {
      add([], [tenantId]);
      start();
    },
    get isPending() {
      return publishing !== undefined;
    },
    onTold(news) {
      own = news;
    },
    close: () => client.close(),
  };
}

/** Whoever can publish can make gateways ask the registry once more, and no more than that. */
export function hear(message: string, heard: SharedNews): void {
  let news: { devices?: unknown; tenant?: unknown };
  try {
    news = Object(JSON.parse(message)) as typeof news;
  } catch {
    return;
  }
  if (Array.isArray(news.devices))
    heard.devices(
      news.devices
        .slice(0, publishedMax)
        .flatMap((pair: unknown) =>
          Array.isArray(pair) ? [{ tenantId: String(pair[0]), deviceId: String(pair[1]) }] : [],
        ),
    );
  else heard.tenant(typeof news.tenant === "string" ? news.tenant : null);
}
