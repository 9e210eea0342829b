/**
 * Keeping: for which sinks the spool keeps its entries, and up to which seq it may trim them.
 *
 * What every sink has settled is trimmed as a matter of course. At the byte bound the spool does not wait for sinks
 * that may skip, so that the others and the intake go on. Until the sinks are named, everything is kept: a tool, or a
 * start that ends early, must not trim what a sink has still to deliver.
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

  /** Nothing from this seq on is trimmed, even if every sink has settled it. */
  holdFrom(seq: number): void {
    this.#heldFrom = seq;
  }

  /** The seq up to which all sinks have settled and nothing is held. */
  get settled(): number {
    if (this.#holding === undefined) return 0;
    return this.#unheld(this.#cursors.settledBy([...this.#holding, ...this.#skipping]));
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
