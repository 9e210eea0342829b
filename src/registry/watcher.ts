/**
 * Applies the notifications of a watched registry to the cache and to the look-ups under way.
 *
 * A query may have been answered before the change that crosses it on its way: its answer is void for the devices
 * that changed.
 */
import type { DeviceAuthCache } from "./auth-cache.ts";
import type { Flights } from "./flights.ts";
import { deviceKey } from "../core/device.ts";
import type { RegistryWatcher } from "../core/registry.ts";
import type { SharedCache } from "../core/shared-cache.ts";

interface Parts {
  readonly cache: DeviceAuthCache;
  readonly flights: Flights;
  /** Reads again, in bulk, what is in use and unverified. */
  readonly verify: () => void;
  readonly onSettings: (() => void) | undefined;
  /** Called with why the registry does not notify of changes; null if it does. */
  readonly onHearing: (trouble: string | null) => void;
}

export function createWatcher({ cache, flights, verify, onSettings, onHearing }: Parts): RegistryWatcher {
  const voidAll = (tenantId: string | null) => {
    for (const flight of flights.all()) {
      if (tenantId === null || flight.tenantId === tenantId) flight.isVoid = true;
    }
  };
  return {
    devices(ids) {
      for (const { tenantId, deviceId } of ids) {
        cache.invalidate(tenantId, deviceId);
        const flight = flights.get(deviceKey(tenantId, deviceId));
        if (flight !== undefined) flight.isVoid = true;
      }
    },
    tenant(tenantId) {
      cache.invalidateTenant(tenantId);
      voidAll(tenantId);
    },
    settings: () => onSettings?.(),
    lost: () => cache.unwatched(),
    unheard: onHearing,
    restored() {
      onHearing(null);
      cache.watched();
      voidAll(null);
      verify();
    },
  };
}

/**
 * A watcher that also has what changed taken out of the shared cache, and told to the other gateways. The own rows go at once, and
 * again when that is done (SharedCache.listen): what was read from the shared cache in between is old.
 */
export function sharing(own: RegistryWatcher, shared: SharedCache): RegistryWatcher {
  return {
    ...own,
    devices(ids) {
      own.devices(ids);
      shared.forget(ids);
    },
    tenant(tenantId) {
      own.tenant(tenantId);
      shared.forgetTenant(tenantId);
    },
  };
}
