/**
 * The contract of a sink: the second half of the program, once per downstream system.
 *
 * A sink is handed entries in the order of the spool and says what became of them. It does not retry, wait, count
 * or keep a position: the drain (drain.ts) does. It throws when the downstream system could not take the batch *now* (an
 * outage: the same entries come again), and refuses an entry that the downstream system will *never* take.
 */
import type { Clock } from "./clock.ts";
import type { Entry } from "./entry.ts";
import type { Kind } from "./kind.ts";
import type { Log } from "./log/log.ts";
import type { EventTable, HeldEntries } from "./recent.ts";
import { oneOf, integer, type Setting, type Settings, type Values } from "./settings.ts";

/** What became of the entries of one `deliver`. delivered + ignored + refused = entries handed over. */
export interface Outcome {
  readonly delivered: number;
  /** Not meant for this sink. */
  readonly ignored: number;
  /** Each was given to `Delivery.refuse` first. */
  readonly refused: number;
}

/** An entry that the downstream system will never take, and its words. */
export interface Refusal {
  readonly entry: Entry;
  readonly why: string;
}

/**
 * A batch on its way, in order of `seq`. Each entry is for this sink (`isFor`), but that a sink with a position is handed all of
 * them, without holes, and ignores the others itself: its totals are stored with its position.
 */
export interface Delivery {
  readonly entries: readonly Entry[];
  /** Entries that an operator sets aside, with why, by seq: to be refused without asking the downstream system. Only for a sink with a position. */
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
 * How far a downstream system has got, as it says itself. `epoch` names one start of the spool (spool.ts): a spool restored
 * from a copy, or a new disk, starts new epochs and so can never be mistaken for the one whose position is stored.
 */
export interface Position {
  readonly epoch: string;
  /** Everything up to and including this seq is settled. */
  readonly seq: number;
  readonly totals: Totals;
  /** Written by another gateway under our epoch, which had the same memory: a machine that was cloned, or put back to a snapshot. */
  readonly isAnothers?: boolean;
}

/** How far the spool has been brought to a sink, as the spool keeps it. */
export interface Cursor extends Totals {
  /** The seq before the first that this sink was ever offered. */
  readonly start: number;
  /** Everything up to and including this seq is settled, except what `detours` name. */
  readonly seq: number;
  readonly detours: ReadonlyMap<string, Detour>;
}

/** What is shown of a sink. delivered + ignored + refused + skipped + waiting = spooled. */
export interface SinkStats extends Totals {
  /** Entries that were ever offered to this sink. */
  readonly spooled: number;
  readonly waiting: number;
}

/** A lane that fell behind the others of its sink. */
export interface Detour {
  /** Its first unsettled seq. */
  readonly seq: number;
  readonly waiting: number;
}

export const noDetours: Cursor["detours"] = new Map();

/** No sink asks for a batch of more bytes: what is on its way to all of them is bounded by it. */
export const sinkBatchBytesMax = 8 * 1024 * 1024;

export interface Sink {
  readonly name: string;
  /** Most entries and payload bytes in one `deliver`; a sink may change its mind from one to the next. */
  readonly batchMax: number;
  readonly batchBytesMax: number;
  /** Delivers a lane that holds this many entries without waiting for `lingerMs`. Default `batchMax`. */
  readonly batchTrigger?: number;
  /** So long it does wait then, so that one request takes what a flood brings meanwhile. Default 0. */
  readonly gatherMs?: number;
  /** Waits at most this long for a batch to fill, and not if nothing more is expected by then; 0: not at all. */
  readonly lingerMs: number;
  /** Longest that one `deliver` may take before the drain calls it an outage. */
  readonly deadlineMs: number;
  /** At the spool's bound this sink gives up its oldest entries (skipped) rather than hold the intake. */
  readonly whenFull: "hold" | "skip";

  /**
   * Which lane an entry goes by; null: not meant for this sink. Lanes are delivered side by side, each in order; one in
   * trouble does not delay the others. Absent: a single lane.
   */
  lane?(entry: Entry): string | null;
  /** Most lanes delivered at the same time. Default 1. */
  readonly concurrency?: number;

  /**
   * Only for a sink that stores its position with the data (exactly once): the positions it holds for the epochs
   * asked for. Called before the first `deliver`; rejects while the downstream system is away.
   */
  positions?(epochs: readonly string[]): Promise<Position[]>;

  /** The server that answered with them last, for the log: of several hosts, or behind a name, nobody else tells which. */
  readonly place?: string | undefined;

  /** Brings one batch of one lane to the downstream system. Throws (an outage) or tells the outcome; never both stores and throws, unless storing twice is harmless. */
  deliver(delivery: Delivery): Promise<Outcome>;

  /** Can the downstream system be reached and used? One sentence; throws if not. For `check` and `/readyz`. */
  probe(): Promise<string>;
  /** What an operator sees to while it cannot deliver, after "See that". Absent: its server runs and can be reached, and what is said above. */
  readonly remedy?: string;
  /** What only this sink counts, for `/stats` (snake_case), such as writes_ok. */
  stats?(): Readonly<Record<string, unknown>>;
  /** Which numbers of `stats` only grow: counters in `/metrics`, where the others are gauges. */
  readonly counters?: readonly string[];
  close(): Promise<void>;
}

/** A row of the list of sinks (sink/index.ts). */
export interface SinkKind<S extends Settings = Settings> extends Kind<S> {
  /** Do the settings ask for one? */
  isAsked(values: Values<S>): boolean;
  /** Connects to nothing yet. @throws if the settings cannot be used */
  open(parts: SinkParts<Values<S>>): Sink;
}

/** What a sink is made of. */
export interface SinkParts<V> {
  /** Not to be taken apart: secrets are renewed in it while the gateway runs. */
  readonly settings: V;
  readonly gatewayId: string;
  /** Where it may keep a file of its own. */
  readonly dataDir: string;
  /** So many devices may be cached: of as many a sink may keep something. Absent: as it says itself. */
  readonly devicesMax?: number | undefined;
  /** What this gateway still has, for a downstream system that lost its memory, and how far a sink had taken it. */
  readonly held: HeldEntries & { cursorOf(sink: string): Pick<Cursor, "seq" | "detours"> };
  readonly events: EventTable;
  readonly clock: Clock;
  readonly log: Log;
}

/** A kind whose `open` and `isAsked` know its own settings. */
export function sinkKind<const N extends string, S extends Settings>(
  kind: SinkKind<S> & { readonly name: N },
): SinkKind<S> & { readonly name: N } {
  return kind;
}

/** The settings that every sink has, under the names that begin with `prefix` (INFLUX_TIMEOUT_MS). */
export function sinkSettings(spec: {
  readonly prefix: string;
  /** The downstream system as people call it. */
  readonly title: string;
  readonly timeoutMs: number;
  /** `per`: what has one request at a time, such as "database". */
  readonly concurrency: { readonly default: number; readonly per: string };
  readonly whenFull: Sink["whenFull"];
}): {
  timeoutMs: Setting<number>;
  concurrency: Setting<number>;
  whenFull: Setting<Sink["whenFull"]>;
} {
  const { prefix, title, concurrency } = spec;
  return {
    timeoutMs: integer({
      name: `${prefix}_TIMEOUT_MS`,
      default: spec.timeoutMs,
      unit: "ms",
      min: 100,
      max: 600_000,
      help: "A request without an answer for this long has failed and is repeated.",
    }),
    concurrency: integer({
      name: `${prefix}_CONCURRENCY`,
      default: concurrency.default,
      unit: "requests",
      min: 1,
      max: 64,
      help: `Requests under way at the same time, one per ${concurrency.per}.`,
    }),
    whenFull: oneOf({
      name: `${prefix}_WHEN_FULL`,
      default: spec.whenFull,
      words: ["hold", "skip"],
      help: `When the spool is full because ${title} is behind: hold the intake, or skip ${title}'s oldest entries.`,
    }),
  };
}
