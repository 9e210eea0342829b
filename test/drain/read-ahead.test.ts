/** What is read ahead, over a spool whose oldest entries may be gone, and where a downstream system says that it stands elsewhere. */
import { expect, test } from "bun:test";
import type { Entry } from "../../src/core/entry.ts";
import { noDetours, type Cursor } from "../../src/core/sink.ts";
import { ReadAhead } from "../../src/drain/read-ahead.ts";
import { byTenant, memorySink } from "../kit/sink.ts";
import { anEntry } from "../kit/spool.ts";

/** Holds the entries from `first` to `head`. @param lanes of the entries from seq 1 on; absent: there is one lane */
function readAheadOver(spool: { first: number; head: number }, lanes?: readonly string[]) {
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
    memorySink(lanes ? { lane: byTenant } : {}),
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
          entries.push(anEntry({ seq: at, tenantId: lanes?.[at - 1] ?? "acme" }));
        return entries;
      },
      cursorOf: () => cursor,
      setCursor: (_, state) => void (cursor = state),
    },
    { entriesMax: 100, bytesMax: 1_000_000 },
  );
  const laneOf = (key?: string) => {
    const lane = [...ahead.lanes].find((each) => key === undefined || each.key === key);
    if (lane === undefined) throw new Error("there is no such lane");
    return lane;
  };
  const deliver = (count: number, key?: string) => {
    const lane = laneOf(key);
    const entries = lane.peek(count, 1_000_000, Number.MAX_SAFE_INTEGER);
    ahead.settle(lane, entries, { delivered: entries.length, ignored: 0, refused: 0 }, 0);
  };
  const sum = () => {
    const { delivered, ignored, refused, skipped, waiting, spooled } = ahead.stats();
    return { skipped, waiting, left: spooled - delivered - ignored - refused - skipped - waiting };
  };
  return { ahead, laneOf, deliver, sum, cursor: () => cursor };
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

test.each([
  ["all", 1, [2, 4], 0],
  ["what the spool still has", 3, [4], 1],
])(
  "a lane that failed while another held the cursor back rejoins with %s of it",
  (_, first, seqs, skipped) => {
    const spool = { first: 1, head: 5 };
    const { ahead, laneOf, deliver, sum, cursor } = readAheadOver(spool, [
      "slow",
      "bad",
      "good",
      "bad",
      "good",
    ]);
    ahead.fill(0);
    deliver(2, "good");
    const bad = laneOf("bad");
    ahead.detour(bad);
    spool.first = first;
    expect([bad.length, cursor().seq]).toEqual([0, 0]);
    ahead.scan(bad, 0);
    expect(bad.isDetoured).toBe(false);
    expect(bad.peek(9, 9_999, 9).map(({ seq }) => seq)).toEqual(seqs);
    expect([cursor().seq, sum()]).toEqual([0, { skipped, waiting: 3 - skipped, left: 0 }]);
    deliver(9, "bad");
    deliver(1, "slow");
    expect([cursor().seq, sum()]).toEqual([5, { skipped, waiting: 0, left: 0 }]);
  },
);

test("of a lane whose entries before the cursor the spool gave up, these are skipped, once", () => {
  const spool = { first: 1, head: 4 };
  const { ahead, laneOf, deliver, sum, cursor } = readAheadOver(spool, ["bad", "good", "bad", "good"]);
  ahead.fill(0);
  const bad = laneOf("bad");
  ahead.detour(bad);
  deliver(2, "good");
  expect([cursor().seq, sum()]).toEqual([4, { skipped: 0, waiting: 2, left: 0 }]);
  spool.first = 4;
  ahead.scan(bad, 0);
  expect([bad.isDetoured, cursor().seq, sum()]).toEqual([false, 4, { skipped: 2, waiting: 0, left: 0 }]);
});
