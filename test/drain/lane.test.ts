/** What a lane counts is what it holds, at every step: of entries that the spool has written and of others, of any text, whoever writes them meanwhile. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Entry } from "../../src/core/entry.ts";
import { Lane } from "../../src/drain/lane.ts";
import { decodeGroup, encodeGroup } from "../../src/spool/codec.ts";
import { anEntry } from "../kit/spool.ts";

const payload = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("", "\n", "\ud800", "漢\n"),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ payload, from: fc.constantFrom("judge", "spool", "disk") }) },
  { weight: 2, arbitrary: fc.record({ drop: fc.nat({ max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ refuse: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant("empty" as const) },
);

function comesFrom(from: string, entry: Entry): Entry {
  if (from === "judge") return entry;
  const group = encodeGroup([entry]);
  return from === "spool" ? entry : (decodeGroup(group, entry.seq, 1)[0] ?? entry);
}

test("a lane's bytes are those of the payloads that it holds", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const lane = new Lane("");
      const held: Entry[] = [];
      for (const [i, it] of steps.entries()) {
        if (it === "empty") expect(lane.empty()).toEqual(held.splice(0));
        else if ("drop" in it) {
          held.splice(0, it.drop);
          lane.drop(it.drop, 0);
        } else if ("refuse" in it) {
          // A dead letter is written as a group of its own.
          const refused = held[it.refuse % held.length];
          if (refused !== undefined) encodeGroup([refused]);
        } else {
          const entry = comesFrom(it.from, anEntry({ seq: i + 1, payload: it.payload, bytes: 0 }));
          held.push(entry);
          expect(lane.push(entry, 0)).toBe(Buffer.byteLength(entry.payload));
        }
        const { length, bytes } = lane;
        expect(lane.isFullFor({ batchMax: length, batchBytesMax: bytes + 1 })).toBe(true);
        expect(lane.isFullFor({ batchMax: length + 1, batchBytesMax: bytes })).toBe(true);
        expect(lane.isFullFor({ batchMax: length + 1, batchBytesMax: bytes + 1 })).toBe(false);
        expect(lane.length).toBe(held.length);
        expect(lane.bytes).toBe(held.reduce((sum, entry) => sum + Buffer.byteLength(entry.payload), 0));
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([
  ["bytes", 9, 30, 99, 3],
  ["bytes, and not one more", 9, 29, 99, 2],
  ["bytes, and one at least", 9, 5, 99, 1],
  ["count", 2, 99, 99, 2],
  ["count, and one at least", 0, 99, 99, 1],
  ["last seq", 9, 99, 13, 3],
  ["last seq, and one at least", 9, 99, 10, 1],
])("a batch is as large as may be by its %s", (_, countMax, bytesMax, last, length) => {
  const lane = new Lane("");
  for (let seq = 11; seq <= 15; seq++) lane.push(anEntry({ seq, payload: "x".repeat(10) }), 0);
  expect(lane.peek(countMax, bytesMax, last)).toHaveLength(length);
  expect(lane.length).toBe(5);
});
