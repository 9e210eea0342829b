/**
 * How many lines a request may have: halved after a request that had no answer in time or was too large, for the same body
 * would never get through; doubled again as requests are answered.
 *
 * If a size that was doubled to gets no answer, the next try at it waits for twice as many answers, so that a slow network is
 * not blocked every other request. A server that was only away is back at full size after a few requests.
 */
export interface Pace {
  readonly lines: number;
  /** A request of so many lines was answered. */
  taken(lines: number): void;
  /** One of so many lines was not in time, or was too large. */
  tooMuch(lines: number): void;
}

const patienceMax = 64;

export function createPace(max: number): Pace {
  let lines = max;
  /** The size was doubled, and no request has been answered since. */
  let isTrying = false;
  let patience = 1;
  let answers = 0;

  return {
    get lines() {
      return lines;
    },
    taken(answered) {
      // A request well below the size says nothing about it.
      if (answered * 2 <= lines) return;
      if (isTrying) patience = 1;
      isTrying = false;
      answers += 1;
      if (lines >= max || answers < patience) return;
      lines = Math.min(max, lines * 2);
      isTrying = true;
      answers = 0;
    },
    tooMuch(attempted) {
      const half = Math.max(1, attempted >> 1);
      if (half >= lines) return;
      if (isTrying) patience = Math.min(patienceMax, patience * 2);
      isTrying = false;
      answers = 0;
      lines = half;
    },
  };
}
