/**
 * The pacer: a token bucket that says whether a message may be sent now.
 *
 * It holds up to one second's worth, so that what a busy moment delayed is caught up, but a host that slept does not
 * wake to a flood. Rejected alternative: one timer per message, because it cannot be faster than the host's timers.
 */

export interface Pacer {
  /** Whether a message may be sent at `nowMs` (monotonic). */
  ready(nowMs: number): boolean;
  /** Takes the allowance for one message. */
  take(): void;
}

/** `rate` in messages per second; 0: no limit. The first message may be sent at once. */
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
