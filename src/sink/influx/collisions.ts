/**
 * Two readings of one series at one time are one point for InfluxDB: the second silently replaces the first, and on
 * InfluxDB 3 Core it is not even certain which one stays. A window of the last few times per series notices this, and the
 * later reading is moved by steps of 1 ns, unless it has none of the fields of those before.
 *
 * A shift is fixed when it is given and remembered until its entry is settled (`Shifts`), so that a retry sends the same
 * bytes. The window is in memory: after a restart it is empty, and a pair with the restart between is not noticed.
 * Rejected alternative: a sequence number as a tag, which would make a series of every message.
 */
import type { Entry } from "../../core/entry.ts";
import { encodeLine, later, moved, type Line, type Slot, type Time } from "./line.ts";
import { namesIn, Unwritable } from "./names.ts";

/** Entry seq → the time it was given, for entries whose own time was taken. */
export type Shifts = Map<number, Time>;

export interface Collisions {
  /** The line at a time at which it overwrites nothing else. */
  place(line: Line, shifts: Shifts): Line;
  readonly count: number;
}

/** Times of a series that are remembered. */
const slotsMax = 4;
/** Readings at one time beyond the first that are remembered, to recognise one that comes again. */
const othersMax = 64;

export function createCollisions(mode: "shift" | "keep"): Collisions {
  let count = 0;

  /** The time of a line whose own is taken. */
  function timeFor(slot: Slot, slots: readonly Slot[], line: Line): Time {
    const { seq } = line.entry;
    const isThisTime = distance(slot, line) === 0;
    if (isThisTime && (slot.seq === seq || fieldsOf(slot, line) === line.fields || joins(slot, line)))
      return slot;
    const others = (slot.others ??= new Map());
    const same = others.get(seq) ?? others.get(line.fields);
    if (same !== undefined) return later(slot, same);
    count += 1;
    if (mode === "keep") return line;
    do slot.shifted += 1;
    while (slots.some((other) => other !== slot && covers(other, later(slot, slot.shifted))));
    if (others.size < othersMax * 2) others.set(seq, slot.shifted).set(line.fields, slot.shifted);
    const time = later(slot, slot.shifted);
    line.series.newestMs = Math.max(line.series.newestMs, time.ms);
    return time;
  }

  return {
    place(line, shifts) {
      const { seq } = line.entry;
      const given = shifts.size === 0 ? undefined : shifts.get(seq);
      if (given !== undefined) return moved(line, given);
      const { slots, newestMs } = line.series;
      // The usual case, in which no slot need be fetched from memory but the one that is overwritten.
      const slot = line.ms > newestMs ? undefined : slotAt(slots, line);
      if (slot === undefined) {
        remember(line);
        return line;
      }
      const { ms, ns } = timeFor(slot, slots, line);
      shifts.set(seq, { ms, ns });
      return moved(line, { ms, ns });
    },
    get count() {
      return count;
    },
  };
}

/** Of other fields than all at that time: InfluxDB makes one point of them, and nothing is replaced. So a source may send a value each. */
function joins(slot: Slot, line: Line): boolean {
  const { entry, fields } = line;
  // Readings of one device begin with the same field in general, and to see that takes no parsing.
  if (slot.joined === null && beginAlike(fields, fieldsOf(slot, line))) return false;
  const joined = (slot.joined ??= { names: new Set(namesIn(slot)), readings: [] });
  const isKnown = joined.readings.some((other) => other.seq === entry.seq || other.fields === fields);
  if (isKnown) return true;
  const names = namesIn(entry);
  if (joined.readings.length >= othersMax || names.some((name) => joined.names.has(name))) return false;
  for (const name of names) joined.names.add(name);
  joined.readings.push({ seq: entry.seq, fields });
  return true;
}

/** With the same field. A name with an equals sign of its own is left to a closer look. */
function beginAlike(fields: string, others: string): boolean {
  let i = 0;
  while (i < fields.length && fields[i] !== "=" && fields[i] === others[i]) i += 1;
  return fields[i] === "=" && others[i] === "=" && fields[i - 1] !== "\\";
}

/** The fields of a slot's reading as they are written now; `line` is another of its series. */
function fieldsOf(slot: Slot, { entry, series }: Line): string {
  slot.fields ??= written({ ...entry, payload: slot.payload }, series);
  return slot.fields;
}

function written(entry: Entry, { table, grammar }: Line["series"]): string {
  try {
    return encodeLine(entry, table, grammar)?.fields ?? "";
  } catch (error) {
    // By the types that are known meanwhile; it is another reading then.
    if (error instanceof Unwritable) return "";
    throw error;
  }
}

function remember({ ms, ns, series, entry: { seq, payload } }: Line) {
  // All that came without a time of its own in one go has the newest there is, however many older readings come between.
  if (ms < series.newestMs && series.slots[series.oldest]?.ms === series.newestMs)
    series.oldest = (series.oldest + 1) % slotsMax;
  const slot = series.slots[series.oldest];
  if (slot === undefined)
    series.slots.push({ ms, ns, seq, payload, fields: null, others: null, joined: null, shifted: 0 });
  else {
    slot.ms = ms;
    slot.ns = ns;
    slot.seq = seq;
    slot.payload = payload;
    slot.fields = null;
    slot.others = null;
    slot.joined = null;
    slot.shifted = 0;
  }
  if (ms > series.newestMs) series.newestMs = ms;
  series.oldest = (series.oldest + 1) % slotsMax;
}

/** The slot of this time, or one that gave this time to another reading. */
function slotAt(slots: readonly Slot[], at: Time): Slot | undefined {
  let near: Slot | undefined;
  for (const slot of slots) {
    if (slot.ms === at.ms && slot.ns === at.ns) return slot;
    if (slot.shifted > 0 && covers(slot, at)) near = slot;
  }
  return near;
}

/** From one time to another, in ns; exact as far as it matters. */
const distance = (from: Time, to: Time): number => (to.ms - from.ms) * 1_000_000 + to.ns - from.ns;

function covers(slot: Slot, asked: Time): boolean {
  const ns = distance(slot, asked);
  return ns >= 0 && ns <= slot.shifted;
}
