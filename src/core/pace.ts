/**
 * How large a request (or the answer that it asks for) may be, in lines, entries or bytes: halved after one that was not through in
 * time or was too large, for the same again would never get through; doubled again as requests are answered.
 *
 * If a size that was doubled to gets no answer, the next try at it waits for twice as many answers, so that a slow network is
 * not blocked every other request. A server that was only away is back at full size after a few requests.
 */
export interface Pace {
  readonly size: number;
  /** A request of this size was answered. */
  taken(answered: number): void;
  /** One of this size was not in time, or was too large. */
  tooMuch(attempted: number): void;
}

const patienceMax = 64;

export function createPace(max: number): Pace {
  let size = max;
  /** It was doubled, and no request has been answered since. */
  let isTrying = false;
  let patience = 1;
  let answers = 0;

  return {
    get size() {
      return size;
    },
    taken(answered) {
      // A request well below the size says nothing about it.
      if (answered * 2 <= size) return;
      if (isTrying) patience = 1;
      isTrying = false;
      answers += 1;
      if (size >= max || answers < patience) return;
      size = Math.min(max, size * 2);
      isTrying = true;
    },
    tooMuch(attempted) {
      const half = Math.max(1, attempted >> 1);
      if (half >= size) return;
      if (isTrying) patience = Math.min(patienceMax, patience * 2);
      isTrying = false;
      answers = 0;
      size = half;
    },
  };
}
