/**
 * The judge decides, for each message, whether it is what it claims to be, in the order in which `examine` and
 * `decide` read.
 *
 * It is synchronous, does no I/O and counts nothing but rates: it returns what happened. A message whose device is
 * not cached comes back as `Pending`; one look-up asks the registry about all such devices, and `resume` decides.
 * Stages return a `Rejection` and do not throw; the one try/catch is for a bug of ours, which must cost one message
 * and not the gateway.
 */
import type { Address } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { deviceKey, type DeviceAuth } from "../core/device.ts";
import type { Entry, Reject } from "../core/entry.ts";
import type { Values } from "../core/settings.ts";
import { hashOf } from "../core/token.ts";
import { authorize, authorizeSettings } from "./authorize.ts";
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
import type { Judge, Pending, Several } from "./contract.ts";
import { sizeSettings } from "./decode.ts";
import { examine } from "./examine.ts";
import { learnForm } from "./forms.ts";
import { createKeeper, keepSettings, mirrors } from "./keep.ts";
import { createLimiter, keptRate, rateOf, rateSettings, type Rate } from "./limit.ts";
import { readMapped, type Part } from "./mapped.ts";
import type { Route, Router } from "./mapping/routes.ts";
import { scrub } from "./scrub.ts";
import { timeSettings } from "./time.ts";
import { addressIn, isOwnTopic } from "./topic.ts";
import { isRejection, rejection, type Rejection } from "./verdict.ts";

/** The settings that app_settings may change while the gateway runs. */
export const policySettings = { ...keepSettings, ...sizeSettings, ...rateSettings, ...timeSettings };
export const judgeSettings = { ...policySettings, ...authorizeSettings };

export type Policy = Values<typeof policySettings>;

export interface JudgeOptions {
  /** Called for every message, because app_settings may change the policy. */
  readonly policy: () => Policy;
  readonly auth: {
    /** @param nowMs monotonic */
    get(tenantId: string, deviceId: string, at: Address, nowMs: number): DeviceAuth | undefined;
    /** May a cached row that led to a reject be read again now? Bounded per device and time. */
    mayReread(tenantId: string, deviceId: string): boolean;
  };
  readonly requireToken: boolean;
  /** How many bytes of the spool the backlog of one device may take at once. */
  readonly backlogBytesMax: number;
  /** So many devices may be cached. Absent: no more than a limiter has room for anyway. */
  readonly devicesMax?: number;
  readonly clock: Clock;
  /** Absent: there are no mappings. */
  readonly routeOf?: Router | undefined;
}

/** A message that seems to have waited longer than this did not wait for the registry: the clock was set. */
const parkedMaxMs = 60_000;

/** Without mappings a message is never several events. */
export function createJudge(options: JudgeOptions & { routeOf?: undefined }): Judge<Entry | Pending>;
export function createJudge(options: JudgeOptions): Judge;
export function createJudge(options: JudgeOptions): Judge {
  const { policy, auth, requireToken, backlogBytesMax, devicesMax, clock, routeOf } = options;
  const proven = createLimiter(devicesMax);
  /**
   * Limits messages that wait for the registry, so that nobody can spend the allowance of a device by using its name.
   */
  const unproven = createLimiter();
  const kept = createLimiter();
  const keeper = createKeeper();
  let rated: Policy | undefined;
  let rate: Rate | undefined;
  /** Of the message judged last: a group's come in the same few milliseconds, and two clocks cost as much as the limit itself. */
  let [lastReceivedMs, lastArrivedMs] = [Number.NaN, 0];

  function decide(candidate: Candidate): Entry | Pending | Several {
    const route = candidate.given === undefined ? mappingFor(candidate.topic) : undefined;
    candidate.isTimeKnown = clock.isTimeKnown?.(candidate.receivedMs) ?? true;
    if (route === undefined) return conclude(candidate, examine(candidate, policy()));
    const parts = readMapped(candidate, route, policy());
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return conclude(only.candidate, only.why);
    return {
      several: parts.map((part) => guarded(part.candidate, () => conclude(part.candidate, part.why))),
    };
  }

  /** As `decide` reads it, without its judgement. */
  function partsOf(candidate: Candidate): readonly Part[] {
    try {
      const route = mappingFor(candidate.topic);
      return route === undefined
        ? [{ candidate, why: examine(candidate, policy()) }]
        : readMapped(candidate, route, policy());
    } catch (error) {
      return [{ candidate, why: faultOf(error) }];
    }
  }

  /** Our own topic is asked first, by its own code. */
  function mappingFor(topic: string): Route | undefined {
    return routeOf === undefined || isOwnTopic(topic) ? undefined : routeOf(topic);
  }

  function conclude(candidate: Candidate, why: Rejection | null): Entry | Pending {
    if (why !== null) return reject(candidate, why);
    if (candidate.isJudged && candidate.eventMs !== null) return toEvent(candidate);
    const address = addressOf(candidate);
    const { tenantId, deviceId } = address;
    const device = auth.get(tenantId, deviceId, address, arrivedMs(candidate));
    if (device === undefined) return pendingOf(candidate);
    const rejected = allow(device, candidate);
    if (rejected === null) return admit(candidate);
    const mayHeal = rejected.code !== "TOKEN_MISSING" && auth.mayReread(tenantId, deviceId);
    return mayHeal ? pendingOf(candidate) : reject(candidate, rejected);
  }

  /** Returns null if the device may send; the message's site is then the registered one, a string that all of the device's share. */
  function allow(
    device: DeviceAuth | null,
    candidate: Candidate,
    asksToken = requireToken,
  ): Rejection | null {
    const rejected = authorize(device, candidate, asksToken && candidate.proof === "token");
    if (rejected === null) candidate.siteId = device?.siteId ?? null;
    return rejected;
  }

  /**
   * Accepts a message of a device that proved itself: only now is its allowance spent. A message beyond the allowance
   * is kept for a replay.
   */
  function admit(candidate: Candidate): Entry {
    if (take(proven, candidate))
      return candidate.eventMs === null
        ? toDeferred(candidate, rejection("CLOCK_NOT_SET"), null)
        : toEvent(candidate);
    const why = rejection("RATE_LIMITED");
    const keeps =
      samples(candidate, why) ||
      kept.take(addressOf(candidate), arrivedMs(candidate), candidate.bytes.length, keptRate);
    return toReject(candidate, why, keeps, mirrors(policy()));
  }

  function take(limiter: typeof proven, candidate: Candidate): boolean {
    const current = policy();
    if (current !== rated) [rated, rate] = [current, rateOf(current, backlogBytesMax)];
    if (rate === undefined) return true;
    const address = addressOf(candidate);
    const takes =
      candidate.charged?.has(address.key) === true ||
      limiter.take(address, arrivedMs(candidate), candidate.bytes.length, rate);
    if (takes) candidate.charged?.add(address.key);
    return takes;
  }

  /**
   * When the message came, on the monotonic clock: messages that waited for the registry are judged all at once, but
   * charged by the time they came.
   */
  function arrivedMs({ receivedMs }: Candidate): number {
    if (receivedMs === lastReceivedMs) return lastArrivedMs;
    const parkedMs = Math.min(Math.max(clock.wallMs() - receivedMs, 0), parkedMaxMs);
    lastReceivedMs = receivedMs;
    lastArrivedMs = clock.monoMs() - parkedMs;
    return lastArrivedMs;
  }

  function reject(candidate: Candidate, why: Rejection): Reject {
    return toReject(candidate, why, samples(candidate, why), mirrors(policy()));
  }

  function samples(candidate: Candidate, why: Rejection): boolean {
    return keeper.keeps(policy(), candidate.address?.key ?? "", why.code, candidate.receivedMs);
  }

  function defer(candidate: Candidate): Entry {
    const why = rejection("REGISTRY_UNAVAILABLE");
    if (!take(unproven, candidate)) return reject(candidate, rejection("RATE_LIMITED", `after ${why.code}`));
    return toDeferred(
      candidate,
      why,
      candidate.token === undefined ? candidate.tokenHash : hashOf(candidate.token),
    );
  }

  /** Runs `work`; if it throws, the message becomes a reject (JUDGE_FAULT), so that every message gets an entry. */
  function guarded<T>(candidate: Candidate, work: (candidate: Candidate) => T): T | Reject {
    try {
      return work(candidate);
    } catch (error) {
      candidate.text = null;
      candidate.raw = null;
      return toReject(candidate, faultOf(error), true, false);
    }
  }

  return {
    judge(message) {
      const candidate = candidateOf(message);
      return learnedFrom(candidate, guarded(candidate, decide));
    },
    resume({ candidate }, answer) {
      const verdict = guarded(candidate, () => {
        if (answer === "unavailable") return defer(candidate);
        if (answer === "crowded") return reject(candidate, rejection("TOO_MANY_STRANGERS"));
        if (answer?.key !== undefined) candidate.address?.share(answer.key, answer.deviceId);
        const rejected = allow(answer, candidate);
        return rejected === null ? admit(candidate) : reject(candidate, rejected);
      });
      return learnedFrom(candidate, verdict);
    },
    rejudge: (entry, answer) =>
      guarded(fromSpool(entry), (candidate) => {
        // A message that waited only for the clock had shown a good token.
        const rejected = allow(answer, candidate, requireToken && entry.reason !== "CLOCK_NOT_SET");
        return rejected === null ? toEvent(candidate) : reject(candidate, rejected);
      }),
    reread(entry) {
      const candidate = fromReject(entry);
      const parts = partsOf(candidate);
      return {
        devices: parts.flatMap((part) => (part.why === null ? [addressOf(part.candidate)] : [])),
        parts: () => parts.map((part) => toReject(part.candidate, rejection(entry.reason), true, false)),
        // The reject stays where it is kept, so it does not count in the sampling of what comes in.
        judge: (of) =>
          parts.map(({ candidate: part, why }) =>
            guarded(part, () => {
              const rejected = why ?? allow(of(addressOf(part).key), part, false);
              return rejected === null ? toEvent(part) : toReject(part, rejected, true, false);
            }),
          ),
      };
    },
    mappingOf: (topic) => mappingFor(topic)?.mapping.topic.text,
    hasOwnIdentity: (message, byTime = false) =>
      partsOf(candidateOf(message)).every(({ candidate }) => saysWhen(candidate.text ?? "", byTime)),
    devicesOf(message) {
      const own = addressIn(message);
      if (!isRejection(own)) return [own.key];
      const route = mappingFor(message.topic);
      if (route === undefined) return [];
      const { mapping, who } = route;
      if (mapping.namedByTopic) return who.why === null ? [deviceKey(who.tenantId, who.deviceId)] : [];
      const parts = partsOf(candidateOf(message)).filter(({ why }) => why === null);
      return [...new Set(parts.map((part) => addressOf(part.candidate).key))];
    },
  };
}

function learnedFrom<V extends Entry | Pending | Several>(candidate: Candidate, verdict: V): V {
  if ("kind" in verdict && verdict.kind === "event") learnForm(candidate, verdict);
  return verdict;
}

/** Of an envelope, whether the device's or the canonical one. */
function saysWhen(text: string, byTime: boolean): boolean {
  try {
    const body = JSON.parse(text) as { ts?: unknown; seq?: unknown } | null;
    return (body?.ts ?? (byTime ? null : body?.seq) ?? null) !== null;
  } catch {
    return false;
  }
}

function faultOf(error: unknown): Rejection {
  return rejection("JUDGE_FAULT", error instanceof Error ? scrub(`${error.name}: ${error.message}`) : null);
}

function pendingOf(candidate: Candidate): Pending {
  const { tenantId, deviceId, key } = addressOf(candidate);
  return { tenantId, deviceId, key, pending: true, siteId: candidate.siteId, candidate };
}
