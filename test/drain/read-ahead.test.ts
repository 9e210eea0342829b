/** What is read ahead, over a spool whose oldest entries may be gone, and where a downstream system says that it stands elsewhere. */
import { expect, test } from "bun:test";
import type { Entry } from "../../src/core/entry.ts";
import { noDetours, type Cursor } from "../../src/core/sink.ts";
import { ReadAhead } from "../../src/drain/read-ahead.ts";
import { memorySink } from "../kit/sink.ts";
import { anEntry } from "../kit/spool.ts";

/** Holds the entries from `first` to `head`. */
function readAheadOver(spool: { first: number; head: number }) {
  let cursor: Cursor = {
    start: 0,
    seq: 0,
    delivered: 0,
    ignored: 0,
    refused: 0,
    skipped: 0,
    detours: noDetours,
  };
  const ahead = new ReadAhead(
    memorySink(),
    {
      ...{ epochs: [], startedAt: 1, beginEpoch() {}, onAppend() {} },
      deadLetters: { putAll() {}, takeBack() {} },
      get head() {
        return spool.head;
      },
      get first() {
        return spool.first;
      },
      read(seq) {
        const entries: Entry[] = [];
        for (let at = Math.max(seq, spool.first); at <= spool.head && entries.length < 5; at++)
          entries.push(anEntry({ seq: at }));
        return entries;
      },
      cursorOf: () => cursor,
      setCursor: (_, state) => void (cursor = state),
    },
    { entriesMax: 100, bytesMax: 1_000_000 },
  );
  const deliver = (count: number) => {
    const [lane] = ahead.lanes;
    if (lane === undefined) throw new Error("there is nothing");
    const entries = lane.peek(count, 1_000_000, Number.MAX_SAFE_INTEGER);
    ahead.settle(lane, entries, { delivered: entries.length, ignored: 0, refused: 0 }, 0);
  };
  const sum = () => {
    const { delivered, ignored, refused, skipped, waiting, spooled } = ahead.stats();
    return { skipped, waiting, left: spooled - delivered - ignored - refused - skipped - waiting };
  };
  return { ahead, deliver, sum, cursor: () => cursor };
}

test("what the spool gave up is passed over behind what was read before it, and not while that waits", () => {
  const spool = { first: 1, head: 5 };
  const { ahead, deliver, sum, cursor } = readAheadOver(spool);
  ahead.fill(0);
  [spool.first, spool.head] = [11, 13];
  expect(ahead.fill(0)).toBe(false);
  expect([cursor().seq, sum()]).toEqual([0, { skipped: 0, waiting: 13, left: 0 }]);
  deliver(5);
  ahead.fill(0);
  expect([cursor().seq, sum()]).toEqual([10, { skipped: 5, waiting: 3, left: 0 }]);
  deliver(3);
  expect([cursor().seq, sum()]).toEqual([13, { skipped: 5, waiting: 0, left: 0 }]);
});

test("where the position is further back the spool is told at once, that it trims nothing of what comes again", () => {
  const { ahead, deliver, sum, cursor } = readAheadOver({ first: 1, head: 5 });
  ahead.fill(0);
  deliver(5);
  expect(cursor().seq).toBe(5);
  ahead.moveTo(2, { delivered: 2, ignored: 0, refused: 0, skipped: 0 });
  expect([cursor().seq, sum()]).toEqual([2, { skipped: 0, waiting: 3, left: 0 }]);
});

test("where there are no totals that fit the books begin there, and balance", () => {
  const { ahead, deliver, sum } = readAheadOver({ first: 1, head: 5 });
  ahead.fill(0);
  deliver(3);
  ahead.startAnew(2, { delivered: 0, ignored: 0, refused: 0, skipped: 0 });
  expect([ahead.stats().spooled, sum().left]).toEqual([3, 0]);
  ahead.fill(0);
  deliver(3);
  expect(sum()).toEqual({ skipped: 0, waiting: 0, left: 0 });
});
