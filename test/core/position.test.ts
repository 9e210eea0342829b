/** The arithmetic of exactly once: what became of entries is the difference of two totals, whoever delivered them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  advanced,
  outcomeBetween,
  positionOf,
  refusedOf,
  replacedBy,
  stillWanted,
} from "../../src/core/position.ts";
import { anEntry } from "../kit/spool.ts";

const count = fc.nat({ max: 1_000_000 });
const outcome = fc.record({ delivered: count, ignored: count, refused: count });
const sumOf = ({ delivered, ignored, refused }: { delivered: number; ignored: number; refused: number }) =>
  delivered + ignored + refused;

test("what was advanced by is what became of the entries, and any other number of entries is another gateway's", () => {
  fc.assert(
    fc.property(outcome, outcome, count, count, (had, settled, seq, skipped) => {
      const before = { epoch: "e", seq, totals: { ...had, skipped: 0 } };
      const after = advanced(before, settled, seq + 1, skipped);
      expect(after).toMatchObject({ epoch: "e", seq: seq + 1, totals: { skipped } });
      expect(advanced(after, settled, seq, skipped).seq).toBe(seq + 1);
      expect(outcomeBetween(before.totals, after.totals, sumOf(settled))).toEqual(settled);
      for (const by of [-1, 1])
        expect(() => outcomeBetween(before.totals, after.totals, sumOf(settled) + by)).toThrow(
          "does another gateway",
        );
    }),
  );
});

test("a row of either database is the same position", () => {
  const totals = { delivered: 1, ignored: 2, refused: 3, skipped: 4 };
  expect(positionOf({ epoch: "e", seq: 9, ...totals })).toEqual({ epoch: "e", seq: 9, totals });
  const texts = { delivered: "1", ignored: "2", refused: "3", skipped: "4" };
  expect(positionOf({ epoch: "e", seq: "9", ...texts })).toEqual({ epoch: "e", seq: 9, totals });
});

const returned = (target: string | null, quarantineId: number | null) => ({ target, quarantineId });

test("refused is what has a reason and is meant for the sink", () => {
  const [plain, ours, theirs, everybodys] = [
    anEntry({ seq: 1 }),
    anEntry({ seq: 2, returned: returned("postgres", null) }),
    anEntry({ seq: 3, returned: returned("influx", null) }),
    anEntry({ seq: 5, returned: returned(null, 7) }),
  ];
  const entries = [plain, ours, theirs, anEntry({ seq: 4 }), everybodys];
  const whys = new Map([1, 2, 3, 5].map((seq) => [seq, `why ${seq}`]));
  expect(refusedOf("postgres", entries, whys)).toEqual([
    { entry: plain, why: "why 1" },
    { entry: ours, why: "why 2" },
    { entry: everybodys, why: "why 5" },
  ]);
  expect(refusedOf("postgres", entries, new Map())).toEqual([]);
});

describe("what takes the place of a rejected row", () => {
  const replayed = (seq: number, quarantineId: number | null) =>
    anEntry({ seq, receivedMs: seq * 10, returned: returned(null, quarantineId) });
  const entries = [anEntry({ seq: 1 }), replayed(2, 7), replayed(3, 7), replayed(4, 8), replayed(5, null)];

  test("names it by its id and by when its message came", () => {
    expect(replacedBy(entries)).toEqual([
      { id: 7, receivedMs: 20 },
      { id: 7, receivedMs: 30 },
      { id: 8, receivedMs: 40 },
    ]);
  });

  test("is stored once, and only if the row was still there", () => {
    expect(stillWanted(entries, [7]).map(({ seq }) => seq)).toEqual([1, 2, 5]);
    expect(stillWanted(entries, []).map(({ seq }) => seq)).toEqual([1, 5]);
  });
});
