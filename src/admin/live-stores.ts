/**
 * What administration may do to a gateway, over HTTP and, as far as that needs no gateway, from the command line: the registry with
 * its failures named, every change taken over by this gateway's cache at once, and app_settings read by the judge's own schemas.
 */
import { setImmediate } from "node:timers/promises";
import type { DeviceId, DeviceStore } from "../core/device.ts";
import { isDiskFull } from "../core/file/sqlite.ts";
import { RegistryError } from "./registry-error.ts";
import { SettingRefused, type SettingRow, type SettingStore } from "./setting-store.ts";
import { cacheStatsOf } from "./cache-stats.ts";
import type { CacheView } from "./views.ts";
import type { Setting } from "../core/settings.ts";
import { policySettings, type Policy } from "../judge/judge.ts";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Lookup } from "../registry/contract.ts";
import type { Registry } from "../core/registry.ts";

/** @param changed called after every attempt to change something: whether one that threw has changed it is unknown */
export function createDeviceStore(
  registry: Registry,
  changed: (ids: readonly DeviceId[]) => void,
): DeviceStore {
  const changing = async <T>(ids: readonly DeviceId[], work: Promise<T>) => {
    try {
      return await named(work, "unsure");
    } finally {
      changed(ids);
    }
  };
  return {
    list: (filter) => named(registry.list(filter), "unread"),
    get: (id) => named(registry.get(id), "unread"),
    add: (devices) => changing(devices, registry.add(devices)),
    update: (id, change) => changing([id], registry.update(id, change)),
    remove: (id) => changing([id], registry.remove(id)),
  };
}

/** Goes through the look-ups' watcher, so that an answer that is under way is void too. */
export function createCacheView(cache: DeviceAuthCache, lookup: Lookup): CacheView {
  const counted = (work: () => void) => {
    const before = cache.stats().size;
    work();
    return before - cache.stats().size;
  };
  return {
    stats: () => cacheStatsOf(cache, lookup),
    queries: () => lookup.stats().queries,
    clear: () => counted(() => lookup.watcher.tenant(null)),
    forget: (ids) => counted(() => lookup.watcher.devices(ids)),
    forgetTenant: (tenantId) => counted(() => lookup.watcher.tenant(tenantId)),
  };
}

/**
 * @param policy what is in force
 * @param changed reads app_settings anew and puts it in force
 */
export function createSettingStore(
  registry: Pick<Registry, "settings" | "setSetting">,
  policy: () => Policy,
  changed: () => Promise<void>,
): SettingStore {
  async function list(): Promise<SettingRow[]> {
    const rows = await named(registry.settings(), "unread");
    return Object.entries(policySettings).map(([key, setting]) => {
      const { name, unit, help, schema } = setting;
      const stored = rows[name] || null;
      const read = stored === null ? undefined : schema.safeParse(stored);
      const mistake = read?.success === false ? `must be ${read.error.issues[0]?.message ?? unit}` : null;
      const value = textOf(policy()[key as keyof Policy]);
      return {
        key: name,
        value,
        source: read?.success ? "database" : isDefault(setting, value) ? "default" : "environment",
        stored,
        unit,
        help,
        mistake,
      };
    });
  }

  return {
    list,
    async set(name, value) {
      const setting = Object.values(policySettings).find((row) => row.name === name);
      if (setting === undefined) return undefined;
      const read = value === null ? undefined : setting.schema.safeParse(value);
      if (read?.success === false)
        throw new SettingRefused(`${name} must be ${read.error.issues[0]?.message ?? setting.unit}.`);
      await named(registry.setSetting(name, value ?? ""), "unsure");
      await changed();
      return (await list()).find((row) => row.key === name);
    },
  };
}

/** A value that the environment sets to the default counts as the default: there is no difference. */
function isDefault({ schema, default: fallback }: Setting<Policy[keyof Policy]>, value: string): boolean {
  return textOf(schema.parse(fallback ?? undefined)) === value;
}

function textOf(value: Policy[keyof Policy]): string {
  return typeof value === "boolean" ? (value ? "1" : "0") : String(value);
}

/** Names an error of the registry: what it refuses can never be stored, what it says of a statement undoes that; anything else is an outage. */
async function named<T>(work: Promise<T>, otherwise: "unread" | "unsure"): Promise<T> {
  try {
    const answer = await work;
    // The local store answers at once: unless all else gets its turn here, an import of 100,000 devices holds the thread to its end.
    await setImmediate();
    return answer;
  } catch (cause) {
    throw new RegistryError(saidBy(cause) ?? otherwise, cause, otherwise === "unsure");
  }
}

function saidBy(cause: unknown): "refused" | "full" | "answered" | undefined {
  if (isRefusal(cause)) return "refused";
  if (isDiskFull(cause)) return "full";
  return isAnswer(cause) ? "answered" : undefined;
}

/** By the code of SQL (SQLSTATE) among the causes: classes 22 and 23 are about the value. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && /^2[23]/.test(String(error.code))) || isRefusal(error.cause);
}

/** An error of PostgreSQL about one statement, such as a right that is lacking, a lock that did not come in time, a standby; after any other it ends the connection. */
function isAnswer(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("severity" in error && error.severity === "ERROR") || isAnswer(error.cause);
}
