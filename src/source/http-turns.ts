/**
 * Who has the thread: a batch of ten thousand messages takes a tenth of a second, and sixty of them at once would be six in which
 * no device is answered. So batches are worked off one after the other, each in parts, and everybody else is heard in between.
 */

/** Work that is begun when that before it has ended. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
}

/** Some milliseconds' work. */
const partItemsMax = 200;

export async function inParts<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let left = partItemsMax;
  for (const item of items) {
    work(item);
    if (--left > 0) continue;
    left = partItemsMax;
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
}
