/**
 * Event time as devices write it: ISO 8601 text, or seconds, ms, µs or ns since the epoch, as a number or as its
 * digits.
 *
 * The parser is our own, because Date.parse reads "2026-02-30" as March, takes "1" for a year, takes a time without a
 * zone for local time, and cuts off everything below a millisecond.
 */

/** Whole milliseconds since the epoch and the nanoseconds within that millisecond, 0…999,999. */
export interface Instant {
  readonly ms: number;
  readonly ns: number;
}

/** Below this a number counts seconds (until the year 5138), from there on milliseconds (since 1973). */
const secondsBelow = 1e11;
/**
 * From here on a number counts µs, and from there on ns, both since 1973. No unit is meant between the largest ms
 * (2262) and this.
 */
const microsFrom = 1e14;
const nanosFrom = 1e17;
/** What 64 bits of nanoseconds hold: 1677-09-21 to 2262-04-11. */
const minMs = -9_223_372_036_854;
const maxMs = 9_223_372_036_853;
const dayLengthMs = 86_400_000;

// Date, then a time, then a zone; extended (with - and :) and basic form; fraction after point or comma (ISO 8601-1 §5.3.1.3).
const iso8601 =
  /^(\d{4})(-?)(\d\d)\2(\d\d)(?:[Tt ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|z|[+-]\d\d(?::?\d\d)?)?)?$/;

/** Is it text in the form that most devices send? See `usualMs`. */
export function isUsual(value: unknown): value is string {
  return typeof value === "string" && !Number.isNaN(usualMs(value, 0, value.length));
}

const [minus, point, colon, letterT, letterZ, zero] = [0x2d, 0x2e, 0x3a, 0x54, 0x5a, 0x30];
/** The day that was read last, as one number, and its first ms: most of what comes is of today. */
let [lastDay, lastDayMs] = [Number.NaN, Number.NaN];

/** Ms of what stands between these two: YYYY-MM-DDThh:mm:ssZ or YYYY-MM-DDThh:mm:ss.sssZ; NaN: something else, or no such time. */
export function usualMs(text: string, from: number, to: number): number {
  const isWhole = to - from === 20;
  if (!isWhole && (to - from !== 24 || text.charCodeAt(from + 19) !== point)) return Number.NaN;
  if (text.charCodeAt(from + 4) !== minus || text.charCodeAt(from + 7) !== minus) return Number.NaN;
  if (text.charCodeAt(from + 10) !== letterT || text.charCodeAt(to - 1) !== letterZ) return Number.NaN;
  if (text.charCodeAt(from + 13) !== colon || text.charCodeAt(from + 16) !== colon) return Number.NaN;
  const day =
    (twoDigits(text, from) * 100 + twoDigits(text, from + 2)) * 10_000 +
    twoDigits(text, from + 5) * 100 +
    twoDigits(text, from + 8);
  const [hour, minute, second] = [
    twoDigits(text, from + 11),
    twoDigits(text, from + 14),
    twoDigits(text, from + 17),
  ];
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return Number.NaN;
  const ms = isWhole ? 0 : twoDigits(text, from + 20) * 10 + digit(text, from + 22);
  if (day !== lastDay) {
    lastDayMs = dayMs(Math.floor(day / 10_000), Math.floor(day / 100) % 100, day % 100) ?? Number.NaN;
    lastDay = day;
  }
  const all = lastDayMs + ((hour * 60 + minute) * 60 + second) * 1000 + ms;
  return all >= minMs && all <= maxMs ? all : Number.NaN;
}

/** NaN: no digits. */
function twoDigits(text: string, at: number): number {
  return digit(text, at) * 10 + digit(text, at + 1);
}

function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - zero;
  return value >= 0 && value <= 9 ? value : Number.NaN;
}

/** Returns null if `value` is no time, or lies outside 1677-09-21…2262-04-11. */
export function readTimestamp(value: unknown): Instant | null {
  if (typeof value === "string") return fromIso(value);
  if (typeof value === "number")
    return Math.abs(value) < microsFrom ? fromEpoch(value) : fromDigits(String(value));
  if (typeof value === "bigint") return fromDigits(String(value));
  return null;
}

/** Reads a number; keeps its fraction to the microsecond, because a double has no more precision. */
function fromEpoch(value: number): Instant | null {
  const inSeconds = Math.abs(value) < secondsBelow;
  const whole = Math.floor(value);
  const micros = Math.round((value - whole) * (inSeconds ? 1e6 : 1e3));
  const ms = (inSeconds ? whole * 1000 : whole) + Math.floor(micros / 1000);
  return within(ms, (micros % 1000) * 1000);
}

function fromIso(text: string): Instant | null {
  const ms = usualMs(text, 0, text.length);
  if (!Number.isNaN(ms)) return within(ms, 0);
  const parts = iso8601.exec(text);
  if (parts === null) return fromDigits(text);
  const [, year, , month, day, hour = "0", minute = "0", second = "0", fraction = "", zone = ""] = parts;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const date = dayMs(Number(year), Number(month), Number(day));
  const offset = offsetMs(zone);
  if (date === null || offset === null) return null;
  const nanos = Number(fraction.padEnd(9, "0"));
  const time = (Number(hour) * 3600 + Number(minute) * 60 + Number(second)) * 1000;
  return within(date + time - offset + Math.floor(nanos / 1e6), nanos % 1e6);
}

const digits = /^(-?)(\d{1,19})(?:\.(\d{1,9}))?$/;

/** Reads an epoch written as text, with every digit, which a double would lose. Eight digits alone are a date. */
function fromDigits(text: string): Instant | null {
  const [, sign, whole = "", fraction = ""] = digits.exec(text) ?? [];
  if (sign === undefined) return null;
  const size = Number(whole);
  const places = size < secondsBelow ? 9 : size < microsFrom ? 6 : size < nanosFrom ? 3 : 0;
  const nanos = BigInt(`${sign}${whole}${fraction.padEnd(9, "0").slice(0, places)}`);
  const ns = Number(((nanos % perMs) + perMs) % perMs);
  return within(Number((nanos - BigInt(ns)) / perMs), ns);
}

const perMs = 1_000_000n;

/**
 * Returns null if there is no such day. Years below 1677 are out of range anyway, and Date.UTC misreads those below
 * 100.
 */
function dayMs(year: number, month: number, day: number): number | null {
  if (year < 1677 || month < 1 || month > 12 || day < 1) return null;
  const ms = Date.UTC(year, month - 1, day);
  return day <= 28 || new Date(ms).getUTCDate() === day ? ms : null;
}

function offsetMs(zone: string): number | null {
  if (zone === "" || zone === "Z" || zone === "z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3).replace(":", ""));
  if (hours * 60 + minutes >= dayLengthMs / 60_000 || minutes > 59) return null;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function within(ms: number, ns: number): Instant | null {
  return ms >= minMs && ms <= maxMs ? { ms, ns } : null;
}
