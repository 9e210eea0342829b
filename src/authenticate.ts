/**
 * A device at the embedded broker's CONNECT: the judge's own rule on the cached row, with one re-read where the row says no.
 * Through the look-ups, so that a flood of connections costs the registry no more than a flood of messages.
 */
import type { Clock } from "./core/clock.ts";
import { authorize } from "./judge/authorize.ts";
import type { DeviceAuthCache } from "./registry/cache.ts";
import type { Answer } from "./registry/flights.ts";
import type { Lookup } from "./registry/lookup.ts";
import type { DeviceAuth } from "./core/device.ts";

/** Does this token belong to this device, and may it speak? Rejects when the registry cannot tell now. */
export function authenticator({
  cache,
  lookup,
  clock,
}: {
  cache: DeviceAuthCache;
  lookup: Lookup;
  clock: Clock;
}) {
  return async (tenantId: string, deviceId: string, token: string): Promise<boolean> => {
    const proves = (device: DeviceAuth | null) => {
      const claim = { siteId: device?.siteId ?? null, token, tokenHash: null, receivedMs: clock.wallMs() };
      return authorize(device, claim, true) === null;
    };
    const cached = cache.get(tenantId, deviceId);
    if (cached !== undefined && (proves(cached) || !cache.mayReread(tenantId, deviceId)))
      return proves(cached);
    const answer = await new Promise<Answer>((done) => lookup.resolve(tenantId, deviceId, null, done));
    if (answer === "unavailable") throw new Error("the registry does not answer");
    return proves(answer);
  };
}
