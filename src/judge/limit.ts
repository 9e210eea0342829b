/**
 * Stage "rate": a backlog is not a flood.
 *
 * Rule: a bucket of tokens per device that refills at RATE_LIMIT_RPS and is as deep as what the device could have produced at
 * that rate in RATE_LIMIT_BACKLOG_SECONDS, with RATE_LIMIT_BURST on top. It starts full, because at a start of ours any device may
 * have been away. So a device that generates no more than its rate is never limited, whatever queue or outage of no more
 * than that long stood between (ours, the broker's, the network's, its own), in whatever order and speed it then comes; one that
 * floods has its credit once. A message waits for nothing and a neighbour's bucket is its own.
 *
 * Rejected: a bucket of RATE_LIMIT_BURST alone (threw away whatever queued for longer than seconds); the message's own time
 * (a device may have no clock, or lie); withholding PUBACK (a broker's window is one for all devices, in order: the neighbours
 * would wait); spooling it to be admitted later (what waits in the spool keeps all behind it from being given up).
 *
 * Bytes have a bucket of their own, so that nobody's credit takes more than a share of the spool. It refills at RATE_LIMIT_RPS times
 * MAX_PAYLOAD_BYTES, the most that a device may send for ever; only a backlog can meet it.
 *
 * GCRA (ITU-T I.371, Annex A): a bucket is the moment at which it will be full again. A full bucket is then the same as none at
 * all, which bounds the memory: two generations of the map are kept, each as long as a bucket takes to fill or as many buckets
 * as `bucketsMax`, and the older is let go of but for buckets that owe much: forgetting gives credit, so it must not be had for
 * nothing, and only as many messages as were let through can make a bucket owe. A sweep over all buckets would be a pause
 * that grows with the fleet. A restart forgets: then every device has its credit again.
 */
import { count, decimal, type Values } from "../core/settings.ts";
import type { Reasons } from "./verdict.ts";

export const rateReasons = {
  RATE_LIMITED: {
    help: "The device proved itself and sent more than its lasting rate (RATE_LIMIT_RPS) explains, even if it had been away for RATE_LIMIT_BACKLOG_SECONDS; or as much came in its name while the registry could not be asked.",
    remedy:
      "Send less often, several metrics in one message; or raise RATE_LIMIT_RPS (0 turns it off). The first 10,000 such payloads (64 MiB) per device and day are kept: sluice quarantine replay --reason RATE_LIMITED.",
  },
} as const satisfies Reasons;

export const rateSettings = {
  rateLimitRps: decimal({
    name: "RATE_LIMIT_RPS",
    default: 5,
    unit: "messages/s",
    help: "A device's lasting rate, charged after it proved itself; 0: no limit.",
  }),
  rateLimitBurst: count({
    name: "RATE_LIMIT_BURST",
    default: 20,
    min: 1,
    unit: "messages",
    help: "Messages that a device may send at once on top of its lasting rate and its backlog.",
  }),
  rateLimitBacklogSeconds: count({
    name: "RATE_LIMIT_BACKLOG_SECONDS",
    default: 604_800,
    max: 31_536_000,
    unit: "seconds",
    help: "A backlog is not a flood: what a device could have sent in so long at its lasting rate it may send at once; 0: only RATE_LIMIT_BURST.",
  }),
};

/** Messages and bytes, each as what one costs and how deep its bucket is, in ms of refilling. */
export interface Rate {
  readonly messageMs: number;
  readonly messagesMs: number;
  readonly byteMs: number;
  readonly bytesMs: number;
}

/** What is kept of the payloads that are limited, per device: so much at once, and as much again in a day. */
const keptPerDayMax = 10_000;
const keptBytesPerDayMax = 64 * 1024 * 1024;
const dayMs = 86_400_000;

export const keptRate: Rate = {
  messageMs: dayMs / keptPerDayMax,
  messagesMs: dayMs,
  byteMs: dayMs / keptBytesPerDayMax,
  bytesMs: dayMs,
};

/** undefined: no limit. `backlogBytesMax`: what one device's backlog may take at once. */
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

/** Buckets in one generation; beyond it the generation ends early, and a bucket may be forgotten before it is full. */
export const bucketsMax = 131_072;
/** A bucket that owes more than this part of its depth outlives a generation that ended early. */
const owesMuch = 1 / 64;

/** Monotonic ms: when it is full again. */
interface Bucket {
  messagesFullMs: number;
  bytesFullMs: number;
}

export interface Limiter {
  /** Takes what a message of `bytes` costs that came at `atMs` (monotonic); false if there is not as much, and nothing is taken. */
  take(key: string, atMs: number, bytes: number, rate: Rate): boolean;
  size(): number;
}

export function createLimiter(): Limiter {
  let young = new Map<string, Bucket>();
  let old = new Map<string, Bucket>();
  let latestMs = Number.NEGATIVE_INFINITY;
  let turnedMs = 0;

  function bucketOf(key: string, atMs: number): Bucket {
    const present = young.get(key);
    if (present !== undefined) return present;
    const bucket = old.get(key) ?? { messagesFullMs: atMs, bytesFullMs: atMs };
    young.set(key, bucket);
    return bucket;
  }

  function turn(rate: Rate): void {
    const forgotten = old;
    [old, young, turnedMs] = [young, new Map(), latestMs];
    for (const [key, bucket] of forgotten) {
      if (young.size >= bucketsMax / 2) return;
      const owes =
        bucket.messagesFullMs - latestMs > rate.messagesMs * owesMuch ||
        bucket.bytesFullMs - latestMs > rate.bytesMs * owesMuch;
      if (owes && !old.has(key)) young.set(key, bucket);
    }
  }

  return {
    take(key, atMs, bytes, rate) {
      latestMs = Math.max(latestMs, atMs);
      const fillMs = Math.max(rate.messagesMs, rate.bytesMs);
      if (latestMs - turnedMs > fillMs || young.size >= bucketsMax) turn(rate);
      const bucket = bucketOf(key, atMs);
      const messagesFullMs = Math.max(bucket.messagesFullMs, atMs) + rate.messageMs;
      const bytesFullMs = Math.max(bucket.bytesFullMs, atMs) + bytes * rate.byteMs;
      if (messagesFullMs - atMs > rate.messagesMs + roundingMs) return false;
      if (bytesFullMs - atMs > rate.bytesMs + roundingMs) return false;
      bucket.messagesFullMs = messagesFullMs;
      bucket.bytesFullMs = bytesFullMs;
      return true;
    },
    size: () => young.size + old.size,
  };
}

/** Sums of millions of fractions must not cost a device the last token of its backlog. */
const roundingMs = 1e-3;
