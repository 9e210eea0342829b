/**
 * What the registry tells of a device concerns the connections that it has, too: a device that is revoked loses them, not only its
 * next message. If changes are not notified, whoever is connected is looked at again twice per second.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { byDevice, deviceKey, type DeviceId } from "../core/device.ts";
import type { RegistryWatcher } from "../core/registry.ts";
import type { Source } from "../core/source.ts";
import type { Lookup } from "../registry/contract.ts";

/** With the age that a row may have then (unwatchedFreshMs), a device that is revoked is gone within a second. */
export const recheckEveryMs = 450;

type Doors = readonly Pick<Source, "recheck">[];

/** The look-up's watcher, that tells the sources as well. */
export function watcherWith({ watcher }: Pick<Lookup, "watcher">, doors: Doors): RegistryWatcher {
  return {
    ...watcher,
    devices(ids) {
      watcher.devices(ids);
      const told = byDevice(ids);
      recheck(doors, (tenantId, deviceId) => told.has(deviceKey(tenantId, deviceId)));
    },
    tenant(told) {
      watcher.tenant(told);
      recheck(doors, (tenantId) => told === null || told === tenantId);
    },
    restored() {
      watcher.restored();
      recheck(doors);
    },
  };
}

/** Until it is cancelled. */
export function recheckUnheard(lookup: Pick<Lookup, "stats">, doors: Doors, clock: Clock): Timer {
  return clock.every(recheckEveryMs, () => {
    if (lookup.stats().changes_unheard !== null) recheck(doors);
  });
}

export function recheckDevice(doors: Doors, { tenantId, deviceId }: DeviceId): void {
  recheck(doors, (tenant, device) => tenant === tenantId && device === deviceId);
}

const recheck = (doors: Doors, ...which: Parameters<NonNullable<Source["recheck"]>>) => {
  for (const door of doors) door.recheck?.(...which);
};
