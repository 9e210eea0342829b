/**
 * Stage "registry": is this the device that it says it is, and may it speak?
 *
 * Tokens are 24 random bytes, so an unsalted SHA-256 is sound, and it is what existing registries hold. Digests are compared in
 * constant time; the token itself goes no further than here.
 */
import type { DeviceAuth } from "../core/device.ts";
import { Digest, Presented } from "../core/digest.ts";
import { flag } from "../core/settings.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const registryReasons = {
  UNREGISTERED_DEVICE: {
    help: "The registry has no such device.",
    remedy:
      "Register it: sluice devices add. With AUTO_PROVISION=1 the first message registers it, without a token.",
  },
  DEVICE_REVOKED: {
    help: "The device's status is not ACTIVE.",
    remedy: "If it is to speak again: sluice devices activate.",
  },
  SITE_MISMATCH_REGISTRY_VS_PAYLOAD: {
    help: "The payload's site_id is not the site the device is registered for.",
    remedy: "Fix the device's configuration, or register the device for its new site.",
  },
  TOKEN_NOT_SET_IN_REGISTRY: {
    help: "The device is registered without a token, and tokens are required.",
    remedy: "Make one: sluice devices rotate-token. If your devices have no tokens: REQUIRE_TOKEN=0.",
  },
  TOKEN_MISSING: {
    help: "No token came with the message: neither in its payload (provision_token) nor at CONNECT or in HTTP's header.",
    remedy: "Configure the device with its token.",
  },
  TOKEN_INVALID: {
    help: "The token that came with the message is not the device's.",
    remedy: "Configure the device with its current token, or make a new one: sluice devices rotate-token.",
  },
  REGISTRY_UNAVAILABLE: {
    help: "The registry did not answer in time; the message is kept and judged again when it does.",
    remedy: "Repair the database; the message itself needs nothing.",
  },
  TOO_MANY_STRANGERS: {
    help: "The registry did not answer, the device is not in the auth cache although that has room for all, and the messages that wait to be judged already take a quarter of SPOOL_MAX_BYTES.",
    remedy:
      "Repair the database, and check who may publish at the broker; devices in the auth cache are not affected.",
  },
} as const satisfies Reasons;

type Code = Exclude<keyof typeof registryReasons, "REGISTRY_UNAVAILABLE" | "TOO_MANY_STRANGERS">;

export const authorizeSettings = {
  requireToken: flag({
    name: "REQUIRE_TOKEN",
    default: true,
    help: "0: devices need no token; registration, status and site are still checked.",
  }),
};

/** What a message says about its device. */
export interface Claim {
  /** null if the message names no site, which a mapping may leave to the registry. */
  readonly siteId: string | null;
  /** The token itself; undefined if only its hash is known (a message judged later). */
  readonly token: string | undefined;
  readonly tokenHash: string | null;
  /** Wall clock at arrival. A token that was good then is accepted. */
  readonly receivedMs: number;
}

/** Returns null if the device proved itself. */
export function authorize(
  device: DeviceAuth | null,
  claim: Claim,
  requireToken: boolean,
): Rejection<Code> | null {
  if (device === null) return rejection("UNREGISTERED_DEVICE");
  if (device.status !== "ACTIVE")
    return rejection("DEVICE_REVOKED", `status is ${device.status || "not set"}`);
  if (claim.siteId !== null && device.siteId !== claim.siteId) {
    return rejection(
      "SITE_MISMATCH_REGISTRY_VS_PAYLOAD",
      `registered for ${device.siteId || "no site"}, payload says ${claim.siteId}`,
    );
  }
  return requireToken ? checkToken(device, claim) : null;
}

function checkToken(device: DeviceAuth, claim: Claim): Rejection<Code> | null {
  const kept = device.digest;
  if (kept === undefined && !device.tokenHash) return rejection("TOKEN_NOT_SET_IN_REGISTRY");
  if (claim.token !== undefined) presented.hash(claim.token);
  else if (claim.tokenHash === null) return rejection("TOKEN_MISSING");
  else if (!presented.read(claim.tokenHash)) return rejection("TOKEN_INVALID");
  const stored = kept ?? Digest.read(device.tokenHash ?? "");
  if (stored === undefined)
    return rejection("TOKEN_INVALID", "the registry's provision_token_hash is not 64 hex digits");
  return stored.is(presented) || isPrevious(device, claim.receivedMs) ? null : rejection("TOKEN_INVALID");
}

/** Compares with the digest in `presented`. */
function isPrevious(device: DeviceAuth, atMs: number): boolean {
  const { previousTokenHash: hash, previousTokenUntilMs: untilMs } = device;
  if (hash === null || untilMs === null || atMs >= untilMs) return false;
  return Digest.read(hash)?.is(presented) === true;
}

const presented = new Presented();

/**
 * Returns undefined if the payload presents no token. A number or an object is no token: no registry could hold its
 * hash.
 */
export function tokenOf(body: Readonly<Record<string, unknown>>): string | undefined {
  const token = body["provision_token"];
  return typeof token === "string" && token !== "" ? token : undefined;
}
