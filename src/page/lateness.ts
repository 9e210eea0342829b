/** How late a stream comes: what a slow line brings now was said earlier. */

/** Two clocks go apart, by up to half a millisecond a second while one of them is set right: that is no slow line. */
const driftMs = 0.5;

export interface Lateness {
  /** The next stream may be of a gateway that was started anew. */
  anew(): void;
  /**
   * When the gateway said what comes now, at the latest, on the browser's clock; to be asked of each event, one a second.
   * @param uptimeSeconds whole ones, of the event
   */
  saidMs(nowMs: number, uptimeSeconds: number): number;
}

export function createLateness(): Lateness {
  /** When the gateway began to count its seconds, as far as this stream tells. */
  let bornMs = Number.POSITIVE_INFINITY;
  return {
    anew: () => void (bornMs = Number.POSITIVE_INFINITY),
    saidMs(nowMs, uptimeSeconds) {
      bornMs = Math.min(bornMs + driftMs, nowMs - uptimeSeconds * 1000);
      return Math.min(nowMs, bornMs + (uptimeSeconds + 1) * 1000);
    },
  };
}
