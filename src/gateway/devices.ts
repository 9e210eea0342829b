/** Who a device is and what it may do: the policy, the cache as the last run left it, and the look-up behind both. */
import { join } from "node:path";
import { createLivePolicy, pollOf } from "../admin/policy.ts";
import type { Config } from "../config/index.ts";
import type { Clock } from "../core/clock.ts";
import type { Closers } from "../core/closers.ts";
import { explain, type Log } from "../core/log/log.ts";
import { damageIn, removeSqlite, unreadIn } from "../core/file/sqlite.ts";
import { Said } from "../core/log/said.ts";
import type { Registry } from "../core/registry.ts";
import { openSharedAuth } from "../redis/shared-auth.ts";
import { DeviceAuthCache } from "../registry/auth-cache.ts";
import { createLookup } from "../registry/lookup.ts";
import { addresses } from "../core/address.ts";
import { openSavedCache, type SavedCache } from "../registry/saved.ts";

export interface DeviceParts {
  readonly config: Config;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  readonly closers: Closers;
}

/** Connects to nothing yet. */
export function openDevices({ config, registry, clock, log, closers }: DeviceParts) {
  const policy = createLivePolicy(config.judge, log);
  const pollSettings = pollOf(registry, policy, log);
  const cache = new DeviceAuthCache(config.cache, clock);
  addresses.makeRoomFor(config.cache.sizeMax);
  const saved = restoredCache({ path: join(config.general.dataDir, "auth-cache.db"), cache, clock, log });
  closers.add(saved.close);
  const lookup = createLookup({
    registry,
    cache,
    shared: openSharedAuth(config, clock, log),
    clock,
    log,
    settings: config.lookup,
    onSettings: () => void pollSettings(),
  });
  closers.add(lookup.close);
  const unkept = new Said();
  const keepCache = async () => {
    try {
      await saved.save();
      unkept.forget();
    } catch (cause) {
      const error = explain(cause);
      if (unkept.isNew(error)) log.warn({ error }, "the auth cache cannot be kept for a restart");
    }
  };
  return { policy, pollSettings, cache, keepCache, lookup };
}

interface CacheParts extends Pick<DeviceParts, "clock" | "log"> {
  readonly path: string;
  readonly cache: DeviceAuthCache;
}

/** The file may be lost, since devices are looked up again: one that is damaged, as by a power cut or a bad sector, must not keep the gateway from its start. */
function restoredCache({ path, cache, clock, log }: CacheParts): SavedCache {
  try {
    return openSavedCache(path, cache, clock);
  } catch (cause) {
    const damage = damageIn(cause) ?? unreadIn(cause);
    if (damage === undefined) throw cause;
    log.warn({ path, error: explain(damage) }, "the auth cache kept on disk is damaged, and begun anew");
    removeSqlite(path);
    return openSavedCache(path, cache, clock);
  }
}
