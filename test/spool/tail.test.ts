/** The newest groups in memory are bounded by what they really hold, and are there only for sinks that want them. */
import { expect, test } from "bun:test";
import { Tail } from "../../src/spool/tail.ts";
import { anEntry } from "../kit/spool.ts";

/** How many of 100 entries of 1 MB each are still there. */
function heldOf(changes: (text: string) => Parameters<typeof anEntry>[0]): number {
  const tail = new Tail(32 * 1024 * 1024);
  for (let seq = 1; seq <= 100; seq++) tail.push([anEntry({ seq, ...changes("x".repeat(1_000_000)) })]);
  return Array.from({ length: 100 }, (_, i) => tail.from(i + 1)).filter((found) => found !== undefined)
    .length;
}

test.each([
  ["payloads", (payload: string) => ({ payload })],
  ["topics", (topic: string) => ({ topic })],
])("long %s count", (_, changes) => {
  const held = heldOf(changes);
  expect(held).toBeGreaterThan(0);
  expect(held).toBeLessThan(35);
});

test("what every sink has settled goes, in whole groups, and the rest stays", () => {
  const tail = new Tail(32 * 1024 * 1024);
  const put = (...seqs: number[]) => tail.push(seqs.map((seq) => anEntry({ seq })));
  const held = () => [1, 2, 3, 4, 5, 6, 7].filter((seq) => tail.from(seq)?.[0]?.seq === seq);
  put(1, 2, 3);
  put(4, 5);
  put(6);
  tail.settledTo(4);
  expect(held()).toEqual([4, 5, 6]);
  tail.settledTo(6);
  expect(held()).toEqual([]);
  put(7);
  expect(held()).toEqual([7]);
});
