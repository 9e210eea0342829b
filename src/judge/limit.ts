/**
 * Stage "rate": a bucket of tokens a device, kept as one number.
 *
 * GCRA (ITU-T I.371, Annex A): the bucket is the moment at which it will be full again. A full bucket is then the same as none
 * at all, which bounds the memory: two generations of the map are kept, each as long as a bucket takes to fill, and the
 * older is let go of whole. The alternative, a sweep over all buckets, would be a pause that grows with the fleet.
 */
import { count, decimal } from "../core/settings.ts";
import type { Reasons } from "./verdict.ts";

export const rateReasons = {
  RATE_LIMITED: {
    help: "The device sent more than RATE_LIMIT_RPS allows; or something failed so often under its name that failures are limited.",
    remedy:
      "Send less often, several metrics in one message; or raise RATE_LIMIT_RPS and RATE_LIMIT_BURST. 0 turns it off.",
  },
} as const satisfies Reasons;

export const rateSettings = {
  rateLimitRps: decimal({
    name: "RATE_LIMIT_RPS",
    default: 5,
    unit: "messages/s",
    help: "A device's lasting rate, charged after it proved itself, and as much again for what fails under its name; 0: no limit.",
  }),
  rateLimitBurst: count({
    name: "RATE_LIMIT_BURST",
    default: 20,
    min: 1,
    unit: "messages",
    help: "Messages that a device may send at once on top of its lasting rate.",
  }),
};

/** Buckets in one generation; beyond it the generation ends early, and a bucket may be forgotten before it is full. */
export const bucketsMax = 131_072;

export interface Limiter {
  /** Takes one token for a message that came at `atMs` (monotonic); false where there is none. */
  take(key: string, atMs: number, rps: number, burst: number): boolean;
  size(): number;
}

export function createLimiter(): Limiter {
  let young = new Map<string, number>();
  let old = new Map<string, number>();
  let latestMs = Number.NEGATIVE_INFINITY;
  let turnedMs = 0;
  return {
    take(key, atMs, rps, burst) {
      if (rps <= 0) return true;
      const intervalMs = 1000 / rps;
      const fillMs = burst * intervalMs;
      latestMs = Math.max(latestMs, atMs);
      if (latestMs - turnedMs > fillMs || young.size >= bucketsMax) {
        [old, young, turnedMs] = [young, new Map(), latestMs];
      }
      const fullAtMs = Math.max(young.get(key) ?? old.get(key) ?? atMs, atMs) + intervalMs;
      if (fullAtMs - atMs > fillMs + roundingMs) return false;
      young.set(key, fullAtMs);
      return true;
    },
    size: () => young.size + old.size,
  };
}

/** Sums of fractions must not cost a device the last token of its burst. */
const roundingMs = 1e-6;
