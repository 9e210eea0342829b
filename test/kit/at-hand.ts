/**
 * The address of a device as its topic's keeps it, with what was found for it before; every third time a new one, as of who has just
 * heard of it: both must be told the same.
 */
import { Address } from "../../src/core/address.ts";

export function atHand(): (deviceId: string, tenantId?: string) => Address {
  const kept = new Map<string, Address>();
  let asked = 0;
  return (deviceId, tenantId = "acme") => {
    const fresh = new Address(`tenant/${tenantId}/device/${deviceId}/x`, tenantId, deviceId, "x", true);
    if (++asked % 3 === 0) return fresh;
    const address = kept.get(fresh.key) ?? fresh;
    kept.set(fresh.key, address);
    return address;
  };
}
