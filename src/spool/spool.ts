/**
 * The spool: the durable log that cuts the program in two.
 *
 * Groups of entries go in, each with one fsync; each sink reads from its own cursor. Everything that must agree after a crash is written
 * in one transaction: the entries with the books and the packets' fingerprints; and, once a second, the cursors of the sinks with the
 * trimming of what all sinks have settled.
 *
 * SQLite stores it. Rejected alternative: a hand-written log. SQLite was measured at 0.8 of its speed, and in return power loss, torn
 * pages, reuse of space and a tool to look inside are solved. bun:sqlite is synchronous: the commit before a PUBACK needs no promise.
 */
import type { Database } from "bun:sqlite";
import type { Clock, Timer } from "../core/clock.ts";
import type { Entry } from "../core/entry.ts";
import { letGo } from "../core/memory/let-go.ts";
import { memoryShares, type MemoryShares } from "../core/memory/budget.ts";
import type { Values } from "../core/settings.ts";
import type { Cursor } from "../core/sink.ts";
import type { SidecarTables, CommitRecord } from "./sidecar.ts";
import { type Age, keptAge } from "./age.ts";
import { beginningAt, type Cursors } from "./cursors.ts";
import { DeadLetters } from "./dead-letters.ts";
import { committer, freeBytes, giveBack, refuseFailedDisk, reserveFreeSpace } from "./disk.ts";
import type { Epoch, Epochs } from "./epochs.ts";
import { encodeAll, type Groups } from "./groups.ts";
import { Keeping } from "./keeping.ts";
import { lockSpool } from "./lock.ts";
import { openSpoolFile } from "./open.ts";
import type { spoolSettings } from "./spool-settings.ts";
import { watchOwnership } from "./ownership.ts";
import { noteClosed } from "./state.ts";
import { Tail } from "./tail.ts";
import { takeOver } from "./take-over.ts";
import { Trimming, trimEveryMs } from "./trimming.ts";

export interface SpoolOptions {
  readonly dataDir: string;
  readonly settings: Values<typeof spoolSettings>;
  readonly clock: Clock;
  readonly memory?: Pick<MemoryShares, "tailBytes" | "recentBytes">;
}

export class Spool {
  readonly deadLetters: DeadLetters;
  readonly age: Age;
  /** The books, the redelivery window and the marks, as a start finds them. */
  readonly sidecar: SidecarTables;
  /** Wall clock at which the newest entry of an earlier run was received; undefined if there is none. */
  readonly newestAtStartMs: number | undefined;
  readonly #dataDir: string;
  readonly #db: Database;
  readonly #unlock: () => void;
  readonly #groups: Groups;
  readonly #tail: Tail;
  readonly #cursors: Cursors;
  readonly #epochs: Epochs;
  /** Throws if the spool is not ours any more. */
  readonly #check: () => void;
  /** Writes one transaction, if the spool is still ours. */
  readonly #commit: (write: () => void) => void;
  /** @throws SpoolFull if its disk does not take so many bytes more */
  readonly #reserveFreeSpace: (bytes: number) => void;
  readonly #settings: Values<typeof spoolSettings>;
  readonly #timer: Timer;
  readonly #listeners: (() => void)[] = [];
  readonly #keeping: Keeping;
  readonly #trimming: Trimming;
  #head: number;
  #appendedBytes = 0;
  /** What could not be appended, and how many bytes it takes at least: more may have come since. */
  #waiting: { readonly entries: readonly Entry[]; readonly bytes: number } | undefined;

  /** @throws one clear sentence if the spool is in use, damaged, of a later version, or cannot be written */
  constructor({ dataDir, settings, clock, memory = memoryShares() }: SpoolOptions) {
    this.#tail = new Tail(memory.tailBytes);
    this.#dataDir = dataDir;
    this.#settings = settings;
    this.#unlock = lockSpool(dataDir);
    let held: number;
    try {
      const open = (db: Database) => takeOver(db, settings.redeliveryWindow, memory.recentBytes);
      const parts = openSpoolFile(dataDir, open);
      this.#db = parts.db;
      this.#groups = parts.groups;
      this.#cursors = parts.cursors;
      this.#keeping = new Keeping(parts.cursors);
      this.sidecar = parts.sidecar;
      this.#head = parts.head;
      held = parts.bytes;
      this.newestAtStartMs = parts.newestMs ?? undefined;
      this.#epochs = parts.epochs;
    } catch (error) {
      this.#unlock();
      throw error;
    }
    this.#check = watchOwnership(this.#db, dataDir, this.#epochs.ours);
    this.#commit = committer(this.#db, clock, this.#check);
    this.#reserveFreeSpace = reserveFreeSpace({ db: this.#db, dataDir, clock, ...settings });
    this.age = keptAge(this.#db, clock, this.newestAtStartMs);
    const ageNowMs = this.age.nowMs;
    this.deadLetters = new DeadLetters({
      ...{ db: this.#db, commit: this.#commit, clock, bounds: settings, ageNowMs },
    });
    this.#trimming = new Trimming({
      ...{ groups: this.#groups, cursors: this.#cursors, keeping: this.#keeping, tail: this.#tail },
      ...{ commit: this.#commit, clock, settings, ageNowMs: this.age.nowMs, head: () => this.#head },
      ...{ bytes: held, roomBytes: () => this.roomBytes },
    });
    this.#timer = clock.every(trimEveryMs, () => this.#idle());
  }

  /** Every start of a gateway whose entries may still be held, oldest first; the last is this one. */
  get epochs(): readonly Epoch[] {
    return this.#epochs.all;
  }

  get startedAt(): number {
    return this.#epochs.startedAt;
  }

  beginEpoch(seq: number): void {
    this.#epochs.begin(seq, this.first, this.#commit);
  }

  /** The last seq appended; 0 before the first. */
  get head(): number {
    return this.#head;
  }

  /** The oldest seq still held; head + 1 if none is. */
  get first(): number {
    return this.#groups.first() ?? this.#head + 1;
  }

  /** Bytes of all groups appended since this start, each counted once. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }

  /** Bytes of the groups held. */
  get bytes(): number {
    return this.#trimming.bytes;
  }

  /** @throws if the disk cannot be read */
  get freeDiskBytes(): number {
    return freeBytes(this.#db, this.#dataDir);
  }

  /** Bytes until the intake is held, by the byte bound or by the disk, whichever is nearer. @throws if the disk cannot be read */
  get roomBytes(): number {
    const { bytesMax, freeBytesMin } = this.#settings;
    return Math.max(0, Math.min(bytesMax - this.bytes, this.freeDiskBytes - freeBytesMin));
  }

  /** Wall clock at which the oldest entry after `seq` was received; undefined if there is none. */
  receivedMsAfter(seq: number): number | undefined {
    return this.#groups.receivedMsAfter(seq);
  }

  /** @throws why nothing can be appended, as far as that shows without a write: until something comes nobody would know */
  refuseUnwritable(): void {
    this.#check();
    refuseFailedDisk(this.#db);
    this.#reserveFreeSpace(0);
  }

  /**
   * Writes entries with one fsync and gives each its seq; durable when it returns.
   * @throws SpoolFull at the byte bound or if the disk is full; nothing of it is kept then
   */
  append(entries: readonly Entry[], record: CommitRecord): void {
    // What had no room at the last try has none until that is there, and to encode it takes up to a tenth of a second.
    if (entries === this.#waiting?.entries) this.#claim(this.#waiting.bytes, record);
    const groups = encodeAll(entries);
    const bytes = groups.reduce((sum, group) => sum + group.bytes, 0);
    this.#waiting = { entries, bytes };
    if (entries.length > 0) this.#claim(bytes, record);
    this.#commit(() => {
      let last = this.#head;
      for (const group of groups) this.#groups.insert(group, (last += group.entries.length));
      this.sidecar.write(record);
    });
    this.#waiting = undefined;
    this.sidecar.written();
    if (entries.length === 0) return;
    for (const entry of entries) entry.seq = ++this.#head;
    this.#appendedBytes += bytes;
    for (const group of groups) this.#tail.push(group.entries);
    for (const { body } of groups) letGo(body);
    this.#trimming.appended(bytes);
    for (const listener of this.#listeners) listener();
  }

  /**
   * Entries from `seq` on, or from the oldest held if that is later: at least one if there is one, at most the rest of its group.
   * @throws if the group on disk is damaged; the message names it
   */
  read(seq: number): readonly Entry[] {
    return this.#tail.from(seq) ?? this.#groups.read(seq);
  }

  onAppend(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Names the sinks for which the spool keeps its entries. At the byte bound, those in `untilFull` lose their oldest: see keeping.ts. */
  keepFor(sinks: readonly string[], untilFull: readonly string[] = []): void {
    this.#keeping.keepFor(sinks, untilFull);
  }

  /** Nothing from this seq on is trimmed, even if every sink has settled it. */
  holdFrom(seq: number): void {
    this.#keeping.holdFrom(seq);
  }

  /** Whether this sink was ever offered anything. */
  hasSink(sink: string): boolean {
    return this.#cursors.get(sink) !== undefined;
  }

  cursorOf(sink: string): Cursor {
    return this.#cursors.get(sink) ?? beginningAt(this.first - 1);
  }

  /** Takes effect at once; written to disk within a second. */
  setCursor(sink: string, state: Cursor): void {
    this.#cursors.set(sink, state);
  }

  close(): void {
    this.#timer.cancel();
    this.#idle();
    noteClosed(this.#db, this.#dataDir, this.#check);
    this.#db.close();
    this.#unlock();
  }

  /** @throws SpoolFull if there is no room for so many bytes more */
  #claim(bytes: number, { endsTheHold: ends = false }: CommitRecord): void {
    const endsTheHold = ends && this.#keeping.settledByHolding > this.#keeping.expendable;
    this.#trimming.makeRoom(bytes, endsTheHold);
    if (!endsTheHold) this.#reserveFreeSpace(bytes);
  }

  /** Once a second. */
  #idle(): void {
    try {
      this.#trimming.idle();
      this.age.keep();
      this.deadLetters.expire();
      giveBack(this.#db);
    } catch {
      // The disk cannot be read now: the next read or append reports it, and this is tried again in a second.
    }
  }
}
