/**
 * Who has the thread: a batch of ten thousand messages takes a tenth of a second, and sixty of them at once would be six in which
 * no device is answered. So batches are worked off one after the other (core/turns.ts), each in parts, and everybody else is heard in
 * between.
 */

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
