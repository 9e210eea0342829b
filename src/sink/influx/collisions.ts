/**
 * Two readings of one series at one time are one point for InfluxDB: the second silently replaces the first, and on
 * InfluxDB 3 Core it is not even certain which one stays. A window of the last few times per series notices this, and the
 * later reading is moved by steps of 1 ns (or the least that the server keeps), unless it has none of the fields of those before.
 *
 * A shift is fixed when it is given and remembered until its entry is settled (`Shifts`), so that a retry sends the same
 * bytes. The window is in memory: at a start it is filled from what the spool still has (remember.ts).
 * Rejected alternative: a sequence number as a tag, which would make a series of every message.
 */
import { later, moved, type Line, type Made, type Time } from "./line.ts";
import { printOfText } from "./print.ts";
import type { Further, Slot } from "./slot.ts";

/** Entry seq → the time it was given, for entries whose own time was taken. */
export type Shifts = Map<number, Time>;

export interface Collisions {
  /** The line at a time at which it overwrites nothing else. */
  place(line: Made, shifts: Shifts, stepNs?: number): Line;
  /** Lines whose time was taken. */
  readonly count: number;
  /** What was placed so far was counted in an earlier life. */
  countAnew(): void;
}

/** Times of a series that are remembered. */
const slotsMax = 4;
/** Readings at one time beyond the first that are remembered, to recognise one that comes again. */
const othersMax = 64;

export function createCollisions(mode: "shift" | "keep"): Collisions {
  let count = 0;

  /** The time of a line whose own is taken. */
  function timeFor(slot: Slot, slots: readonly Slot[], line: Made, stepNs: number): Time {
    const { seq } = line.entry;
    const isThisTime = distance(slot, line) === 0;
    if (isThisTime && (slot.seq === seq || isLike(slot, line) || joins(slot, line))) return slot;
    const further = furtherOf(slot);
    const { others } = further;
    const same = others.get(seq) ?? others.get(line.fields);
    if (same !== undefined) return later(slot, same * stepNs);
    count += 1;
    if (mode === "keep") return line;
    do further.shifted += 1;
    while (
      slots.some((other) => other !== slot && covers(other, later(slot, further.shifted * stepNs), stepNs))
    );
    if (others.size < othersMax * 2) others.set(seq, further.shifted).set(line.fields, further.shifted);
    const time = later(slot, further.shifted * stepNs);
    line.series.newestMs = Math.max(line.series.newestMs, time.ms);
    return time;
  }

  return {
    place(line, shifts, stepNs = 1) {
      const { seq } = line.entry;
      const given = shifts.size === 0 ? undefined : shifts.get(seq);
      if (given !== undefined) return moved(line, given);
      const { slots, newestMs } = line.series;
      // The usual case, in which no slot need be fetched from memory but the one that is overwritten.
      const slot = line.ms > newestMs ? undefined : slotAt(slots, line, stepNs);
      if (slot === undefined) {
        remember(line);
        return line;
      }
      const { ms, ns } = timeFor(slot, slots, line, stepNs);
      shifts.set(seq, { ms, ns });
      return moved(line, { ms, ns });
    },
    get count() {
      return count;
    },
    countAnew() {
      count = 0;
    },
  };
}

const furtherOf = (slot: Slot): Further => (slot.further ??= { others: new Map(), shifted: 0, joined: null });

/** A line that was scanned has the numbers as the device spelled them; its first reading in a new column has them as encodeLine does. */
const isLike = ({ print }: Slot, line: Made): boolean =>
  print === printOf(line) || print === printOfText(line.fields);

/** Its fields are not taken out first: to make them as text is most of what a scanned line costs. */
const printOf = (line: Made): number => line.print ?? printOfText(line.fields);

/** Of other fields than all at that time: InfluxDB makes one point of them, and nothing is replaced. So a source may send a value each. */
function joins(slot: Slot, { entry: { seq }, names, fields }: Made): boolean {
  // Readings of one device begin with the same field in general.
  if (slot.names[0] === names[0] && (slot.further?.joined ?? null) === null) return false;
  const joined = (furtherOf(slot).joined ??= { names: new Set(slot.names), readings: [] });
  const isKnown = joined.readings.some((other) => other.seq === seq || other.fields === fields);
  if (isKnown) return true;
  if (joined.readings.length >= othersMax || names.some((name) => joined.names.has(name))) return false;
  for (const name of names) joined.names.add(name);
  joined.readings.push({ seq, fields });
  return true;
}

function remember(line: Made) {
  const { ms, ns, series, names, entry } = line;
  const { slots } = series;
  // All that came without a time of its own in one go has the newest there is, however many older readings come between.
  if (ms < series.newestMs && slots[series.oldest]?.ms === series.newestMs)
    series.oldest = (series.oldest + 1) % slotsMax;
  const slot = slots[series.oldest];
  const print = printOf(line);
  if (slot === undefined) slots.push({ ms, ns, seq: entry.seq, print, names, further: null });
  else {
    slot.ms = ms;
    slot.ns = ns;
    slot.seq = entry.seq;
    slot.print = print;
    // What is written to an old object is gone through by each collection.
    if (slot.names !== names) slot.names = names;
    if (slot.further !== null) slot.further = null;
  }
  if (series.names !== names) series.names = names;
  if (ms > series.newestMs) series.newestMs = ms;
  series.oldest = (series.oldest + 1) % slotsMax;
}

/** The slot of this time, or one that gave this time to another reading. */
function slotAt(slots: readonly Slot[], at: Time, stepNs: number): Slot | undefined {
  let near: Slot | undefined;
  for (const slot of slots) {
    if (slot.ms === at.ms && slot.ns === at.ns) return slot;
    if (slot.further !== null && covers(slot, at, stepNs)) near = slot;
  }
  return near;
}

/** From one time to another, in ns; exact as far as it matters. */
const distance = (from: Time, to: Time): number => (to.ms - from.ms) * 1_000_000 + to.ns - from.ns;

/** Is it the slot's time, or one that it gave to another reading? */
function covers(slot: Slot, asked: Time, stepNs: number): boolean {
  const steps = distance(slot, asked) / stepNs;
  return Number.isInteger(steps) && steps >= 0 && steps <= (slot.further?.shifted ?? 0);
}
