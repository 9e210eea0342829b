/**
 * Keeping: for which sinks the spool keeps its entries, and up to which seq it may trim them.
 *
 * What every sink has settled is trimmed as a matter of course, a minute later: a downstream system may lose what it committed last (a
 * standby takes over that was behind, a server crashes whose commits are asynchronous), and then gets it again. Only time in which sinks take
 * something counts, since what a system lost shows when it is given more. Rejected alternative: to insist on `synchronous_commit`, which
 * says nothing of a standby. At the byte bound the spool does not wait for sinks that may skip, so that the others and the intake go on.
 * Until the sinks are named, everything is kept: a tool, or a start that ends early, must not trim what a sink has still to deliver.
 */
import type { Cursors } from "./cursors.ts";

const keptForMs = 60_000;

export class Keeping {
  readonly #cursors: Pick<Cursors, "settledBy">;
  #holding: readonly string[] | undefined;
  #skipping: readonly string[] = [];
  #heldFrom = Number.MAX_SAFE_INTEGER;
  /** How long something more was settled each second; up to where it was at times of the last minute of that, and a minute ago. */
  #goingMs = 0;
  readonly #lately: { readonly atMs: number; readonly seq: number }[] = [];
  #agoSeq = 0;
  #asked = { atMs: 0, seq: 0 };

  constructor(cursors: Pick<Cursors, "settledBy">) {
    this.#cursors = cursors;
  }

  keepFor(holding: readonly string[], skipping: readonly string[]): void {
    this.#holding = holding;
    this.#skipping = skipping;
  }

  /** Nothing from this seq on is trimmed, even if every sink has settled it. */
  holdFrom(seq: number): void {
    this.#heldFrom = seq;
  }

  /** The seq up to which all sinks have settled and nothing is held. */
  get settled(): number {
    if (this.#holding === undefined) return 0;
    return this.#unheld(this.#cursors.settledBy([...this.#holding, ...this.#skipping]));
  }

  /** The seq up to which groups go as a matter of course: what all had settled a minute ago, or now if room is not ample. To be asked once a second. */
  due(nowMs: number, isAmple: boolean): number {
    const { settled } = this;
    if (settled > this.#asked.seq) this.#goesOn(nowMs - this.#asked.atMs, settled);
    this.#asked = { atMs: nowMs, seq: settled };
    return isAmple ? Math.min(settled, this.#agoSeq) : settled;
  }

  #goesOn(forMs: number, settled: number): void {
    this.#goingMs += forMs;
    const agoMs = this.#goingMs - keptForMs;
    this.#lately.push({ atMs: this.#goingMs, seq: settled });
    while ((this.#lately[0]?.atMs ?? this.#goingMs) <= agoMs) this.#agoSeq = this.#lately.shift()?.seq ?? 0;
  }

  /** The seq up to which the sinks that hold the intake have settled, whatever is held by `holdFrom`. */
  get settledByHolding(): number {
    return this.#holding === undefined ? 0 : this.#cursors.settledBy(this.#holding);
  }

  /** The seq up to which entries may be trimmed if room is needed. */
  get expendable(): number {
    return this.#unheld(this.settledByHolding);
  }

  #unheld(seq: number): number {
    return Math.min(seq, this.#heldFrom - 1);
  }
}
