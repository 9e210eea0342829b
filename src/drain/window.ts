/**
 * The read-ahead window of a drain: what became of each entry between the cursor (everything up to it is settled) and
 * the next entry to read. Lanes settle in any order; the cursor moves over the settled prefix only.
 *
 * Rings of a fixed size, one byte per entry: nothing is allocated per message.
 */

import type { Totals } from "../core/sink.ts";

export type Fate = keyof Totals;

const pending = 0;
const detoured = 5;
const codeOf: Record<Fate, number> = { delivered: 1, ignored: 2, refused: 3, skipped: 4 };
const fateOf: readonly (Fate | undefined)[] = [undefined, "delivered", "ignored", "refused", "skipped"];

/** A lane that is served apart; `waiting` counts its entries at or before the cursor that are not settled. */
export interface Waiting {
  waiting: number;
}

export class Window {
  /** Everything up to and including this seq is settled or handed to a detour. */
  cursor: number;
  /** The next seq to read. */
  next: number;
  /** What became of the entries up to the cursor. */
  readonly counts: Record<Fate, number>;
  /** What became of those beyond it. */
  readonly #ahead: Record<Fate, number> = { delivered: 0, ignored: 0, refused: 0, skipped: 0 };
  readonly #codes: Uint8Array;
  readonly #owners: (Waiting | undefined)[];

  constructor(size: number, cursor: number, { delivered, ignored, refused, skipped }: Totals) {
    this.#codes = new Uint8Array(size);
    this.#owners = Array.from({ length: size });
    this.cursor = cursor;
    this.next = cursor + 1;
    this.counts = { delivered, ignored, refused, skipped };
  }

  get room(): number {
    return this.#codes.length - (this.next - 1 - this.cursor);
  }

  get isEmpty(): boolean {
    return this.next === this.cursor + 1;
  }

  /** Entries read and not settled, those of detours beyond the cursor included. */
  get unsettled(): number {
    const { delivered, ignored, refused, skipped } = this.#ahead;
    return this.next - 1 - this.cursor - delivered - ignored - refused - skipped;
  }

  /** Counts up to the cursor and beyond it. */
  shown(): Record<Fate, number> {
    const { counts } = this;
    const ahead = this.#ahead;
    return {
      delivered: counts.delivered + ahead.delivered,
      ignored: counts.ignored + ahead.ignored,
      refused: counts.refused + ahead.refused,
      skipped: counts.skipped + ahead.skipped,
    };
  }

  /** Takes up the next entry; its fate is open. */
  push(): void {
    this.#codes[this.next++ % this.#codes.length] = pending;
  }

  settle(seq: number, fate: Fate): void {
    this.#codes[seq % this.#codes.length] = codeOf[fate];
    this.#ahead[fate]++;
  }

  /** From now on this entry is the business of `owner`. */
  detour(seq: number, owner: Waiting): void {
    this.#codes[seq % this.#codes.length] = detoured;
    this.#owners[seq % this.#owners.length] = owner;
  }

  /** Takes an entry beyond the cursor back from its detour. */
  reclaim(seq: number): void {
    this.#codes[seq % this.#codes.length] = pending;
  }

  /** On whose detour an entry beyond the cursor is; undefined if on none. */
  ownerOf(seq: number): Waiting | undefined {
    const at = seq % this.#codes.length;
    return this.#codes[at] === detoured ? this.#owners[at] : undefined;
  }

  /** Moves the cursor over what is settled. True if it moved. */
  advance(): boolean {
    const from = this.cursor;
    while (this.cursor < this.next - 1) {
      const at = (this.cursor + 1) % this.#codes.length;
      const code = this.#codes[at] ?? pending;
      if (code === pending) break;
      const fate = fateOf[code];
      if (fate) {
        this.counts[fate]++;
        this.#ahead[fate]--;
      } else {
        const owner = this.#owners[at];
        if (owner) owner.waiting++;
      }
      this.cursor++;
    }
    return this.cursor > from;
  }

  /** Passes over entries that the spool no longer holds. Only while the window is empty. */
  skipTo(seq: number): void {
    this.counts.skipped += seq - this.next;
    this.next = seq;
    this.cursor = seq - 1;
  }
}
