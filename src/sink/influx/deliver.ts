/**
 * One batch of one database: entries to lines, lines to the target, an outcome for every entry.
 */
import type { Entry } from "../../core/entry.ts";
import {
  bodyOf,
  encodeLine,
  Unwritable,
  withType,
  type ColumnType,
  type Grammar,
  type Line,
} from "./line.ts";
import type { Delivery, Outcome, Refusal } from "../../core/sink.ts";
import { grammarOf } from "./api.ts";
import { nameFault } from "./database.ts";
import { NoAnswer } from "./http.ts";
import { createLines, type Lines, type LinesOptions } from "./lines.ts";
import type { Pace } from "./pace.ts";
import { ship, type Progress, type Shipping } from "./ship.ts";
import type { Tally } from "./tally.ts";
import type { Target } from "./target.ts";

export interface Parts extends LinesOptions {
  readonly target: Target;
  readonly tally: Tally;
  readonly pace: Pace;
  /** The tenant is a tag. */
  readonly tenantTag: boolean;
  /** Databases keep data this long; 0: for ever, or it is not known. */
  readonly retentionMs: number;
}

interface Round {
  readonly database: string;
  readonly delivery: Delivery;
  readonly progress: Progress;
  readonly outcome: { delivered: number; ignored: number; refused: number };
  /** Refused in this round and not in the dead letters yet. */
  readonly refusals: Refusal[];
  /** What was stored in this round; looked at only if the round does not end well. */
  readonly stored: (readonly Line[])[];
}

export function createDeliver(parts: Parts): (database: string, delivery: Delivery) => Promise<Outcome> {
  const { target, types, tally, pace, clock, tenantTag, retentionMs } = parts;
  const linesOf = createLines(parts);
  const unfinished = new Map<string, Progress>();

  function refuse({ outcome, refusals }: Round, entry: Entry, why: string) {
    refusals.push({ entry, why });
    outcome.refused += 1;
  }

  /** All at once at the end of a round, for each time costs an fsync. */
  function bury({ progress, delivery, refusals }: Round) {
    if (refusals.length === 0) return;
    delivery.refuse(refusals);
    for (const { entry } of refusals.splice(0)) {
      tally.refused();
      progress.settled.set(entry.seq, true);
    }
  }

  /** Those that are not settled; the others are counted. */
  function unsettled({ outcome, progress, delivery }: Round): readonly Entry[] {
    const { settled } = progress;
    if (settled.size === 0) return delivery.entries;
    return delivery.entries.filter(({ seq }) => {
      const wasRefused = settled.get(seq);
      if (wasRefused !== undefined) outcome[wasRefused ? "refused" : "delivered"] += 1;
      return wasRefused === undefined;
    });
  }

  async function post({ database, delivery }: Round, made: Lines, lines: readonly Line[]) {
    try {
      const bytes = lines === made.fits ? made.body.bytes() : new TextEncoder().encode(bodyOf(lines));
      const verdict = await target.post(database, bytes, delivery.signal);
      tally.answered(verdict);
      if (verdict.kind === "stored") pace.taken(lines.length);
      else if (verdict.kind === "away" && verdict.slow) pace.tooSlow(lines.length);
      return verdict;
    } catch (error) {
      tally.failed();
      if (error instanceof NoAnswer) pace.tooSlow(lines.length);
      throw error;
    }
  }

  function learn(database: string, lines: readonly Line[]) {
    for (const { news, table } of lines) if (news !== null) types.confirm(database, table.name, news);
  }

  function shippingOf(round: Round, made: Lines, grammar: Grammar): Shipping {
    const { database } = round;
    const isInvisible = (line: Line) =>
      retentionMs > 0 && (line.entry.eventMs ?? line.entry.receivedMs) < clock.wallMs() - retentionMs;
    return {
      progress: round.progress,
      post: (lines) => post(round, made, lines),
      stored(lines) {
        if (lines !== made.fits || made.hasNews) learn(database, lines);
        if (retentionMs > 0) tally.beyondRetention(lines.filter(isInvisible).length);
        round.outcome.delivered += lines.length;
        round.stored.push(lines);
      },
      refused: (line, why) => refuse(round, line.entry, why),
      retyped: (line, { column, has }) => retyped(line, column, has, grammar),
    };
  }

  async function run(round: Round) {
    const { entries, signal } = round.delivery;
    const { kind, proven } = await target.rules(signal);
    const fault = nameFault(kind, round.database);
    if (fault !== null) {
      for (const entry of entries) refuse(round, entry, fault);
      return;
    }
    const grammar = grammarOf(kind, proven, tenantTag);
    const { shifts } = round.progress;
    const made = linesOf(unsettled(round), { database: round.database, grammar, shifts });
    round.outcome.ignored += made.ignored;
    for (const { entry, why } of made.refused) refuse(round, entry, why);
    await ship(made.fits, made.misfits, shippingOf(round, made, grammar));
  }

  return async (database, delivery) => {
    const progress = unfinished.get(database) ?? newProgress();
    unfinished.set(database, progress);
    const outcome = { delivered: 0, ignored: 0, refused: 0 };
    const round: Round = { database, delivery, progress, outcome, refusals: [], stored: [] };
    const end = tally.begin(database, delivery.entries);
    try {
      await run(round);
      bury(round);
      if (isOver(progress, delivery.entries.at(-1)?.seq ?? 0)) unfinished.delete(database);
      end(null);
      return outcome;
    } catch (error) {
      for (const line of round.stored.flat()) progress.settled.set(line.entry.seq, false);
      end(error);
      bury(round);
      throw error;
    }
  };
}

const newProgress = (): Progress => ({ settled: new Map(), shifts: new Map(), faults: 0, control: null });

/** Forgets what is known of entries up to `last`; true if nothing is left, for a batch may be a part of an earlier one. */
function isOver({ settled, shifts }: Progress, last: number): boolean {
  for (const known of [settled, shifts]) for (const seq of known.keys()) if (seq <= last) known.delete(seq);
  return settled.size === 0 && shifts.size === 0;
}

/** The line with one column written as another type; null if that changes nothing or is impossible. */
function retyped(line: Line, column: string, type: ColumnType, grammar: Grammar): Line | null {
  try {
    const anew = encodeLine(line.entry, withType(line.table, column, type), grammar);
    if (anew === null || anew.fields === line.fields) return null;
    return { ...anew, ms: line.ms, ns: line.ns, news: [...(anew.news ?? []), [column, type]] };
  } catch (error) {
    if (error instanceof Unwritable) return null;
    throw error;
  }
}
