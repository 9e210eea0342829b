/**
 * Exactly once, as arithmetic: the downstream system keeps, in the transaction of the rows, how far it has got. What it says
 * under its lock is held against what we believe; what is in already is not written again, and what became of it is
 * the difference of the totals. So the answer to a lost COMMIT is found by just delivering again.
 */
import { isFor, type Entry } from "./entry.ts";
import type { Outcome, Refusal, Position, Totals } from "./sink.ts";

/** The columns of sluice_position, as PostgreSQL (int8 as text) and SQLite give them. */
export interface PositionRow {
  readonly epoch: string;
  readonly seq: string | number;
  readonly delivered: string | number;
  readonly ignored: string | number;
  readonly refused: string | number;
  readonly skipped: string | number;
}

export function positionOf(row: PositionRow): Position {
  const totals = {
    delivered: Number(row.delivered),
    ignored: Number(row.ignored),
    refused: Number(row.refused),
    skipped: Number(row.skipped),
  };
  return { epoch: row.epoch, seq: Number(row.seq), totals };
}

/** The position after `settled` more, which end at `last`. */
export function advanced(base: Position, settled: Outcome, last: number, skipped: number): Position {
  const totals = {
    delivered: base.totals.delivered + settled.delivered,
    ignored: base.totals.ignored + settled.ignored,
    refused: base.totals.refused + settled.refused,
    skipped,
  };
  return { epoch: base.epoch, seq: Math.max(base.seq, last), totals };
}

/**
 * What became of the first `count` entries of the delivery.
 * @throws if the totals do not add up: another gateway writes under the same epoch
 */
export function outcomeBetween(before: Totals, after: Totals, count: number): Outcome {
  const outcome = {
    delivered: after.delivered - before.delivered,
    ignored: after.ignored - before.ignored,
    refused: after.refused - before.refused,
  };
  if (outcome.delivered + outcome.ignored + outcome.refused !== count) {
    throw new Error(
      `the position in the downstream system does not fit this spool (${JSON.stringify(after)} after ${JSON.stringify(before)} and ${count} entries): does another gateway write from a copy of it?`,
    );
  }
  return outcome;
}

/** Those of the entries that are refused for a reason that is known, by seq. */
export function refusedOf(
  sink: string,
  entries: readonly Entry[],
  whys: ReadonlyMap<number, string>,
): Refusal[] {
  if (whys.size === 0) return [];
  return entries.flatMap((entry) => {
    const why = whys.get(entry.seq);
    return why === undefined || !isFor(sink, entry) ? [] : [{ entry, why }];
  });
}

/** A row of quarantine_events that an entry takes the place of. */
export interface Replaced {
  readonly id: number;
  /** When its message came: a row of another database that happens to have this id is left alone. */
  readonly receivedMs: number;
}

/** The rows that go with these entries. */
export function replacedBy(entries: readonly Entry[]): Replaced[] {
  const replaced: Replaced[] = [];
  for (const { returned, receivedMs } of entries) {
    const id = returned?.quarantineId ?? null;
    if (id !== null) replaced.push({ id, receivedMs });
  }
  return replaced;
}

/**
 * Those to store, now that the rows they take the place of are `gone`: if a row was not there, another gateway or an
 * earlier replay has stored its message, or an operator has discarded it.
 */
export function stillWanted(entries: readonly Entry[], gone: readonly number[]): readonly Entry[] {
  const left = new Set(gone);
  return entries.filter(({ returned }) => {
    const id = returned?.quarantineId ?? null;
    return id === null || left.delete(id);
  });
}
