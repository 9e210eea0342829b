/**
 * A device at the embedded broker's CONNECT: the judge's own rule on the cached row, with one re-read if the row says no.
 * Through the look-ups, so that a flood of connections costs the registry no more than a flood of messages.
 *
 * Of a token alone only its device's name is looked up, in the registry, or in the cache as long as the row there is fresh; that the
 * token is good is then found out as for a device that gave its name. Without the registry what the cache knows is a guess, which is
 * tested: but that another device has the same token, and it may be that one, nobody can say then.
 */
import type { Clock } from "../core/clock.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";
import type { Proof } from "../core/source.ts";
import { hashOf } from "../core/token.ts";
import { authorize } from "../judge/authorize.ts";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Answer } from "../registry/flights.ts";
import type { Lookup } from "../registry/contract.ts";
import type { TokenOwners } from "../registry/token-owners.ts";

interface Parts {
  readonly cache: DeviceAuthCache;
  readonly lookup: Pick<Lookup, "resolve">;
  readonly owners: TokenOwners;
  readonly clock: Clock;
  /** A token of this device that was replaced, and with which it had proved itself, is good no more. */
  readonly outdated: (device: DeviceId) => void;
}

/** A longer grace is waited for in parts: a timer has its bound. */
const waitMsMax = 86_400_000;

/** A token as it was presented, its SHA-256, or nothing: something else proved who it is. */
type Shown = { readonly token?: string; readonly tokenHash?: string | null };

/** All reject if the registry cannot tell now. */
export function authenticator({ cache, lookup, owners, clock, outdated }: Parts) {
  /** Devices whose former token is good for a while, each with its end: another rotation may have an earlier one. */
  const inGrace = new Set<string>();

  /** Nobody tells when a grace is over: it is no change of the registry. */
  function lookAgain({ tenantId, deviceId, previousTokenUntilMs: untilMs }: DeviceAuth): void {
    const leftMs = (untilMs ?? 0) - clock.wallMs();
    const key = `${deviceKey(tenantId, deviceId)} ${untilMs}`;
    if (leftMs <= 0 || inGrace.has(key)) return;
    inGrace.add(key);
    clock.after(Math.min(leftMs, waitMsMax), () => {
      inGrace.delete(key);
      outdated({ tenantId, deviceId });
    });
  }

  async function check(tenantId: string, deviceId: string, shown: Shown): Promise<boolean> {
    const proves = (device: DeviceAuth | null) => {
      const { token, tokenHash = null } = shown;
      const claim = { siteId: device?.siteId ?? null, token, tokenHash, receivedMs: clock.wallMs() };
      const isGood = authorize(device, claim, token !== undefined || tokenHash !== null) === null;
      if (isGood && device !== null) lookAgain(device);
      return isGood;
    };
    const cached = cache.get(tenantId, deviceId);
    if (cached !== undefined && (proves(cached) || !cache.mayReread(tenantId, deviceId)))
      return proves(cached);
    const answer = await new Promise<Answer>((done) => lookup.resolve(tenantId, deviceId, null, done));
    if (answer === "unavailable") throw new Error("the registry does not answer");
    return proves(answer);
  }

  async function ownerOf(token: string): Promise<DeviceId | "several" | null> {
    const tokenHash = hashOf(token);
    const guess = cache.ownerOf(tokenHash);
    const isGood = ({ tenantId, deviceId }: DeviceId) => check(tenantId, deviceId, { token });
    if (guess?.isSole && (await isGood(guess))) return guess;
    const found = await owners.of(tokenHash).catch((error: unknown) => {
      if (guess === undefined) throw error;
      return [guess];
    });
    const [owner, ...others] = found;
    if (owner === undefined) return null;
    if (others.length > 0) return "several";
    if (!(await isGood(owner))) return null;
    if (owner !== guess) cache.noteSole(owner);
    return owner;
  }

  return {
    ownerOf,
    /** Does this token belong to this device, and may it speak? */
    authenticate: (tenantId: string, deviceId: string, token: string) => check(tenantId, deviceId, { token }),
    /** May who proved himself at CONNECT still speak? */
    stillProves: ({ tenantId, deviceId, tokenHash }: Proof) => check(tenantId, deviceId, { tokenHash }),
  };
}
