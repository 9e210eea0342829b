/**
 * What only this sink counts for /stats: requests, lines under way, databases that wait for an operator.
 */
import type { Entry } from "../../core/entry.ts";
import { explain } from "../../core/log/log.ts";
import { Outage } from "../../core/outage.ts";
import type { Verdict } from "./answer.ts";

export interface Tally {
  /** A delivery begins. @returns to be called at its end with the error, or null */
  begin(database: string, entries: readonly Entry[]): (error: unknown) => void;
  /** A request of so many lines was answered. */
  answered(verdict: Verdict, lines: number): void;
  /** A request got no answer. */
  failed(): void;
  refused(): void;
  /** Lines were taken that no query shows, for they are older than the retention period. */
  beyondRetention(lines: number): void;
  stats(): Readonly<Record<string, unknown>>;
}

/** Most parked databases that are known, and that are listed by name: /stats is sent each second to whoever has the page open. */
const parkedMax = 1_000;
const parkedNamedMax = 100;

export function createTally(): Tally {
  /** Lines parked and why, by database. */
  const parked = new Map<string, { lines: number; why: string }>();
  /** Lines under way, by database. */
  const underWay = new Map<string, number>();
  let writesOk = 0;
  let writesErr = 0;
  let flushes = 0;
  let refused = 0;
  let beyondRetention = 0;
  let lastError: string | null = null;

  return {
    begin(database, entries) {
      flushes += 1;
      const lines = entries.length;
      underWay.set(database, lines);
      return (error) => {
        underWay.delete(database);
        if (error !== null) lastError = explain(error);
        if (error === null) parked.delete(database);
        else if (error instanceof Outage && error.alarm && parked.size < parkedMax)
          parked.set(database, { lines, why: explain(error) });
      };
    },
    answered(verdict, lines) {
      if (storesSome(verdict, lines)) writesOk += 1;
      else writesErr += 1;
      if ("why" in verdict) lastError = verdict.why;
    },
    failed() {
      writesErr += 1;
    },
    refused() {
      refused += 1;
    },
    beyondRetention(lines) {
      beyondRetention += lines;
    },
    stats() {
      return {
        writes_ok: writesOk,
        writes_err: writesErr,
        flushes,
        buffer_depth: [...underWay.values()].reduce((sum, lines) => sum + lines, 0),
        lines_refused: refused,
        lines_beyond_retention: beyondRetention,
        lines_parked: [...parked.values()].reduce((sum, { lines }) => sum + lines, 0),
        parked: Object.fromEntries(
          [...parked].slice(0, parkedNamedMax).map(([database, { why }]) => [database, why]),
        ),
        last_error: lastError,
      };
    },
  };
}

function storesSome(verdict: Verdict, lines: number): boolean {
  if (verdict.kind === "lines") return verdict.othersStored && verdict.refused.size < lines;
  if (verdict.kind === "some") return verdict.othersStored && (verdict.dropped ?? 0) < lines;
  return verdict.kind === "stored";
}
