/**
 * What this process knows of the positions that a downstream system keeps for it: what is committed, and where a try of its own whose
 * answer it did not get would have left one. A position further than that was written by another gateway under the name of our start:
 * one that had the same memory, because this machine was put back to a snapshot of it, or cloned. What we write from then on are other
 * messages than those that the position counts.
 */
import type { Delivery, Position } from "./sink.ts";

export class KnownPositions {
  readonly #committed = new Map<string, Position>();
  /** The furthest that it ever was; 0: none, and asked for. A standby that was behind may answer in between. */
  #furthest = new Map<string, number>();
  readonly #unanswered = new Map<string, Set<number>>();
  readonly #anothers = new Set<string>();

  /** The position that is known to be committed. */
  of(epoch: string): Position | undefined {
    return this.#committed.get(epoch);
  }

  /** Takes over what the downstream system holds of these epochs. @returns it, with which of it is another's */
  read(epochs: readonly string[], held: readonly Position[]): Position[] {
    this.#committed.clear();
    for (const position of held) {
      if (this.#isAnothers(position, this.#unanswered.get(position.epoch)))
        this.#anothers.add(position.epoch);
      this.#committed.set(position.epoch, position);
    }
    this.#furthest = new Map(
      epochs.map((epoch) => [epoch, Math.max(this.#furthest.get(epoch) ?? 0, this.of(epoch)?.seq ?? 0)]),
    );
    return held.map((it) => (this.#anothers.has(it.epoch) ? { ...it, isAnothers: true } : it));
  }

  /**
   * A try begins.
   * @returns where to go on from, by the position that is stored. It throws if the downstream system has less than it confirmed (restored
   * from a copy: what it lost may still be in the spool), or more than it can have from us: the drain is to ask for the positions
   */
  begins({ epoch, before, entries }: Delivery): (stored: Position | undefined) => Position {
    const known = this.of(epoch);
    const first = entries[0]?.seq ?? 0;
    const earlier = new Set(this.#unanswered.get(epoch));
    return (stored) => {
      if (known !== undefined && (stored?.seq ?? 0) < known.seq)
        throw new Error(
          `the downstream system holds position ${stored?.seq ?? "none"} of this spool although ${known.seq} was confirmed: was it restored from a backup? What the spool still has is delivered again`,
        );
      if (stored && this.#isAnothers(stored, earlier)) {
        this.#anothers.add(epoch);
        throw new Error(
          `the downstream system holds position ${stored.seq} of this spool, which this gateway has not written: was this machine cloned, or put back to a snapshot?`,
        );
      }
      return stored ?? { epoch, seq: first - 1, totals: before };
    };
  }

  /** From now on the downstream system may have committed a try that leaves the position at `seq`. */
  commits(epoch: string, seq: number): void {
    this.#unanswered.set(epoch, (this.#unanswered.get(epoch) ?? new Set()).add(seq));
  }

  /** Earlier tries went on from another position, so none of them can be stored any more. */
  committed(position: Position): void {
    const { epoch, seq } = position;
    this.#committed.set(epoch, position);
    this.#furthest.set(epoch, Math.max(this.#furthest.get(epoch) ?? 0, seq));
    this.#unanswered.delete(epoch);
  }

  #isAnothers({ epoch, seq }: Position, unanswered: ReadonlySet<number> | undefined): boolean {
    const furthest = this.#furthest.get(epoch);
    return furthest !== undefined && seq > furthest && unanswered?.has(seq) !== true;
  }
}
