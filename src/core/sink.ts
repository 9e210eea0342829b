/**
 * The contract of a sink: the second half of the program, once per far side.
 *
 * A sink is handed entries in the order of the spool and says what became of them. It does not retry, wait, count
 * or keep a position: the drain (drain.ts) does. It throws when the far side could not take the batch *now* (an
 * outage: the same entries come again), and refuses an entry that the far side will *never* take.
 */
import type { Entry } from "./entry.ts";

/** What became of the entries of one `deliver`. delivered + ignored + refused = entries handed over. */
export interface Outcome {
  readonly delivered: number;
  /** Not meant for this sink. */
  readonly ignored: number;
  /** Each was given to `Delivery.refuse` first. */
  readonly refused: number;
}

/** An entry that the far side will never take, and its words. */
export interface Refusal {
  readonly entry: Entry;
  readonly why: string;
}

/** A batch on its way. Entries are in order of `seq`; for a sink with a position, without holes. */
export interface Delivery {
  readonly entries: readonly Entry[];
  /** Entries that an operator puts aside, with why, by seq: to be refused without asking the far side. Only for a sink with a position. */
  readonly aside: ReadonlyMap<number, string>;
  /** The spool's entries from a seq on, as many as are at hand; none: it holds no more. For proof by an entry of another batch. */
  later(seq: number): readonly Entry[];
  /** Puts entries into the dead letters with one fsync, durable when it returns; doing so twice is harmless. */
  refuse(refusals: readonly Refusal[]): void;
  /** Aborts when the gateway stops or the drain's patience ends. */
  readonly signal: AbortSignal;
  /** Which start of the spool the entries belong to, and the totals of this sink before this batch; see `Position`. */
  readonly epoch: string;
  readonly before: Totals;
}

/** Totals of a sink since its birth. */
export interface Totals {
  readonly delivered: number;
  readonly ignored: number;
  readonly refused: number;
  readonly skipped: number;
}

/**
 * Where a sink that keeps its own position stands. `epoch` names one start of the spool (spool.ts): a spool restored
 * from a copy, or a new disk, starts new epochs and so can never be mistaken for the one whose position is stored.
 */
export interface Position {
  readonly epoch: string;
  /** Everything up to and including this seq is settled. */
  readonly seq: number;
  readonly totals: Totals;
}

export interface Sink {
  readonly name: string;
  /** Most entries and payload bytes in one `deliver`; a sink may change its mind from one to the next. */
  readonly batchMax: number;
  readonly batchBytesMax: number;
  /** Delivers a lane as soon as it holds this many entries, without waiting for `lingerMs`. Default `batchMax`. */
  readonly batchTrigger?: number;
  /** Waits this long for a batch to fill before it delivers a part of one; 0: at once. */
  readonly lingerMs: number;
  /** Longest that one `deliver` may take before the drain calls it an outage. */
  readonly deadlineMs: number;
  /** At the spool's bound this sink gives up its oldest entries (skipped) rather than hold the intake. */
  readonly whenFull: "hold" | "skip";

  /**
   * Which lane an entry goes by; null: not meant for this sink. Lanes are delivered side by side, each in order; one in
   * trouble does not delay the others. Absent: a single lane. What was brought back for another sink alone reaches only
   * the `deliver` of a sink with a position.
   */
  lane?(entry: Entry): string | null;
  /** Most lanes delivered at the same time. Default 1. */
  readonly concurrency?: number;

  /**
   * Only for a sink that stores its position with the data (exactly once): the positions it holds for the epochs
   * asked for. Called before the first `deliver`; rejects while the far side is away.
   */
  positions?(epochs: readonly string[]): Promise<Position[]>;

  /** Brings one batch of one lane to the far side. Throws (an outage) or tells the outcome; never both stores and throws, unless storing twice is harmless. */
  deliver(delivery: Delivery): Promise<Outcome>;

  /** Can the far side be reached and used? One sentence; throws when not. For `check` and `/readyz`. */
  probe(): Promise<string>;
  /** What only this sink counts, for `/stats` (snake_case), such as writes_ok. */
  stats?(): Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}
