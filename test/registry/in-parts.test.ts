/** Rows that came in any order, or in a rhythm, are in the order of their keys once each part is sorted, and no part is much larger. */
import { expect, test } from "bun:test";
import { inParts } from "../../src/registry/in-parts.ts";

const keys = Array.from({ length: 40_000 }, (_, n) => `tenant-${n % 8}/device-${n}`);
const orders: Record<string, readonly string[]> = {
  "as they are in the file": keys.toSorted(),
  backwards: keys.toSorted().reverse(),
  "each tenant in its turn": keys,
  none: [],
  one: ["acme/d"],
  "all with one key": Array.from({ length: 5_000 }, () => "acme/d"),
};

for (const [name, order] of Object.entries(orders))
  test(name, async () => {
    const parts = await inParts(
      order.map((key) => ({ key })),
      1_000,
    );
    const together = parts.flatMap((part) => part.map(({ key }) => key).sort());
    expect(together).toEqual(order.toSorted());
    if (order === keys) expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(5_000);
  });
