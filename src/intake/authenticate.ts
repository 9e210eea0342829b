/**
 * A device at the embedded broker's CONNECT: the judge's own rule on the cached row, with one re-read if the row says no.
 * Through the look-ups, so that a flood of connections costs the registry no more than a flood of messages.
 */
import type { Clock } from "../core/clock.ts";
import type { DeviceAuth } from "../core/device.ts";
import type { Proof } from "../core/source.ts";
import { authorize } from "../judge/authorize.ts";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Answer } from "../registry/flights.ts";
import type { Lookup } from "../registry/contract.ts";

interface Parts {
  readonly cache: DeviceAuthCache;
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** A token as it was presented, its SHA-256, or nothing: something else proved who it is. */
type Shown = { readonly token?: string; readonly tokenHash?: string | null };

/** Both reject if the registry cannot tell now. */
export function authenticator({ cache, lookup, clock }: Parts) {
  async function check(tenantId: string, deviceId: string, shown: Shown): Promise<boolean> {
    const proves = (device: DeviceAuth | null) => {
      const { token, tokenHash = null } = shown;
      const claim = { siteId: device?.siteId ?? null, token, tokenHash, receivedMs: clock.wallMs() };
      return authorize(device, claim, token !== undefined || tokenHash !== null) === null;
    };
    const cached = cache.get(tenantId, deviceId);
    if (cached !== undefined && (proves(cached) || !cache.mayReread(tenantId, deviceId)))
      return proves(cached);
    const answer = await new Promise<Answer>((done) => lookup.resolve(tenantId, deviceId, null, done));
    if (answer === "unavailable") throw new Error("the registry does not answer");
    return proves(answer);
  }

  return {
    /** Does this token belong to this device, and may it speak? */
    authenticate: (tenantId: string, deviceId: string, token: string) => check(tenantId, deviceId, { token }),
    /** May who proved himself at CONNECT still speak? */
    stillProves: ({ tenantId, deviceId, tokenHash }: Proof) => check(tenantId, deviceId, { tokenHash }),
  };
}
