/** The newest groups in memory are bounded by what they really hold. */
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
