/**
 * An outage of the registry: since when it has not answered, when it is asked again, and for what.
 *
 * It begins with the first query that is not answered and ends with the first that is: no other sign counts. In between
 * one query at a time is tried, with back-off, even if no message asks for a device.
 */
import { backoffMs, type Clock } from "../core/clock.ts";
import type { DeviceId } from "../core/device.ts";
import { explain, type Log } from "../core/log/log.ts";
import type { DeviceAuthCache } from "./auth-cache.ts";

const retryBaseMs = 250;
const retryMaxMs = 5000;

interface RegistryOutage {
  isOn(): boolean;
  /** True if it has lasted for as long as a message may wait: to wait for its end would only fill the intake. */
  isLong(): boolean;
  /** The device that is looked up if nobody asks for one, to learn that the registry is back; null without an outage. */
  probe(): DeviceId | null;
  /** Counts a try: how long to wait before the next. */
  retryAfterMs(): number;
  /** Counts an error, which need not be an outage. */
  note(error: unknown): void;
  begin(probe: DeviceId | null): void;
  /** The registry answered; does nothing without an outage. */
  end(): void;
  /** Calls `run` at the end of every outage. */
  onEnd(run: () => void): void;
  errors(): number;
  lastError(): string | null;
}

interface Parts {
  readonly cache: Pick<DeviceAuthCache, "setAvailable">;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly waitMs: number;
}

export function createOutage({ cache, clock, log, random, waitMs }: Parts): RegistryOutage {
  /** Monotonic; null while the registry answers. */
  let sinceMs: number | null = null;
  let attempt = 0;
  let asked: DeviceId | null = null;
  let errors = 0;
  let lastError: string | null = null;
  const waitingForIt: (() => void)[] = [];

  return {
    isOn: () => sinceMs !== null,
    isLong: () => sinceMs !== null && clock.monoMs() - sinceMs >= waitMs,
    probe: () => asked,
    retryAfterMs: () => backoffMs(attempt++, retryBaseMs, retryMaxMs, random),
    note(error) {
      errors++;
      lastError = explain(error);
    },
    begin(probe) {
      log.warn({ error: lastError }, "the registry does not answer: cached devices go on, unknown ones wait");
      [sinceMs, attempt, asked] = [clock.monoMs(), 0, probe];
      cache.setAvailable(false);
    },
    end() {
      if (sinceMs === null) return;
      log.info({ away_ms: Math.round(clock.monoMs() - sinceMs) }, "the registry answers again");
      [sinceMs, asked, lastError] = [null, null, null];
      cache.setAvailable(true);
      for (const run of waitingForIt) run();
    },
    onEnd: (run) => void waitingForIt.push(run),
    errors: () => errors,
    lastError: () => lastError,
  };
}
