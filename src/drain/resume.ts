/**
 * Where a sink that keeps its own position goes on after a start.
 *
 * The downstream system's word counts, not ours: its position was committed with the data. It names the epoch (one start of the
 * spool), so that a spool restored from a copy is told from the one that went on: of an epoch both know, what both have
 * is settled; entries of epochs it never heard of are not, whatever their numbers.
 */
import type { Log } from "../core/log/log.ts";
import type { DrainedSpool } from "./drained-spool.ts";
import type { Position, Totals } from "../core/sink.ts";

/** The spool: what it keeps, and of which starts. */
type Kept = Pick<DrainedSpool, "epochs" | "head" | "first">;

/**
 * @param cursor how far we know it to be ourselves: of a start that was parted for another sink that counts, too
 * @returns the seq up to which all is settled downstream; totals undefined: it has none that fit
 */
export function resumeFrom(
  { epochs, head, first }: Kept,
  positions: readonly Position[],
  cursor: number,
): { seq: number; totals: Totals | undefined } {
  for (let i = epochs.length - 1; i >= 0; i--) {
    const epoch = epochs[i];
    const position = positions.find((p) => p.epoch === epoch?.epoch);
    if (!position) continue;
    const end = (epochs[i + 1]?.first ?? head + 1) - 1;
    if (position.seq <= end) return { seq: position.seq, totals: position.totals };
    return { seq: position.isAnothers === true ? Math.max(end, cursor) : end, totals: undefined };
  }
  return { seq: first - 1, totals: undefined };
}

/** What reads ahead, as far as it is moved. */
export interface Resumable {
  readonly cursor: number;
  readonly totals: Totals;
  moveTo(seq: number, totals: Totals): void;
  startAnew(seq: number, totals: Totals): void;
}

/** Moves to where the downstream system says it stands. @returns that seq */
export function goOnFrom(ahead: Resumable, held: readonly Position[], spool: Kept, log: Log): number {
  const { seq, totals } = resumeFrom(spool, held, ahead.cursor);
  const known = ahead.totals;
  const further = seq - ahead.cursor;
  if (totals) {
    if (further < 0)
      log.warn(
        { from: seq + 1, confirmed: ahead.cursor },
        "the sink lost what it had confirmed (a backup restored? a standby that was behind?): what the spool still holds of it is delivered again",
      );
    ahead.moveTo(seq, totals);
  } else if (further >= 0) {
    ahead.startAnew(seq, { ...known, delivered: known.delivered + further });
  } else {
    // It holds no position of ours although it was given entries: it was put in another's place, and is counted anew.
    log.warn({ from: seq + 1 }, "the position is gone at the sink: what the spool holds is delivered again");
    ahead.startAnew(seq, { delivered: 0, ignored: 0, refused: 0, skipped: 0 });
  }
  return seq;
}

/**
 * If another gateway goes on under our start (`Position.isAnothers`), what the sink has not settled of it gets a start of its own, for the
 * position counts other messages. What was on its way when the two parted is delivered by both: there is no telling what that was.
 */
export function partFromAnother(
  { name, cursor }: { readonly name: string; readonly cursor: number },
  held: readonly Position[],
  spool: DrainedSpool,
  log: Log,
): void {
  // Entries of earlier starts are the same in both.
  const first = Math.max(cursor + 1, spool.startedAt);
  const { epoch } = epochOf(spool, first);
  const position = held.find((it) => it.epoch === epoch);
  if (position?.isAnothers !== true) return;
  log.warn(
    { from: first, position: position.seq },
    "another gateway writes as this one, from a copy of its memory (was this machine cloned, or put back to a snapshot?): what is not known to be delivered goes on as of a new start",
  );
  takeBackUnsettled(name, first - 1, spool);
  spool.beginEpoch(first);
}

/**
 * Takes back the dead letters of entries that the downstream system has not settled, but was about to: its answer, or we, were lost on the
 * way. It may take them now, and a dead letter that is replayed later would be stored a second time. What the spool
 * has given up does not come again, so its letter stays.
 */
export function takeBackUnsettled(
  sink: string,
  settled: number,
  { epochs, first, deadLetters }: Pick<DrainedSpool, "epochs" | "first" | "deadLetters">,
): void {
  const from = Math.max(settled + 1, first);
  const unsettled = epochs.filter((_, i) => (epochs[i + 1]?.first ?? Number.POSITIVE_INFINITY) > from);
  deadLetters.takeBack(
    sink,
    unsettled.map(({ epoch }) => epoch),
    from,
  );
}

/** The start of the gateway that wrote `seq`, and the last seq it wrote. */
export function epochOf(
  { epochs, head }: Pick<Kept, "epochs" | "head">,
  seq: number,
): { epoch: string; last: number } {
  let at = epochs.length - 1;
  while (at > 0 && (epochs[at]?.first ?? 0) > seq) at--;
  return { epoch: epochs[at]?.epoch ?? "", last: (epochs[at + 1]?.first ?? head + 1) - 1 };
}
