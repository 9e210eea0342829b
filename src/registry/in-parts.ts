/**
 * Many rows as parts whose keys follow one another: each part is then sorted by itself. The rows of a million devices were written to their
 * file as they came, each to a page of its own, which took 60 s of CPU; sorted all at once, they keep messages waiting for a second.
 */

/** Keys that are looked at per part, so that none becomes much larger than the others. */
const sampledPerPart = 8;

/** @param partRows about so many rows a part; after as many the next turn of the event loop is waited for */
export async function inParts<R extends { readonly key: string }>(
  rows: readonly R[],
  partRows: number,
): Promise<R[][]> {
  const starts = startsOf(rows, Math.ceil(rows.length / partRows));
  const parts = Array.from({ length: starts.length + 1 }, (): R[] => []);
  for (const [at, row] of rows.entries()) {
    parts[partOf(row.key, starts)]?.push(row);
    if (at % partRows === partRows - 1) await Bun.sleep(0);
  }
  return parts;
}

/** The first key of every part but the first. By chance, since rows may come in a rhythm. */
function startsOf(rows: readonly { readonly key: string }[], parts: number): string[] {
  if (parts < 2) return [];
  const keyAt = () => rows[Math.floor(Math.random() * rows.length)]?.key ?? "";
  const keys = Array.from({ length: parts * sampledPerPart }, keyAt).sort();
  return keys.filter((_, at) => at > 0 && at % sampledPerPart === 0);
}

/** How many of the parts begin at or before the key. */
function partOf(key: string, starts: readonly string[]): number {
  let [from, to] = [0, starts.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((starts[middle] ?? "") <= key) from = middle + 1;
    else to = middle;
  }
  return from;
}
