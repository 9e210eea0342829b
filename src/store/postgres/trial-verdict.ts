/**
 * The verdict that follows from a trial. Pure.
 *
 * An entry that is refused by itself is refused for good if another real entry passes in each of its tables at the same time: a
 * broken table must not eat the backlog, and no artificial row can prove that a table is sound, since any constraint that refuses one
 * can refuse the other. For a reject it is enough that an event passes: events do not wait for what may be the only reject of
 * the day. An error that may be over in a moment (a deadlock) must repeat several times first, and a full disk is never the entry's
 * fault. Where the partition for the time of arrival is missing, as after midnight, what came before proves nothing: all that comes
 * later lacks it, too; nor does what comes after, if the table holds still older rows (sieve.ts).
 */
import type { Entry } from "../../core/entry.ts";
import { isOfTable, isPassing, lacksPartition, refusalWords } from "./postgres-words.ts";
import type { Note, Trial } from "./trial.ts";
import { tablesOf, type Table } from "./write.ts";

export interface Verdict {
  /** How many entries, from the first on, may be settled now. */
  readonly count: number;
  /** Why entries among them are refused, by seq. */
  readonly refusals: ReadonlyMap<number, string>;
  /** The entry after them, if it was refused and may yet be stored. */
  readonly held: Held | undefined;
}

export interface Held {
  readonly entry: Entry;
  readonly note: Note;
  /** The tables that have so far only refused. */
  readonly unproven: readonly Table[];
}

const strikesMax = 5;

/** By seq: how often an entry met an error that may be over in a moment while others passed. */
export type Strikes = Map<number, number>;

/** When the newest entry that a table took in a trial had come. */
export type Proven = ReadonlyMap<Table, number>;

export function provenBy(passed: readonly Entry[]): Map<Table, number> {
  const proven = new Map<Table, number>();
  for (const entry of passed)
    for (const table of tablesOf(entry))
      proven.set(table, Math.max(entry.receivedMs, proven.get(table) ?? entry.receivedMs));
  return proven;
}

/** The tables that must take another entry before this one is refused for good. */
export function lackingProof(entry: Entry, note: Note, proven: Proven): Table[] {
  if (lacksPartition(note))
    return tablesOf(entry).filter((table) => (proven.get(table) ?? 0) < entry.receivedMs);
  if (entry.kind === "reject" && proven.has("raw_events") && !isOfTable(note.code)) return [];
  return tablesOf(entry).filter((table) => !proven.has(table));
}

export interface Evidence {
  readonly entries: readonly Entry[];
  /** Which of them were in the trial, in this order. */
  readonly isTried: (entry: Entry) => boolean;
  readonly trial: Trial;
  /** The tables that took another entry. */
  readonly proven: Proven;
  readonly strikes: Strikes;
}

export function verdictOf({ entries, isTried, trial, proven, strikes }: Evidence): Verdict {
  const refusals = new Map<number, string>();
  let count = 0;
  let held: Held | undefined;
  let left = trial.passed.length + trial.refused.size;
  for (const entry of entries) {
    if (isTried(entry) && left-- === 0) break;
    const note = trial.refused.get(entry.seq);
    if (note) {
      const unproven = lackingProof(entry, note, proven);
      const stays = unproven.length > 0 || mayPass(note, () => strike(strikes, entry.seq));
      if (stays) held ??= { entry, note, unproven };
      else if (!held) refusals.set(entry.seq, refusalWords(note));
    }
    if (!held) count++;
  }
  return { count, refusals, held };
}

/** On a full disk (53100) rows that find room in a page that is there still pass: that proves nothing of one that needs a new page. */
const mayPass = ({ code }: Note, struck: () => number) =>
  code === "53100" || (isPassing(code) && struck() < strikesMax);

function strike(strikes: Strikes, seq: number): number {
  const count = (strikes.get(seq) ?? 0) + 1;
  strikes.set(seq, count);
  return count;
}
