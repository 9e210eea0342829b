/**
 * A circuit breaker for the server as a whole: while it is down, one batch probes it now and then, and the other databases do
 * not each wait for a time-out of their own. What concerns one database (a limit, a poison batch) never comes here.
 *
 * A time-out may concern one database all the same. So the batch that probes is preferably of a database that has not
 * probed in vain since the last answer: databases that always fail must not keep the others from being delivered.
 */
import { backoffMs, type Clock } from "../../core/clock.ts";
import { Outage } from "../../core/outage.ts";

export interface Breaker {
  /** @throws {Outage} the last one again, while the server is known to be down. */
  check(): void;
  /** As `check`, but now and then lets a database through to probe; `up` or `down` must follow. */
  enter(database: string): void;
  /** The server answered. */
  up(): void;
  /** The server gave this database no answer, or said that it is down. */
  down(database: string, outage: Outage): void;
}

/** Failures in a row before the breaker opens. */
const failuresMax = 3;
const openMinMs = 1_000;
const openMaxMs = 30_000;
/** Databases that are remembered for having probed in vain. */
const vainMax = 10_000;

export function createBreaker(clock: Clock, random: () => number): Breaker {
  let failures = 0;
  let closedUntilMs = 0;
  /** A probe is under way: the others try again soon, for it may succeed. */
  let isAsking = false;
  let last = new Outage("");
  /** Databases that probed in vain since the last answer. */
  const vain = new Set<string>();

  function check(graceMs = 0) {
    const waitMs = closedUntilMs + graceMs - clock.monoMs();
    if (failures >= failuresMax && waitMs > 0) {
      const retryAfterMs = isAsking ? Math.min(waitMs, openMinMs) : waitMs;
      throw new Outage(last.message, { retryAfterMs, alarm: last.alarm });
    }
  }

  return {
    check: () => check(),
    enter(database) {
      check(vain.has(database) ? openMinMs : 0);
      closedUntilMs = clock.monoMs() + openMaxMs;
      isAsking = true;
    },
    up() {
      failures = 0;
      isAsking = false;
      vain.clear();
    },
    down(database, outage) {
      if (vain.size < vainMax) vain.add(database);
      isAsking = false;
      failures += 1;
      last = outage;
      const pauseMs = backoffMs(Math.max(0, failures - failuresMax), openMinMs, openMaxMs, random);
      closedUntilMs = clock.monoMs() + Math.max(outage.retryAfterMs, pauseMs);
    },
  };
}
