/**
 * The judge: decides for each message whether it is what it claims, in the order in which `examine` and `decide` read.
 *
 * Synchronous, without I/O, and it counts nothing but rates: it returns what happened. A message whose device is not at hand
 * comes back as `Pending`; the registry is asked for all such together, and `resume` ends the matter. Stages return a `No` rather
 * than throw; the one try/catch is for a bug of ours, which must cost one message and not the gateway.
 */
import type { Clock } from "../core/clock.ts";
import type { DeviceAuth } from "../core/device.ts";
import type { Deferred, Entry, Event, Reject } from "../core/entry.ts";
import type { Message } from "../core/message.ts";
import type { Values } from "../core/settings.ts";
import { authorize, authorizeSettings, hashOf, tokenOf } from "./authorize.ts";
import {
  addressOf,
  candidateOf,
  fromReject,
  fromSpool,
  toDeferred,
  toEvent,
  toReject,
  type Candidate,
} from "./candidate.ts";
import { decode, oversize, sizeSettings } from "./decode.ts";
import { checkEnvelope, siteOf } from "./envelope.ts";
import { createKeeper, keepSettings, mirrors } from "./keep.ts";
import { createLimiter, keptRate, rateOf, rateSettings, type Rate } from "./limit.ts";
import { remarkOn } from "./metrics.ts";
import { scrub } from "./scrub.ts";
import { readTime, timeSettings } from "./time.ts";
import { addressIn, type Address } from "./topic.ts";
import { isNo, no, type No, type Reasons } from "./verdict.ts";

export const faultReasons = {
  LOST_TO_DAMAGE: {
    help: "The message waited on the disk to be judged, and damage to the spool took it.",
    remedy: "`sluice spool repair` said how many; the device may have what it sent.",
  },
  JUDGE_FAULT: {
    help: "Sluice itself failed on this message: a bug.",
    remedy: "Report it, with the detail and with what was kept of the payload.",
  },
} as const satisfies Reasons;

/** Those that app_settings may change while the gateway runs. */
export const policySettings = { ...keepSettings, ...sizeSettings, ...rateSettings, ...timeSettings };
export const judgeSettings = { ...policySettings, ...authorizeSettings };

export type Policy = Values<typeof policySettings>;

/** A message whose device must be looked up before it can be judged. Holds the token: never to be written or logged. */
export interface Pending extends Address {
  readonly pending: true;
  readonly siteId: string;
  /** For `resume` alone. */
  readonly candidate: Candidate;
}

export interface Judge {
  /** An Entry (event or reject, seq 0), or a Pending: its device must be looked up first. Never throws. */
  judge(message: Message): Entry | Pending;
  /**
   * The registry answered: a row; null, not registered; or "unavailable", it could not be asked in time, which makes a
   * deferred Entry with `tokenHash` and the reason REGISTRY_UNAVAILABLE. A message that counts by its arrival, while nobody knows
   * the time, is deferred without an event time, as CLOCK_NOT_SET if its device proved itself. Never throws.
   */
  resume(pending: Pending, answer: DeviceAuth | null | "unavailable" | "crowded"): Entry;
  /** A deferred entry judged under today's answer: an event or a reject, seq 0. Its rate was charged when it came. */
  rejudge(entry: Deferred, answer: DeviceAuth | null): Event | Reject;
  /** A kept reject judged anew at an operator's word: everything but its token, which is gone, and its rate. */
  replay(entry: Reject, answer: DeviceAuth | null): Event | Reject;
  /** The key of the device that a message speaks for; undefined where its topic names none. */
  deviceOf(message: Message): string | undefined;
}

export interface JudgeOptions {
  /** Asked for every message: app_settings may change it. */
  readonly policy: () => Policy;
  readonly auth: {
    get(tenantId: string, deviceId: string): DeviceAuth | undefined;
    /** May a cached row that said no be read anew now? Bounded a device and time. */
    mayReread(tenantId: string, deviceId: string): boolean;
  };
  readonly requireToken: boolean;
  /** What the backlog of one device may take of the spool at once. */
  readonly backlogBytesMax: number;
  readonly clock: Clock;
}

/** A message older than this did not wait for the registry: the clock was set. */
const parkedMaxMs = 60_000;

export function isPending(outcome: Entry | Pending): outcome is Pending {
  return "pending" in outcome;
}

export function createJudge(options: JudgeOptions): Judge {
  const { policy, auth, requireToken, backlogBytesMax, clock } = options;
  const proven = createLimiter();
  /** Of what waits for the registry, so that nobody spends the allowance of a device whose name he uses. */
  const unproven = createLimiter();
  const kept = createLimiter();
  const keeper = createKeeper();
  let rated: Policy | undefined;
  let rate: Rate | undefined;

  function decide(it: Candidate): Entry | Pending {
    const why = examine(it, policy(), clock.isTimeKnown?.() ?? true);
    if (why !== null) return reject(it, why);
    const { tenantId, deviceId } = addressOf(it);
    const device = auth.get(tenantId, deviceId);
    if (device === undefined) return pendingOf(it);
    const refusal = authorize(device, it, requireToken);
    if (refusal === null) return admit(it);
    const mayHeal = refusal.no !== "TOKEN_MISSING" && auth.mayReread(tenantId, deviceId);
    return mayHeal ? pendingOf(it) : reject(it, refusal);
  }

  /** The device proved itself: only now is its own allowance spent. What is beyond it is kept for a replay. */
  function admit(it: Candidate): Entry {
    if (take(proven, it))
      return it.eventMs === null ? toDeferred(it, no("CLOCK_NOT_SET"), null) : toEvent(it);
    const why = no("RATE_LIMITED");
    const keeps = samples(it, why) || kept.take(addressOf(it).key, arrivedMs(it), it.bytes.length, keptRate);
    return toReject(it, why, keeps, mirrors(policy()));
  }

  function take(limiter: typeof proven, it: Candidate): boolean {
    const current = policy();
    if (current !== rated) [rated, rate] = [current, rateOf(current, backlogBytesMax)];
    return rate === undefined || limiter.take(addressOf(it).key, arrivedMs(it), it.bytes.length, rate);
  }

  /** Monotonic: those that waited for the registry are judged all at once, and charged by the time they came. */
  function arrivedMs(it: Candidate): number {
    const parkedMs = Math.min(Math.max(clock.wallMs() - it.receivedMs, 0), parkedMaxMs);
    return clock.monoMs() - parkedMs;
  }

  function reject(it: Candidate, why: No): Reject {
    return toReject(it, why, samples(it, why), mirrors(policy()));
  }

  function samples(it: Candidate, why: No): boolean {
    return keeper.keeps(policy(), it.address?.key ?? "", why.no, it.receivedMs);
  }

  function defer(it: Candidate): Entry {
    const why = no("REGISTRY_UNAVAILABLE");
    if (!take(unproven, it)) return reject(it, no("RATE_LIMITED", `after ${why.no}`));
    return toDeferred(it, why, it.token === undefined ? it.tokenHash : hashOf(it.token));
  }

  /** Whatever happens, the message is answered for. */
  function guarded<T>(it: Candidate, work: (it: Candidate) => T): T | Reject {
    try {
      return work(it);
    } catch (error) {
      it.text = null;
      const detail = error instanceof Error ? scrub(`${error.name}: ${error.message}`) : null;
      return toReject(it, no("JUDGE_FAULT", detail), true, false);
    }
  }

  return {
    judge: (message) => guarded(candidateOf(message), decide),
    resume: ({ candidate }, answer) =>
      guarded(candidate, (it) => {
        if (answer === "unavailable") return defer(it);
        if (answer === "crowded") return reject(it, no("TOO_MANY_STRANGERS"));
        const refusal = authorize(answer, it, requireToken);
        return refusal === null ? admit(it) : reject(it, refusal);
      }),
    rejudge: (entry, answer) =>
      guarded(fromSpool(entry), (it) => {
        // Who waited for the clock alone had shown a good token.
        const refusal = authorize(answer, it, requireToken && entry.reason !== "CLOCK_NOT_SET");
        return refusal === null ? toEvent(it) : reject(it, refusal);
      }),
    replay: (entry, answer) =>
      guarded(fromReject(entry), (it) => {
        const refusal = examine(it, policy(), true) ?? authorize(answer, it, false);
        // It stays where it is kept: it takes no part in the sampling of what comes in.
        return refusal === null ? toEvent(it) : toReject(it, refusal, true, false);
      }),
    deviceOf(message) {
      const address = addressIn(message);
      return isNo(address) ? undefined : address.key;
    },
  };
}

function pendingOf(it: Candidate): Pending {
  return { ...addressOf(it), pending: true, siteId: it.siteId ?? "", candidate: it };
}

/** All that can be said of a message without asking who its device is; fills `it` as far as it comes. */
function examine(it: Candidate, policy: Policy, isTimeKnown: boolean): No | null {
  const address = addressIn({ topic: it.topic, address: it.given });
  if (!isNo(address)) it.address = address;
  const large = oversize(it.bytes, it.wholeBytes, policy.payloadBytesMax);
  it.isOversize = large !== null;
  if (large !== null) return large;
  const decoded = decode(it.bytes);
  if (!isNo(decoded)) {
    it.text = decoded.text;
    it.token = tokenOf(decoded.body);
    it.siteId = siteOf(decoded.body);
  }
  // Only now, for the token must be known where it is to be blanked.
  if (isNo(address)) return address;
  if (isNo(decoded)) return decoded;
  const why = checkEnvelope(decoded.body, address) ?? readTime(it, decoded.body, policy, isTimeKnown);
  if (why === null) it.remark = remarkOn(decoded.body, address.msgType);
  return why;
}
