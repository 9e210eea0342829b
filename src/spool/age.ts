/**
 * The time by which undelivered entries, dead letters and the rows of the local store are old, kept across restarts.
 *
 * A host that boots with its clock years ahead is believed (core/host-clock.ts), and the first thing stored under that time would at the
 * next start be the newest: everything before it would be old, and go. So the age that was reached is kept in the spool, and a start adds
 * at most a week to it, however long the gateway was off: what is kept for too long takes only room, which has bounds of its own.
 */
import type { Database } from "bun:sqlite";
import { ageClock, type Clock } from "../core/clock.ts";

export interface Age {
  nowMs(): number;
  /** Writes it down, once an hour. */
  keep(): void;
}

const offMsMax = 7 * 86_400_000;
/** Not at the start: a wrong clock would come a week further with each try of a gateway that cannot stay up. */
const keepEveryMs = 3_600_000;

/**
 * A first run has nothing of before, and may begin with a clock that is months behind until a time service sets it, so its clock counts as it is
 * an hour later: rows would stay longer by those months for good.
 * @param newestMs when the newest entry was received; undefined if there is none
 */
export function keptAge(db: Database, clock: Clock, newestMs: number | undefined): Age {
  const kept = db.query<{ ms: number }, []>("SELECT ms FROM age").get()?.ms;
  const put = db.query("INSERT OR REPLACE INTO age (id, ms) VALUES (1, ?)");
  const sinceNewest = ageClock(clock, newestMs);
  let sinceKept = kept === undefined ? sinceNewest : ageClock(clock, kept + offMsMax);
  let isFirst = kept === undefined && newestMs === undefined;
  let writtenMs = kept === undefined && !isFirst ? Number.NEGATIVE_INFINITY : clock.monoMs();
  return {
    nowMs: () => Math.min(sinceNewest(), sinceKept()),
    keep() {
      if (clock.monoMs() - writtenMs < keepEveryMs) return;
      if (isFirst) sinceKept = ageClock(clock, undefined);
      isFirst = false;
      put.run(Math.round(sinceKept()));
      writtenMs = clock.monoMs();
    },
  };
}
