/**
 * Where a sink that keeps its own position goes on after a start.
 *
 * The far side's word counts, not ours: its position was committed with the data. It names the epoch (one start of the
 * spool), so that a spool restored from a copy is told from the one that went on: of an epoch both know, what both have
 * is settled; entries of epochs the far side never heard of are not, whatever their numbers.
 */
import type { Position, Totals } from "./sink.ts";

export interface EpochRange {
  readonly epoch: string;
  readonly first: number;
}

export interface Resumed {
  /** Everything up to and including this seq is settled at the far side. */
  readonly seq: number;
  /** The far side's totals at `seq`; undefined where it has none that fit. */
  readonly totals: Totals | undefined;
}

/**
 * @param epochs oldest first
 * @param head the spool's last seq
 * @param floor the seq before the oldest entry held
 */
export function resumeFrom(
  epochs: readonly EpochRange[],
  positions: readonly Position[],
  head: number,
  floor: number,
): Resumed {
  for (let i = epochs.length - 1; i >= 0; i--) {
    const epoch = epochs[i];
    const position = positions.find((p) => p.epoch === epoch?.epoch);
    if (!position) continue;
    const end = (epochs[i + 1]?.first ?? head + 1) - 1;
    return position.seq <= end
      ? { seq: position.seq, totals: position.totals }
      : { seq: end, totals: undefined };
  }
  return { seq: floor, totals: undefined };
}

/** The start of the gateway that wrote `seq`, and the last seq it wrote. */
export function epochOf(
  { epochs, head }: { readonly epochs: readonly EpochRange[]; readonly head: number },
  seq: number,
): { epoch: string; last: number } {
  let at = epochs.length - 1;
  while (at > 0 && (epochs[at]?.first ?? 0) > seq) at--;
  return { epoch: epochs[at]?.epoch ?? "", last: (epochs[at + 1]?.first ?? head + 1) - 1 };
}
