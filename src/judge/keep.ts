/**
 * How much of a reject is kept. It is always counted. Its payload is kept in DEV with STORE_REJECTS (or
 * MIRROR_REJECTS_TO_RAW), and otherwise only as a sample: the first per device, reason and minute.
 *
 * The earlier services kept either every payload or none; with none, nobody could tell why a device was rejected.
 */
import { oneOf, flag, type Values } from "../core/settings.ts";

export const keepSettings = {
  mode: oneOf({
    name: "MODE",
    default: "PROD",
    words: ["PROD", "DEV"],
    help: "PROD keeps one rejected payload per device, reason and minute as a sample; DEV obeys STORE_REJECTS and MIRROR_REJECTS_TO_RAW.",
  }),
  storeRejects: flag({
    name: "STORE_REJECTS",
    default: false,
    help: "In DEV: keep the payload of every reject.",
  }),
  mirrorRejects: flag({
    name: "MIRROR_REJECTS_TO_RAW",
    default: false,
    help: "In DEV: write rejects into raw_events too, with accepted = false.",
  }),
};

type KeepPolicy = Values<typeof keepSettings>;

/** Payloads sampled per minute, all devices together: a flood of made-up devices must not fill the disk. */
const samplesPerMinuteMax = 1000;

export interface Keeper {
  /** Should the payload of this reject be kept? `receivedMs` is wall clock. */
  keeps(policy: KeepPolicy, device: string, reason: string, receivedMs: number): boolean;
}

export function mirrors(policy: KeepPolicy): boolean {
  return policy.mode === "DEV" && policy.mirrorRejects;
}

export function createKeeper(): Keeper {
  const sampled = new Set<string>();
  let minute = Number.NEGATIVE_INFINITY;
  return {
    keeps(policy, device, reason, receivedMs) {
      if (policy.mode === "DEV" && (policy.storeRejects || policy.mirrorRejects)) return true;
      const now = Math.floor(receivedMs / 60_000);
      // A message that waited may belong to the previous minute; and the clock may have been set back.
      if (now > minute || now < minute - 1) {
        sampled.clear();
        minute = now;
      }
      const sample = `${reason} ${device}`;
      if (sampled.has(sample) || sampled.size >= samplesPerMinuteMax) return false;
      sampled.add(sample);
      return true;
    },
  };
}
