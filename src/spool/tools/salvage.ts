/**
 * Salvage reads what can be read from a spool's file, whatever has happened to the rest: past damaged pages, and past
 * groups whose bytes are not what was written. Nothing here changes anything.
 *
 * A damaged page hides the rows on it, not those behind it: the next row is found by trying ever larger keys.
 */
import type { Database } from "bun:sqlite";
import type { Entry } from "../../core/entry.ts";
import { explain } from "../../core/log/log.ts";
import { decodeGroup, type Group } from "../codec.ts";

/** A key of a table, or a range of keys that cannot be read. */
export type Key = { readonly key: number } | { readonly unreadable: { from: number; to: number } };

/** A range of seqs that are not there any more. */
export interface Lost {
  readonly from: number;
  readonly to: number;
  readonly why: string;
}

export interface GroupRow extends Group {
  readonly last: number;
  readonly count: number;
  readonly received_ms: number;
}

export interface Readable {
  readonly row: GroupRow;
  readonly entries: readonly Entry[];
}

/**
 * Up to this distance from where reading failed every key is tried; beyond it, a thousandth of the distance at a
 * time.
 */
const everyKeyWithin = 1_000;

/** The keys of a table, ascending from 1 to `last`, or as far as there are any. */
export function* keysOf(db: Database, table: string, last: number): Generator<Key> {
  const next = db.query<{ key: number }, [number]>(
    `SELECT rowid AS key FROM ${table} NOT INDEXED WHERE rowid >= ? ORDER BY rowid LIMIT 1`,
  );
  const read = (from: number) => attempt(() => next.get(from));
  for (let at = 1; ;) {
    let found = read(at);
    if (!found.ok) {
      const reached = probe(at, last, (from) => read(from).ok);
      found = read(reached);
      const to = found.ok && found.value ? found.value.key - 1 : Math.max(reached, last);
      yield { unreadable: { from: at, to } };
    }
    if (!found.ok || !found.value) return;
    yield found.value;
    at = found.value.key + 1;
  }
}

/** Finds the first key after `from` that can be read; a key beyond `last` if there is none. */
function probe(from: number, last: number, isReadable: (key: number) => boolean): number {
  let at = from;
  for (let step = 1; at <= last;) {
    step = Math.max(1, Math.floor((at - from) / everyKeyWithin));
    at += step;
    if (!isReadable(at)) continue;
    // Larger steps may have passed over something: go back, and try one by one.
    for (at -= step - 1; !isReadable(at); at++);
    return at;
  }
  return at;
}

/** Why seqs are missing although nothing is damaged. */
export const absent = "they are not there";

/** Told of each group: up to which seq was read, and of the last one. */
export type Reading = (seq: number, last: number) => void;

/** All groups in order, and the seqs between the first and the last of them that are lost. */
export function* groupsOf(
  db: Database,
  reading: Reading = () => {},
): Generator<Readable | { readonly lost: Lost }> {
  const get = db.query<GroupRow, [number]>("SELECT * FROM groups WHERE last = ?");
  const counts = db.query<{ count: number }, [number]>("SELECT count FROM groups WHERE last = ?");
  let before: number | undefined;
  let why = absent;
  const newest = lastKey(db, "groups");
  for (const key of keysOf(db, "groups", newest)) {
    if ("key" in key) reading(key.key, newest);
    if ("unreadable" in key) {
      why = "the pages of the file that held them cannot be read";
      continue;
    }
    const read = attempt(() => readGroup(get.get(key.key), before ?? 0));
    if (!read.ok) {
      why = explain(read.error);
      const from = before === undefined ? key.key - (countOf(counts, key.key) - 1) : before + 1;
      yield { lost: { from, to: key.key, why } };
      before = key.key;
      continue;
    }
    const { last, count } = read.value.row;
    const first = last - count + 1;
    // Whatever the unreadable beginning held: up to the seq that every sink has settled, nobody needs it.
    if (before === undefined && why !== absent) before = Math.min(first - 1, settledByAll(db));
    if (before !== undefined && first > before + 1) yield { lost: { from: before + 1, to: first - 1, why } };
    yield read.value;
    before = last;
    why = absent;
  }
}

function readGroup(row: GroupRow | null, before: number): Readable {
  if (row === null) throw new Error("the group is not where it is listed");
  const first = row.last - row.count + 1;
  if (row.count < 1 || first <= before) throw new Error(`its count ${row.count} cannot be`);
  return { row, entries: decodeGroup(row, first, row.count) };
}

/** How many entries a damaged group says it has; 1 if what it says is impossible. */
function countOf(query: { get(last: number): { count: number } | null }, last: number): number {
  const found = attempt(() => query.get(last)?.count ?? 1);
  return found.ok && Number.isInteger(found.value) && found.value >= 1 && found.value <= last
    ? found.value
    : 1;
}

/** The largest key, as far as that can be known. */
export function lastKey(db: Database, table: string): number {
  const found = attempt(() =>
    db.query<{ key: number | null }, []>(`SELECT max(rowid) AS key FROM ${table} NOT INDEXED`).get(),
  );
  if (found.ok) return found.value?.key ?? 0;
  return Math.max(headNoted(db), unknownKeyMax);
}

/** The largest key to try if nothing says how far the keys go. */
const unknownKeyMax = 1_000_000;

/** The seq up to which no sink needs anything; 0 if that is not known. */
export function settledByAll(db: Database): number {
  const found = attempt(() =>
    db
      .query<{ seq: number | null }, []>(
        "SELECT min(seq) AS seq FROM (SELECT seq FROM cursors UNION ALL SELECT seq - 1 FROM detours)",
      )
      .get(),
  );
  return found.ok ? (found.value?.seq ?? 0) : 0;
}

/** The highest seq that is recorded anywhere but in the groups. */
export function headNoted(db: Database): number {
  let head = 0;
  for (const noted of ["max(seq) AS seq FROM cursors", "max(first) - 1 AS seq FROM epochs"]) {
    const found = attempt(() => db.query<{ seq: number | null }, []>(`SELECT ${noted}`).get());
    if (found.ok) head = Math.max(head, found.value?.seq ?? 0);
  }
  return head;
}

/** Yields what a damaged file yields, until reading it fails; errors in the loop over it are thrown as usual. */
export function* asFarAsReadable<T>(items: Generator<T>, failed: (error: unknown) => void): Generator<T> {
  for (;;) {
    const next = attempt(() => items.next());
    if (!next.ok) failed(next.error);
    if (!next.ok || next.value.done === true) break;
    yield next.value.value;
  }
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

export function attempt<T>(work: () => T): Attempt<T> {
  try {
    return { ok: true, value: work() };
  } catch (error) {
    return { ok: false, error };
  }
}
