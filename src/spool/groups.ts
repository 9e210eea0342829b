/** The groups as rows of SQLite: written, found by a seq in them, trimmed. Every statement is prepared once. */
import { type Database, SQLiteError } from "bun:sqlite";
import type { Entry } from "../core/entry.ts";
import { afterDmesg, isOfDisk } from "../core/file/owner.ts";
import { damageIn } from "../core/file/sqlite.ts";
import { letGo } from "../core/memory/let-go.ts";
import { explain } from "../core/log/log.ts";
import { decodeGroup, encodeGroup, type Group } from "./codec.ts";
import { memoryBytes } from "./tail.ts";

/** What a group costs on disk besides its body: keys, page and index overhead. */
const overheadBytes = 64;
/** SQL for the bytes that a row of `groups` counts for. */
export const rowBytes = `length(body) + ${overheadBytes}`;
/** SQL for a row as it is written. */
export const insertGroup =
  "INSERT INTO groups (last, count, received_ms, codec, crc, body) VALUES (?, ?, ?, ?, ?, ?)";
/** Entries per row: what a reader in the middle of the backlog decodes at a time. */
const entriesMax = 1_000;
/**
 * A row is full at so much text, which is encoded and decoded while it is in the processor's cache: a thousand payloads of 8 KB in one
 * row, which are 8 MB of fresh memory at each step, cost half as much again.
 */
const textCharsMax = 128 * 1024;

/** A group of entries on its way to the disk. */
export interface Encoded extends Group {
  readonly entries: readonly Entry[];
  /** The bytes that it counts for against the spool's bound. */
  readonly bytes: number;
}

interface Totals {
  readonly bytes: number;
  /** Wall clock at which the latest was received; null: none. */
  readonly newestMs: number | null;
}

interface Place {
  readonly last: number;
  readonly count: number;
}

/** Encodes entries as rows will hold them, in groups of a size that can be read at once. */
export function encodeAll(entries: readonly Entry[]): Encoded[] {
  const groups: Encoded[] = [];
  for (let from = 0; from < entries.length;) {
    const to = rowEnd(entries, from);
    const some = to - from === entries.length ? entries : entries.slice(from, to);
    const group = encodeGroup(some);
    groups.push({ ...group, entries: some, bytes: group.body.length + overheadBytes });
    from = to;
  }
  return groups;
}

/** Where the row ends that begins at `from`: behind the entry that fills it. */
function rowEnd(entries: readonly Entry[], from: number): number {
  const end = Math.min(entries.length, from + entriesMax);
  let chars = 0;
  for (let at = from; at < end; at++) {
    chars += entries[at]?.payload.length ?? 0;
    if (chars >= textCharsMax) return at + 1;
  }
  return end;
}

/** Within a statement SQLite says of what is damaged, and of what the disk does not read, that the file is malformed. */
function whyUndecoded(cause: unknown): string {
  const said = explain(cause);
  const repair = "stop the gateway and run `sluice spool repair`";
  if (!(cause instanceof SQLiteError)) return `is damaged (${said}): ${repair}`;
  if (damageIn(cause) !== undefined)
    return `is damaged, or its disk does not read it (${said}): ${afterDmesg(repair)}`;
  return `cannot be read (${said})${isOfDisk(cause) ? ": see dmesg for the fault of its disk" : ""}`;
}

export class Groups {
  readonly #insert;
  readonly #holding;
  readonly #body;
  /** The groups decoded last: several sinks, or lanes of one sink, that catch up side by side decode each group only once. */
  readonly #recent = new Map<number, readonly Entry[]>();
  #recentBytes = 0;
  readonly #recentBytesMax: number;
  readonly #oldest;
  readonly #receivedMs;
  readonly #sizes;
  readonly #ages;
  readonly #remove;
  readonly #totals;

  constructor(db: Database, recentBytesMax: number) {
    this.#recentBytesMax = recentBytesMax;
    this.#insert = db.query(insertGroup);
    this.#holding = db.query<Place, [number]>(
      "SELECT last, count FROM groups WHERE last >= ? ORDER BY last LIMIT 1",
    );
    this.#body = db.query<Group, [number]>("SELECT codec, crc, body FROM groups WHERE last = ?");
    this.#oldest = db.query<Place, []>("SELECT last, count FROM groups ORDER BY last LIMIT 1");
    this.#receivedMs = db.query<{ received_ms: number }, [number]>(
      "SELECT received_ms FROM groups WHERE last > ? ORDER BY last LIMIT 1",
    );
    this.#sizes = db.query<{ last: number; bytes: number }, [number, number]>(
      `SELECT last, ${rowBytes} AS bytes FROM groups WHERE last <= ? ORDER BY last LIMIT ?`,
    );
    this.#ages = db.query<{ last: number; received_ms: number }, [number]>(
      "SELECT last, received_ms FROM groups ORDER BY last LIMIT ?",
    );
    this.#remove = db.query("DELETE FROM groups WHERE last <= ?");
    this.#totals = db.query<Totals, []>(
      `SELECT coalesce(sum(${rowBytes}), 0) AS bytes, max(received_ms) AS newestMs FROM groups`,
    );
  }

  /** Looks through all groups. */
  totals(): Totals {
    return this.#totals.get() ?? { bytes: 0, newestMs: null };
  }

  /** The oldest seq held. */
  first(): number | undefined {
    const row = this.#oldest.get();
    return row ? row.last - row.count + 1 : undefined;
  }

  receivedMsAfter(seq: number): number | undefined {
    return this.#receivedMs.get(seq)?.received_ms;
  }

  /** @param last the seq of the group's last entry */
  insert({ entries, codec, crc, body }: Encoded, last: number): void {
    this.#insert.run(last, entries.length, entries[0]?.receivedMs ?? 0, codec, crc, body);
  }

  /** Entries from `seq`, or from the oldest after it, to the end of the group that holds it. */
  read(seq: number): readonly Entry[] {
    const place = this.#holding.get(seq);
    if (!place) return [];
    const first = place.last - place.count + 1;
    const entries = this.#recent.get(place.last) ?? this.#decode(place, first);
    return seq <= first ? entries : entries.slice(seq - first);
  }

  #decode({ last, count }: Place, first: number): readonly Entry[] {
    try {
      const group = this.#body.get(last);
      if (!group) throw new Error("it has no body");
      const entries = decodeGroup(group, first, count);
      letGo(group.body);
      this.#remember(last, entries);
      return entries;
    } catch (cause) {
      throw new Error(`the spool's group ${first} to ${last} ${whyUndecoded(cause)}`, { cause });
    }
  }

  #remember(last: number, entries: readonly Entry[]): void {
    this.#recent.set(last, entries);
    this.#recentBytes += memoryBytes(entries);
    for (const [oldest, gone] of this.#recent) {
      if (this.#recentBytes <= this.#recentBytesMax) break;
      this.#forget(oldest, gone);
    }
  }

  /** Of the decoded ones, nobody needs those up to `seq`. */
  settledTo(seq: number): void {
    for (const [last, entries] of this.#recent) if (last <= seq) this.#forget(last, entries);
  }

  #forget(last: number, entries: readonly Entry[]): void {
    this.#recent.delete(last);
    this.#recentBytes -= memoryBytes(entries);
  }

  /**
   * The last seq of the oldest groups that came before a wall-clock ms, looking at `groupsMax` groups; 0 if there is
   * none.
   */
  olderThan(receivedMs: number, groupsMax: number): number {
    let last = 0;
    for (const group of this.#ages.all(groupsMax)) {
      if (group.received_ms >= receivedMs) break;
      last = group.last;
    }
    return last;
  }

  /** True if a whole group lies at or before `seq`. */
  anyUpTo(seq: number): boolean {
    return (this.#oldest.get()?.last ?? Number.MAX_SAFE_INTEGER) <= seq;
  }

  /**
   * Removes the oldest groups that end at or before `seq`: at most `groupsMax`, and no more than it takes to free
   * `bytesWanted`. Runs inside the caller's transaction. @returns the bytes freed
   */
  remove(seq: number, groupsMax: number, bytesWanted = Number.POSITIVE_INFINITY): number {
    let freed = 0;
    let upTo = 0;
    for (const { last, bytes } of this.#sizes.iterate(seq, groupsMax)) {
      if (freed >= bytesWanted) break;
      freed += bytes;
      upTo = last;
    }
    if (upTo > 0) this.#remove.run(upTo);
    return freed;
  }
}
