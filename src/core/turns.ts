/** Work that waits for its turn, whoever asks for it. */
import type { Clock } from "./clock.ts";

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

/** What people wait for: after this long they have given up, or will. */
const waitMaxMs = 5_000;

/** One at a time. Rejects with what `refusal` makes of the reason if others took so long that the work was not begun in time. */
export function createBriefTurns(
  clock: Pick<Clock, "monoMs">,
  refusal: (why: string) => Error = (why) => new Error(why),
): Turns {
  const inTurn = createTurns();
  return (work) => {
    const askedMs = clock.monoMs();
    return inTurn(() => {
      if (clock.monoMs() - askedMs > waitMaxMs)
        throw refusal(`others ask for much: it waited for more than ${waitMaxMs} ms`);
      return work();
    });
  };
}
