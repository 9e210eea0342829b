/**
 * Stage "rate": a backlog is not a flood.
 *
 * The rule: one bucket of tokens per device, which refills at RATE_LIMIT_RPS and is as deep as what the device could
 * have produced at that rate in RATE_LIMIT_BACKLOG_SECONDS, plus RATE_LIMIT_BURST. It starts full, because any device
 * may have been away when the gateway starts. So a device that generates no more than its rate is never limited,
 * whatever queue or outage of no more than that time stood between (ours, the broker's, the network's, its own), and
 * in whatever order and at whatever speed its messages then come; a device that floods has its credit once. No
 * message waits, and every device has a bucket of its own.
 *
 * Rejected alternatives: a bucket of RATE_LIMIT_BURST alone, because it rejects whatever was queued for more than
 * seconds; the message's own time, because a device may have no clock, or lie; withholding PUBACK, because a broker
 * has one window for all devices, in order, and the neighbours would wait; spooling the message to be admitted later,
 * because an entry that waits in the spool keeps everything behind it from being trimmed.
 *
 * Bytes have a bucket of their own, so that no device's credit takes more than a share of the spool. It refills at
 * RATE_LIMIT_RPS times MAX_PAYLOAD_BYTES, the most that a device may send in the long run; only a backlog can exhaust
 * it.
 *
 * The algorithm is GCRA (ITU-T I.371, Annex A): a bucket is stored as the moment at which it will be full again. A
 * full bucket then equals no bucket at all, which bounds the memory: two generations of the map are kept, each for as
 * long as a bucket takes to fill or for as many buckets as the fleet has devices. When the older generation is forgotten,
 * buckets that owe much are kept: forgetting gives credit, so credit must not be free, and a bucket can owe only as
 * many messages as were let through. To look for those takes 60 ms of a million, and comes only once more devices than may be
 * cached have spoken. Rejected alternative: a sweep over all buckets, because that is a pause that
 * grows with the fleet. A restart forgets all buckets: every device then has its credit again.
 */
import type { Address, Found } from "../core/address.ts";
import { integer, decimal, type Values } from "../core/settings.ts";
import type { Reasons } from "./verdict.ts";

export const rateReasons = {
  RATE_LIMITED: {
    help: "The device proved itself and sent more than its sustained rate (RATE_LIMIT_RPS) allows, even if it had been away for RATE_LIMIT_BACKLOG_SECONDS; or as much came in its name while the registry did not answer.",
    remedy:
      "Send less often, with several metrics per message; or raise RATE_LIMIT_RPS (0 turns it off). The first 10,000 such payloads (64 MiB) per device and day are kept: sluice quarantine replay --reason RATE_LIMITED.",
  },
} as const satisfies Reasons;

export const rateSettings = {
  rateLimitRps: decimal({
    name: "RATE_LIMIT_RPS",
    default: 5,
    unit: "messages/s",
    help: "The sustained rate allowed per device, charged after it proved itself; 0: no limit.",
  }),
  rateLimitBurst: integer({
    name: "RATE_LIMIT_BURST",
    default: 20,
    min: 1,
    unit: "messages",
    help: "Messages that a device may send at once on top of its sustained rate and its backlog.",
  }),
  rateLimitBacklogSeconds: integer({
    name: "RATE_LIMIT_BACKLOG_SECONDS",
    default: 604_800,
    max: 31_536_000,
    unit: "seconds",
    help: "A backlog is not a flood: a device may send at once what it could have sent in this time at RATE_LIMIT_RPS; 0: only RATE_LIMIT_BURST.",
  }),
};

/** For messages and for bytes: what one costs and how deep the bucket is, in ms of refilling. */
export interface Rate {
  readonly messageMs: number;
  readonly messagesMs: number;
  readonly byteMs: number;
  readonly bytesMs: number;
}

/** How many limited payloads are kept per device: this many at once, and as many again in a day. */
const keptPerDayMax = 10_000;
const keptBytesPerDayMax = 64 * 1024 * 1024;
const dayMs = 86_400_000;

export const keptRate: Rate = {
  messageMs: dayMs / keptPerDayMax,
  messagesMs: dayMs,
  byteMs: dayMs / keptBytesPerDayMax,
  bytesMs: dayMs,
};

/** Returns undefined if there is no limit. `backlogBytesMax` is what one device's backlog may take at once. */
export function rateOf(
  settings: Values<typeof rateSettings> & { readonly payloadBytesMax: number },
  backlogBytesMax: number,
): Rate | undefined {
  const { rateLimitRps, rateLimitBurst, rateLimitBacklogSeconds, payloadBytesMax } = settings;
  if (rateLimitRps <= 0) return undefined;
  const messageMs = 1000 / rateLimitRps;
  const byteMs = messageMs / payloadBytesMax;
  const burstMs = rateLimitBurst * messageMs;
  return {
    messageMs,
    messagesMs: rateLimitBacklogSeconds * 1000 + burstMs,
    byteMs,
    bytesMs: Math.max(backlogBytesMax * byteMs, burstMs),
  };
}

/**
 * Buckets per generation; more, if the fleet may have more devices. At this bound the generation ends early, and a bucket may be
 * forgotten before it is full.
 */
export const bucketsMax = 131_072;
/** A bucket that owes more than this fraction of its depth outlives a generation that ended early. */
const owesMuch = 1 / 64;

/** Monotonic ms at which each bucket is full again. */
interface Bucket extends Found {
  messagesFullMs: number;
  bytesFullMs: number;
}

/** Whose bucket it is, and the one last found for it. */
type Limited = Pick<Address, "key" | "bucket">;

export interface Limiter {
  /**
   * Takes the cost of a message of `bytes` that came at `atMs` (monotonic). Returns false, and takes nothing, if the
   * bucket holds less.
   */
  take(of: Limited, atMs: number, bytes: number, rate: Rate): boolean;
  size(): number;
}

/** @param devicesMax so many may speak in turn without one that loses its bucket */
export function createLimiter(devicesMax = 0): Limiter {
  const youngMax = Math.max(bucketsMax, devicesMax);
  let young = new Map<string, Bucket>();
  let old = new Map<string, Bucket>();
  let latestMs = Number.NEGATIVE_INFINITY;
  let turnedMs = 0;

  function bucketOf(of: Limited, atMs: number, rate: Rate): Bucket {
    if (of.bucket?.home === young) return of.bucket as Bucket;
    const bucket = find(of.key, atMs, rate);
    of.bucket = bucket;
    return bucket;
  }

  function find(key: string, atMs: number, rate: Rate): Bucket {
    const present = young.get(key);
    if (present !== undefined) return present;
    if (young.size >= youngMax) {
      const forgotten = turn();
      takeAlong(forgotten, rate);
      forgotten.clear();
      return find(key, atMs, rate);
    }
    const bucket = old.get(key) ?? { home: young, messagesFullMs: atMs, bytesFullMs: atMs };
    enter(key, bucket);
    return bucket;
  }

  function enter(key: string, bucket: Bucket): void {
    bucket.home = young;
    young.set(key, bucket);
  }

  /** @returns what is to be emptied: the address of a device that is silent from now on keeps its bucket, and with it this map */
  function turn(): Map<string, Bucket> {
    const forgotten = old;
    [old, young, turnedMs] = [young, new Map(), latestMs];
    return forgotten;
  }

  function takeAlong(forgotten: ReadonlyMap<string, Bucket>, rate: Rate): void {
    for (const [key, bucket] of forgotten) {
      if (young.size >= youngMax / 2) break;
      const owes =
        bucket.messagesFullMs - latestMs > rate.messagesMs * owesMuch ||
        bucket.bytesFullMs - latestMs > rate.bytesMs * owesMuch;
      if (owes && !old.has(key)) enter(key, bucket);
    }
  }

  return {
    take(of, atMs, bytes, rate) {
      latestMs = Math.max(latestMs, atMs);
      const fillMs = Math.max(rate.messagesMs, rate.bytesMs);
      // All that was not used for so long is full again.
      if (latestMs - turnedMs > fillMs) turn().clear();
      const bucket = bucketOf(of, atMs, rate);
      const messagesFullMs = Math.max(bucket.messagesFullMs, atMs) + rate.messageMs;
      const bytesFullMs = Math.max(bucket.bytesFullMs, atMs) + bytes * rate.byteMs;
      // By the latest and not by its own time, since one that waited may be judged behind a later one of the same device.
      if (messagesFullMs - latestMs > rate.messagesMs + roundingMs) return false;
      if (bytesFullMs - latestMs > rate.bytesMs + roundingMs) return false;
      bucket.messagesFullMs = messagesFullMs;
      bucket.bytesFullMs = bytesFullMs;
      return true;
    },
    size: () => young.size + old.size,
  };
}

/** Tolerance: the rounding errors of millions of fractions must not cost a device the last token of its backlog. */
const roundingMs = 1e-3;
