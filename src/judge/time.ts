/**
 * Stage "time": when the message's event happened: the device's `ts` if it sent one, else the moment of arrival.
 *
 * A device's clock may be wrong by years, so its `ts` can be bounded; by default it is not, because a backlog of
 * weeks is no fault. A retained message was kept by the broker for an unknown time: its arrival says nothing about
 * when it was measured.
 */
import { oneOf, integer, type Values } from "../core/settings.ts";
import type { Candidate } from "./candidate.ts";
import { jsonOf } from "./mapping/envelope.ts";
import { readTimestamp, type Instant } from "./timestamp.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const timeReasons = {
  BAD_TIMESTAMP: {
    help: "ts is neither ISO 8601 nor an epoch in s, ms, µs or ns, or lies outside 1677-09-21 to 2262-04-11.",
    remedy: "Send ISO 8601 in UTC, or leave ts out: the time of arrival then counts.",
  },
  TIMESTAMP_OUT_OF_RANGE: {
    help: "ts lies further ahead of the arrival than TS_MAX_FUTURE_SECONDS, or further back than TS_MAX_AGE_DAYS.",
    remedy: "Set the device's clock; or TS_OUT_OF_RANGE=arrival, and the time of arrival counts instead.",
  },
  RETAINED_WITHOUT_TIME: {
    help: "The broker had retained this message, and it has no ts: when it was measured is unknown.",
    remedy: "Let the device send ts, or publish without the retain flag.",
  },
  CLOCK_NOT_SET: {
    help: "The clock of the gateway's host is not set and the message has no ts; it is kept, and gets its time once the clock is set.",
    remedy: "Set the host's clock, or let it reach a time server; the message itself needs nothing.",
  },
} as const satisfies Reasons;

export const timeSettings = {
  tsFutureSecondsMax: integer({
    name: "TS_MAX_FUTURE_SECONDS",
    default: 0,
    unit: "seconds",
    help: "How far a device's ts may lie ahead of the arrival; 0: no limit.",
  }),
  tsAgeDaysMax: integer({
    name: "TS_MAX_AGE_DAYS",
    default: 0,
    unit: "days",
    help: "How far a device's ts may lie before the arrival; 0: no limit.",
  }),
  tsOutOfRange: oneOf({
    name: "TS_OUT_OF_RANGE",
    default: "reject",
    words: ["reject", "arrival"],
    help: "Beyond TS_MAX_FUTURE_SECONDS or TS_MAX_AGE_DAYS: reject as TIMESTAMP_OUT_OF_RANGE, or take the time of arrival instead.",
  }),
};

type Policy = Values<typeof timeSettings>;
type Code = Exclude<keyof typeof timeReasons, "CLOCK_NOT_SET">;

const dayMs = 86_400_000;

/**
 * Fills in the event time. It stays null if it is the moment of arrival and that is not known; nor is `ts` then checked against it.
 * @param ts as the device sent it; null if it sent none
 */
export function timeFrom(candidate: Candidate, ts: unknown, policy: Policy): Rejection<Code> | null {
  if (ts === null) return timeIs(candidate, null, policy);
  const own = readTimestamp(ts);
  if (own === null) return rejection("BAD_TIMESTAMP", `ts is ${jsonOf(ts)}`);
  return timeIs(candidate, own, policy);
}

/** The same. @param own what the device said; null if it said nothing */
export function timeIs(candidate: Candidate, own: Instant | null, policy: Policy): Rejection<Code> | null {
  if (own === null) return arrivalOf(candidate, null);
  const why = candidate.isTimeKnown ? outOfRange(own.ms - candidate.receivedMs, policy) : null;
  if (why === null) {
    candidate.eventMs = own.ms;
    candidate.eventNs = own.ns;
    return null;
  }
  return policy.tsOutOfRange === "reject"
    ? rejection("TIMESTAMP_OUT_OF_RANGE", why)
    : arrivalOf(candidate, why);
}

function arrivalOf(candidate: Candidate, why: string | null): Rejection<Code> | null {
  if (candidate.isRetained) return rejection("RETAINED_WITHOUT_TIME", why);
  if (candidate.isTimeKnown) candidate.eventMs = candidate.receivedMs;
  return null;
}

function outOfRange(aheadMs: number, { tsFutureSecondsMax, tsAgeDaysMax }: Policy): string | null {
  if (tsFutureSecondsMax > 0 && aheadMs > tsFutureSecondsMax * 1000)
    return `${Math.round(aheadMs / 1000)} s ahead, ${tsFutureSecondsMax} are allowed`;
  if (tsAgeDaysMax > 0 && -aheadMs > tsAgeDaysMax * dayMs)
    return `${(-aheadMs / dayMs).toFixed(1)} days back, ${tsAgeDaysMax} are allowed`;
  return null;
}
