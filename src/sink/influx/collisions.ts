/**
 * Two readings of one series at one time are one point for InfluxDB: the second silently replaces the first, and on
 * InfluxDB 3 Core it is not even certain which one stays. This window, the last few times of each series, notices, and
 * moves the later reading by 1 ns steps.
 *
 * A shift is fixed when it is given and remembered until its entry is settled (`Shifts`), so that a retry sends the same
 * bytes. The window is memory: after a restart it starts empty, and a pair torn apart by the restart is not noticed.
 * A cleverer key (a sequence number as a tag) was not taken: it would make a series of every message.
 */
import type { Line, Table } from "../line.ts";

/** Entry seq → the time given to it; only those of entries that met another. */
export type Shifts = Map<number, string>;

export interface Collisions {
  /** The line with the time at which nothing else is overwritten. */
  place(line: Line, shifts: Shifts): Line;
  readonly count: number;
}

interface Reading {
  readonly seq: number;
  readonly fields: string;
}

/** One time of a series and its first reading. Overwritten in place: this is the one thing a line leaves behind. */
interface Slot {
  time: string;
  seq: number;
  fields: string;
  /** Further readings, a nanosecond on each; null in the usual case. */
  others: Reading[] | null;
  /** Nanoseconds given away beyond `time`. */
  shifted: number;
}

/** The last times of one series. */
interface Track {
  readonly slots: Slot[];
  /** Which slot is overwritten next. */
  oldest: number;
}

/** Times of a series that are remembered. */
const slotsMax = 4;
/** Series that are remembered, at least; up to twice as many are. */
const seriesMax = 8_192;
/** Further readings at one time that a repeated one is looked for among. */
const othersMax = 64;

type Tracks = Map<Table, Map<string, Track>>;

export function createCollisions(mode: "shift" | "keep"): Collisions {
  let young: Tracks = new Map();
  let old: Tracks = new Map();
  let size = 0;
  let count = 0;

  function trackOf({ table, series }: Line): Track {
    const known = young.get(table)?.get(series);
    if (known !== undefined) return known;
    if (size >= seriesMax) [old, young, size] = [young, new Map(), 0];
    const track = old.get(table)?.get(series) ?? { slots: [], oldest: 0 };
    const tracks = young.get(table) ?? new Map<string, Track>();
    young.set(table, tracks.set(series, track));
    size += 1;
    return track;
  }

  /** The time of a line whose own is taken. */
  function timeFor(slot: Slot, slots: readonly Slot[], line: Line): string {
    const { seq } = line.entry;
    if (slot.time === line.time && (slot.seq === seq || slot.fields === line.fields)) return slot.time;
    const others = (slot.others ??= []);
    const same = others.findIndex((other) => other.seq === seq || other.fields === line.fields);
    if (same >= 0) return later(slot.time, same + 1);
    count += 1;
    if (mode === "keep") return line.time;
    do slot.shifted += 1;
    while (slots.some((other) => other !== slot && covers(other, later(slot.time, slot.shifted))));
    if (others.length < othersMax && slot.shifted === others.length + 1)
      others.push({ seq, fields: line.fields });
    return later(slot.time, slot.shifted);
  }

  return {
    place(line, shifts) {
      const { seq } = line.entry;
      const given = shifts.size === 0 ? undefined : shifts.get(seq);
      if (given !== undefined) return { ...line, time: given };
      const track = trackOf(line);
      const slot = slotAt(track.slots, line.time);
      if (slot === undefined) {
        remember(track, line);
        return line;
      }
      const time = timeFor(slot, track.slots, line);
      shifts.set(seq, time);
      return { ...line, time };
    },
    get count() {
      return count;
    },
  };
}

function remember(track: Track, { entry, time, fields }: Line) {
  const slot = track.slots[track.oldest];
  if (slot === undefined) track.slots.push({ time, seq: entry.seq, fields, others: null, shifted: 0 });
  else {
    slot.time = time;
    slot.seq = entry.seq;
    slot.fields = fields;
    slot.others = null;
    slot.shifted = 0;
  }
  track.oldest = (track.oldest + 1) % slotsMax;
}

/** The slot of this time, or else one that gave it away. */
function slotAt(slots: readonly Slot[], time: string): Slot | undefined {
  let near: Slot | undefined;
  for (const slot of slots) {
    if (slot.time === time) return slot;
    if (slot.shifted > 0 && covers(slot, time)) near = slot;
  }
  return near;
}

function covers({ time, shifted }: Slot, asked: string): boolean {
  const ns = BigInt(asked) - BigInt(time);
  return ns >= 0n && ns <= BigInt(shifted);
}

const later = (time: string, ns: number): string => String(BigInt(time) + BigInt(ns));
