/**
 * A breaker for the far side as a whole: while it is down, one batch asks now and then and the other databases do not each
 * wait for a time-out of their own. What concerns one database (a limit, a poison batch) never comes here.
 *
 * A time-out may be one database's all the same, so that the one that asks is first of all one that has not asked in vain
 * since the last answer: some that always fail must not keep those that would be answered from asking.
 */
import { backoffMs, type Clock } from "../../core/clock.ts";
import { Outage } from "../../core/outage.ts";

export interface Breaker {
  /** @throws {Outage} as the last one, while the far side is known to be down. */
  check(): void;
  /** As `check`; now and then lets one through to ask for a database, and counts on `up` or `down` afterwards. */
  enter(database: string): void;
  /** The far side answered. */
  up(): void;
  /** It did not for this database, or said that it cannot. */
  down(database: string, outage: Outage): void;
}

/** Failures in a row before the breaker opens. */
const failuresMax = 3;
const openMinMs = 1_000;
const openMaxMs = 30_000;
/** Databases that asked in vain and are remembered. */
const vainMax = 10_000;

export function createBreaker(clock: Clock, random: () => number): Breaker {
  let failures = 0;
  let closedUntilMs = 0;
  /** One is asking: the others look again soon, for it may find that all is well. */
  let isAsking = false;
  let last = new Outage("");
  /** Databases that got no answer since the last one. */
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
