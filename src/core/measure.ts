/**
 * Sizes and durations as people write them: 10GB, 7d. A plain number counts in the setting's own unit, as it always did.
 *
 * GB is 10^9 and GiB is 2^30, as SI and IEC have it. A bare G is refused, since half of the world means the one by it and half the other.
 */

const bytes: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** In ms. */
const times: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

interface Unit {
  /** What one of the setting's own unit is, in the smallest. */
  readonly own: number;
  /** By suffix, in lower case. */
  readonly suffixes: Readonly<Record<string, number>>;
  readonly such: string;
}

const such = { size: "such as 512MB (10^6) or 10GiB (2^30)", time: "such as 500ms, 30s, 15m, 12h or 7d" };

const units: Readonly<Record<string, Unit>> = {
  bytes: { own: 1, suffixes: bytes, such: such.size },
  ms: { own: 1, suffixes: times, such: such.time },
  seconds: { own: 1000, suffixes: times, such: such.time },
  minutes: { own: 60_000, suffixes: times, such: such.time },
  hours: { own: 3_600_000, suffixes: times, such: such.time },
  days: { own: 86_400_000, suffixes: times, such: such.time },
};

/** How a measure in this unit may be written besides as a plain number; undefined: only so. */
export function suchAs(unit: string): string | undefined {
  return units[unit]?.such;
}

/** A number in this unit as a default is shown: nobody counts eleven digits, so a size that is whole in MiB or GiB is written so. */
export function writtenMeasure(n: number, unit: string): string {
  const suffix = ["GiB", "MiB"].find((each) => n > 0 && n % (bytes[each.toLowerCase()] ?? 0) === 0);
  if (unit !== "bytes" || suffix === undefined) return String(n);
  return `${n / (bytes[suffix.toLowerCase()] ?? 1)}${suffix}`;
}

/** In the unit; NaN if it is no number with a suffix that this unit has. Need not be whole. */
export function readMeasure(text: string, unit: string): number {
  const [, digits = "", suffix = ""] = /^(\d{1,16}(?:\.\d{1,6})?) ?([A-Za-z]*)$/.exec(text) ?? [];
  if (suffix === "") return digits.includes(".") ? Number.NaN : Number(digits || Number.NaN);
  const measure = units[unit];
  const factor = measure?.suffixes[suffix.toLowerCase()];
  if (measure === undefined || factor === undefined) return Number.NaN;
  // Rounded to a millionth, which is as fine as it can be written: 0.1 of 10^9 is no fraction.
  return Math.round((Number(digits) * factor * 1e3) / measure.own) / 1e3;
}
