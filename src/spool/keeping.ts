/**
 * For whom the spool keeps its entries, and up to where they may go.
 *
 * What every sink has settled goes as a matter of course. At the byte bound the sinks that may skip are not waited for, so that the
 * others and the intake go on. Until somebody has named the sinks, everything is kept: a tool or a start that ends early must
 * not give up what a sink is still to deliver.
 */
import type { Cursors } from "./cursors.ts";

export class Keeping {
  readonly #cursors: Pick<Cursors, "settledBy">;
  #holding: readonly string[] | undefined;
  #skipping: readonly string[] = [];
  #heldFrom = Number.MAX_SAFE_INTEGER;

  constructor(cursors: Pick<Cursors, "settledBy">) {
    this.#cursors = cursors;
  }

  keepFor(holding: readonly string[], skipping: readonly string[]): void {
    this.#holding = holding;
    this.#skipping = skipping;
  }

  /** Nothing from this seq on goes, whoever has settled it. */
  holdFrom(seq: number): void {
    this.#heldFrom = seq;
  }

  /** Up to here all sinks have settled, and nothing is held. */
  get settled(): number {
    if (this.#holding === undefined) return 0;
    return this.#unheld(this.#cursors.settledBy([...this.#holding, ...this.#skipping]));
  }

  /** Up to here the sinks that hold have settled, whatever is held. */
  get settledByHolding(): number {
    return this.#holding === undefined ? 0 : this.#cursors.settledBy(this.#holding);
  }

  /** Up to here entries may go if there must be room. */
  get expendable(): number {
    return this.#unheld(this.settledByHolding);
  }

  #unheld(seq: number): number {
    return Math.min(seq, this.#heldFrom - 1);
  }
}
