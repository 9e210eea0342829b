/** So many at once, and so many a second lastingly: a bucket of tokens that fills by the monotonic clock. */
import type { Clock } from "../core/clock.ts";

/** @returns takes up to `wanted`, and says how many there were */
export function allowance(clock: Clock, burst: number, perSecond: number): (wanted: number) => number {
  let left = burst;
  let filledMs = clock.monoMs();
  return (wanted) => {
    const nowMs = clock.monoMs();
    left = Math.min(burst, left + ((nowMs - filledMs) / 1000) * perSecond);
    filledMs = nowMs;
    const given = Math.min(wanted, Math.floor(left));
    left -= given;
    return given;
  };
}
