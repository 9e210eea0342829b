/**
 * Stage "time": when was it? The device's own word (`ts`), else the moment of arrival.
 *
 * A device's clock may be wrong by years, so its word can be bounded; by default it is not, since a backlog of weeks is no fault.
 * A retained message was kept by the broker for nobody knows how long: its arrival says nothing of when it was measured.
 */
import { choice, count, type Values } from "../core/settings.ts";
import type { Candidate } from "./candidate.ts";
import type { Body } from "./decode.ts";
import { readTimestamp } from "./timestamp.ts";
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
    help: "The broker had kept this message (retain flag), and it has no ts: nobody knows when it was measured.",
    remedy: "Let the device send ts, or publish without the retain flag.",
  },
  CLOCK_NOT_SET: {
    help: "The gateway's host does not know the time and the message has no ts; it is kept and gets its time when the clock is set.",
    remedy: "Set the host's clock, or let it reach a time server; nothing is to be done about the message.",
  },
} as const satisfies Reasons;

export const timeSettings = {
  tsFutureSecondsMax: count({
    name: "TS_MAX_FUTURE_SECONDS",
    default: 0,
    unit: "seconds",
    help: "How far a device's ts may lie ahead of the arrival; 0: as far as it likes.",
  }),
  tsAgeDaysMax: count({
    name: "TS_MAX_AGE_DAYS",
    default: 0,
    unit: "days",
    help: "How far a device's ts may lie back from the arrival; 0: as far as it likes.",
  }),
  tsOutOfRange: choice({
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
 * Fills in the event time; it stays null where it is that of arrival and nobody knows the time. `isTimeKnown`: the moment of arrival is
 * a time, which a device's can be held against.
 */
export function readTime(
  candidate: Candidate,
  body: Body,
  policy: Policy,
  isTimeKnown: boolean,
): Rejection<Code> | null {
  return timeFrom(candidate, body["ts"] ?? null, policy, isTimeKnown);
}

/** `ts`: as the device says candidate; null: candidate says none. */
export function timeFrom(
  candidate: Candidate,
  ts: unknown,
  policy: Policy,
  isTimeKnown: boolean,
): Rejection<Code> | null {
  if (ts === null) return arrivalOf(candidate, null, isTimeKnown);
  const own = readTimestamp(ts);
  if (own === null) return rejection("BAD_TIMESTAMP", `ts is ${JSON.stringify(ts)}`);
  const why = isTimeKnown ? outOfRange(own.ms - candidate.receivedMs, policy) : null;
  if (why === null) {
    candidate.eventMs = own.ms;
    candidate.eventNs = own.ns;
    return null;
  }
  return policy.tsOutOfRange === "reject"
    ? rejection("TIMESTAMP_OUT_OF_RANGE", why)
    : arrivalOf(candidate, why, isTimeKnown);
}

function arrivalOf(candidate: Candidate, why: string | null, isTimeKnown: boolean): Rejection<Code> | null {
  if (candidate.isRetained) return rejection("RETAINED_WITHOUT_TIME", why);
  if (isTimeKnown) candidate.eventMs = candidate.receivedMs;
  return null;
}

function outOfRange(aheadMs: number, { tsFutureSecondsMax, tsAgeDaysMax }: Policy): string | null {
  if (tsFutureSecondsMax > 0 && aheadMs > tsFutureSecondsMax * 1000)
    return `${Math.round(aheadMs / 1000)} s ahead, ${tsFutureSecondsMax} are allowed`;
  if (tsAgeDaysMax > 0 && -aheadMs > tsAgeDaysMax * dayMs)
    return `${(-aheadMs / dayMs).toFixed(1)} days back, ${tsAgeDaysMax} are allowed`;
  return null;
}
