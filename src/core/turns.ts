/** Work that waits for its turn, whoever asks for it. */

/** Begins `work` when it is its turn, in the order in which it was asked for; what was before may have ended badly. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/** @param atOnce how much of it may be under way */
export function createTurns(atOnce = 1): Turns {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
