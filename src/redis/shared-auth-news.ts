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

const tellWithinMs = 2_000;
const retryBaseMs = 100;
const retryMaxMs = 2_000;
/** Devices in one message; more are told as all. */
const toldMax = 500;

export interface News {
  forget(ids: readonly DeviceId[]): void;
  forgetTenant(tenantId: string | null): void;
  /** Something is not told yet. */
  readonly isPending: boolean;
  /** Is told here, too, once it was told to the others: what was read meanwhile is old. */
  onTold(own: SharedNews): void;
  close(): void;
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
  const client = openRedis({ settings, clock, timeoutMs: tellWithinMs });
  const devices = new Map<string, DeviceId>();
  const tenants = new Set<string>();
  let isAll = false;
  let own: SharedNews | undefined;
  let telling: Promise<void> | undefined;

  const isEmpty = () => devices.size === 0 && tenants.size === 0 && !isAll;

  function take() {
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
    if (devices.size + tenants.size > toldMax) isAll = true;
    if (isAll) {
      devices.clear();
      tenants.clear();
    }
  }

  async function tell(): Promise<void> {
    for (let tries = 0; !isEmpty() && !signal.aborted;) {
      const batch = take();
      try {
        await client.ask(commandsOf(batch));
        tries = 0;
        own?.devices(batch.devices);
        for (const tenant of batch.tenants) own?.tenant(tenant);
      } catch {
        add(batch.devices, batch.tenants);
        await sleep(clock, backoffMs(tries++, retryBaseMs, retryMaxMs), signal);
      }
    }
  }

  function commandsOf({ devices: ids, tenants: ofTenants }: ReturnType<typeof take>): Command[] {
    const told = ids.map(({ tenantId, deviceId }) => [tenantId, deviceId]);
    return [
      ...(ids.length > 0 ? [["DEL", ...ids.map(keyOf)] as const] : []),
      ...(ofTenants.length > 0 ? [["INCR", generationKey] as const] : []),
      ...(ids.length > 0 ? [["PUBLISH", base, JSON.stringify({ devices: told })] as const] : []),
      ...ofTenants.map((tenant) => ["PUBLISH", base, JSON.stringify({ tenant })] as const),
    ];
  }

  function start(): void {
    telling ??= tell().finally(() => {
      telling = undefined;
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
      return telling !== undefined;
    },
    onTold(news) {
      own = news;
    },
    close: () => client.close(),
  };
}

/** Whoever can publish can make gateways ask the registry once more, and no more than that. */
export function hear(message: string, heard: SharedNews): void {
  let told: { devices?: unknown; tenant?: unknown };
  try {
    told = Object(JSON.parse(message)) as typeof told;
  } catch {
    return;
  }
  if (Array.isArray(told.devices))
    heard.devices(
      told.devices
        .slice(0, toldMax)
        .flatMap((pair: unknown) =>
          Array.isArray(pair) ? [{ tenantId: String(pair[0]), deviceId: String(pair[1]) }] : [],
        ),
    );
  else heard.tenant(typeof told.tenant === "string" ? told.tenant : null);
}
