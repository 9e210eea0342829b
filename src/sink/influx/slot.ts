/**
 * One time of a series and its first reading, overwritten in place (collisions.ts). Of the reading only a print is kept and the names, which
 * others have as well: entries, and texts, filled the heap.
 */
export interface Slot {
  ms: number;
  ns: number;
  seq: number;
  /** Of its fields as they were written (print.ts). */
  print: number;
  /** Of its fields. */
  names: readonly string[];
  /** What came of this time besides; null in the usual case. */
  further: Further | null;
}

/** Further readings of one time. */
export interface Further {
  /** By how many steps (Grammar.stepNs) they were moved, by their seq and by their fields. */
  readonly others: Map<number | string, number>;
  /** How many steps after this time were given to them. */
  shifted: number;
  /** Those of other fields at this very time, and all names there are; null in the usual case. */
  joined: {
    readonly names: Set<string>;
    readonly readings: { readonly seq: number; readonly fields: string }[];
  } | null;
}
