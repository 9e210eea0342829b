/**
 * The keys of the latest values: who writes them (sink/redis) and who reads them go by this page.
 *
 * <D> is tenant/device, or the device's id alone for REDIS_TENANT; no id holds a "/", so the two cannot meet. An id may hold a
 * ":", so that keys are never taken apart: ids are read from the sorted set.
 */
import type { DeviceId } from "../core/device.ts";

export interface Naming {
  readonly prefix: string;
  readonly tenant: string | undefined;
}

export function nameOf({ tenant }: Naming, tenantId: string, deviceId: string): string {
  return tenantId === tenant ? deviceId : `${tenantId}/${deviceId}`;
}

export function deviceOf({ tenant }: Naming, name: string): DeviceId {
  const at = name.indexOf("/");
  return at < 0
    ? { tenantId: tenant ?? "", deviceId: name }
    : { tenantId: name.slice(0, at), deviceId: name.slice(at + 1) };
}

/** All devices by when they were last seen, and the set that older readers know. */
export function indexesOf({ prefix }: Naming): [seen: string, devices: string] {
  return [`${prefix}devices:seen`, `${prefix}devices`];
}
