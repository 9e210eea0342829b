/**
 * One batch of one database: entries to lines, lines to the target, an outcome for every entry.
 */
import type { Entry } from "../../core/entry.ts";
import { encodeLine, textOf, Unwritable, type Grammar, type Line } from "../line.ts";
import type { Delivery, Outcome, Refusal } from "../sink.ts";
import type { Collisions } from "./collisions.ts";
import { nameFault } from "./database.ts";
import { ship, type Progress, type Shipping } from "./ship.ts";
import type { Tally } from "./tally.ts";
import type { Target } from "./target.ts";
import { lessonIn, type TypeMap } from "./types.ts";

export interface Parts {
  readonly target: Target;
  readonly types: TypeMap;
  readonly collisions: Collisions;
  readonly grammar: Grammar;
  readonly tally: Tally;
}

interface Round {
  readonly database: string;
  readonly delivery: Delivery;
  readonly progress: Progress;
  readonly outcome: { delivered: number; ignored: number; refused: number };
  /** Refused in this round and not in the dead letters yet. */
  readonly refusals: Refusal[];
  /** What was stored in this round; looked at only where the round does not end well. */
  readonly stored: (readonly Line[])[];
}

export function createDeliver(parts: Parts): (database: string, delivery: Delivery) => Promise<Outcome> {
  const { target, types, collisions, grammar, tally } = parts;
  const unfinished = new Map<string, Progress>();

  const encode = (database: string, entry: Entry) =>
    encodeLine(entry, types.table(database, entry.msgType ?? ""), grammar);

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

  /** The line of an entry that is to be sent; null where there is nothing to send. */
  function lineFor(round: Round, entry: Entry): Line | null {
    const { database, progress, outcome } = round;
    const refusedBefore = progress.settled.size === 0 ? undefined : progress.settled.get(entry.seq);
    if (refusedBefore !== undefined) {
      outcome[refusedBefore ? "refused" : "delivered"] += 1;
      return null;
    }
    try {
      const line = encode(database, entry);
      if (line !== null) return collisions.place(line, progress.shifts);
      outcome.ignored += 1;
    } catch (error) {
      if (!(error instanceof Unwritable)) throw error;
      refuse(round, entry, error.message);
    }
    return null;
  }

  async function post({ database, delivery }: Round, lines: readonly Line[]) {
    try {
      const verdict = await target.post(database, lines.map(textOf).join("\n"), delivery.signal);
      tally.answered(verdict);
      return verdict;
    } catch (error) {
      tally.failed();
      throw error;
    }
  }

  function shippingOf(round: Round): Shipping {
    return {
      progress: round.progress,
      post: (lines) => post(round, lines),
      stored(lines) {
        for (const { unsure } of lines) if (unsure !== null) types.confirm(unsure);
        round.outcome.delivered += lines.length;
        round.stored.push(lines);
      },
      refused: (line, why) => refuse(round, line.entry, why),
      learn(line, why) {
        const lesson = lessonIn(why);
        return lesson !== null && types.teach(round.database, line.table.name, lesson);
      },
      again: (line) => ({ ...line, ...encode(round.database, line.entry), time: line.time }),
    };
  }

  async function run(round: Round) {
    const { entries, signal } = round.delivery;
    const fault = nameFault(await target.kind(signal), round.database);
    if (fault !== null) {
      for (const entry of entries) refuse(round, entry, fault);
      return;
    }
    const lines: Line[] = [];
    for (const entry of entries) {
      const line = lineFor(round, entry);
      if (line !== null) lines.push(line);
    }
    await ship(lines, shippingOf(round));
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
      unfinished.delete(database);
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
