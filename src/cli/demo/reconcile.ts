/**
 * Reconciles, per outcome, what was sent with what the gateway counted and with what is stored.
 *
 * An outcome is "event" or a reason code. The three numbers are independent: the fleet knows the verdict that each of
 * its messages must get, the gateway counts the verdicts that it gave, and the tables hold the rows.
 */
import type { Database } from "bun:sqlite";
import type { IngestStats } from "../../admin/measurements.ts";
import { table } from "../report.ts";

export type ByOutcome = Readonly<Record<string, number>>;

export interface Reconciliation {
  readonly balanced: boolean;
  readonly outcomes: Readonly<Record<string, { expected: number; counted: number; stored: number }>>;
}

export function reconcile(expected: ByOutcome, counted: ByOutcome, stored: ByOutcome): Reconciliation {
  const names = Object.keys({ ...expected, ...counted, ...stored }).toSorted(eventFirst);
  const rows = names.map((name) => {
    const row = { expected: expected[name] ?? 0, counted: counted[name] ?? 0, stored: stored[name] ?? 0 };
    return [name, row] as const;
  });
  const seen = rows.filter(([, row]) => row.expected + row.counted + row.stored > 0);
  const balanced = seen.every(([, row]) => row.expected === row.counted && row.counted === row.stored);
  return { balanced, outcomes: Object.fromEntries(seen) };
}

/** The reconciliation as a table, with a mark on each line that does not agree. */
export function reconciliationTable({ outcomes }: Reconciliation): string {
  const lines = Object.entries(outcomes).map(([name, { expected, counted, stored }]) => {
    const agrees = expected === counted && counted === stored;
    return [name, String(expected), String(counted), String(stored), agrees ? "" : "<- differs"];
  });
  return table([["outcome", "sent", "counted", "stored", ""], ...lines]);
}

/** The verdicts that a gateway ever gave. A redelivery is an outcome of its own: a fleet expects none. */
export function verdictsOf({ accepted, duplicate, rejected }: IngestStats): ByOutcome {
  return { ...rejected, event: accepted, duplicate };
}

/** The rows of the local store. */
export function rowsOf(db: Database): ByOutcome {
  const rows = db
    .query<{ outcome: string; rows: number }, []>(
      `SELECT 'event' AS outcome, count(*) AS rows FROM raw_events WHERE accepted
       UNION ALL SELECT reason, count(*) FROM quarantine_events GROUP BY reason`,
    )
    .all();
  return Object.fromEntries(rows.map((row) => [row.outcome, row.rows]));
}

/** What came since `before`. */
export function since(before: ByOutcome, now: ByOutcome): ByOutcome {
  return Object.fromEntries(
    Object.keys({ ...before, ...now }).map((name) => [name, (now[name] ?? 0) - (before[name] ?? 0)]),
  );
}

function eventFirst(a: string, b: string): number {
  if (a === "event" || b === "event") return a === b ? 0 : a === "event" ? -1 : 1;
  return a < b ? -1 : 1;
}
