/**
 * A token bucket that says how many messages may be sent now.
 *
 * It holds up to one second's worth, so that what a busy moment delayed is caught up, but a host that slept does not
 * wake to a flood. The alternative, a timer a message, cannot go faster than the timers of the host.
 */

export interface Pacer {
  /** Whether a message may be sent at `nowMs` (monotonic). */
  ready(nowMs: number): boolean;
  /** Takes the allowance for one. */
  take(): void;
}

/** `rate` in messages a second; 0: no limit. The first message may go at once. */
export function createPacer(rate: number, startMs: number): Pacer {
  let allowance = 1;
  let lastMs = startMs;
  return {
    ready(nowMs) {
      if (rate === 0) return true;
      allowance = Math.min(Math.max(1, rate), allowance + ((nowMs - lastMs) * rate) / 1000);
      lastMs = nowMs;
      return allowance >= 1;
    },
    take() {
      allowance -= 1;
    },
  };
}
