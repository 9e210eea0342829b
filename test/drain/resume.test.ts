/** Where a sink goes on after a start, and which of its dead letters are taken back, entry by entry. */
import { describe, expect, test } from "bun:test";
import { goOnFrom, resumeFrom, takeBackUnsettled } from "../../src/drain/resume.ts";
import type { Totals } from "../../src/core/sink.ts";
import { recordingLog } from "../kit/source.ts";

const epochs = [
  { epoch: "a", first: 1 },
  { epoch: "b", first: 6 },
];
const totals = (delivered: number): Totals => ({ delivered, ignored: 0, refused: 0, skipped: 0 });
const position = (epoch: string, seq: number, isAnothers = false) => ({
  ...{ epoch, seq, totals: totals(seq) },
  ...(isAnothers && { isAnothers }),
});

describe("goes on", () => {
  test.each([
    ["where the position is, also at the last entry of its start", [position("a", 5)], 5, totals(5)],
    ["at the newest start of which it has a position", [position("a", 5), position("b", 8)], 8, totals(8)],
    ["at the head, also if that is where it is", [position("b", 10)], 10, totals(10)],
    ["at the end of the start that it knows further than we do", [position("a", 6)], 5, undefined],
    ["likewise at the head", [position("b", 11)], 10, undefined],
    ["where we know it to be, beside another that goes on", [position("a", 6, true)], 7, undefined],
    ["before all that is held, if it knows nothing", [position("z", 3)], 2, undefined],
  ])("%s", (_, positions, seq, held) => {
    expect(resumeFrom({ epochs, head: 10, first: 3 }, positions, 7)).toEqual({ seq, totals: held });
  });

  function moved(held: ReturnType<typeof position>[], cursor = 7) {
    const { log, lines } = recordingLog();
    const calls: unknown[] = [];
    const to = (how: string) => (seq: number, of: Totals) => void calls.push([how, seq, of.delivered]);
    const ahead = { cursor, totals: totals(cursor), moveTo: to("moveTo"), startAnew: to("startAnew") };
    goOnFrom(ahead, held, { epochs, head: 10, first: 3 }, log);
    return { calls, warned: lines.map((line) => line["from"]) };
  }

  test("silently at its position, if that is not behind ours", () => {
    expect(moved([position("b", 7)])).toEqual({ calls: [["moveTo", 7, 7]], warned: [] });
    expect(moved([position("b", 9)])).toEqual({ calls: [["moveTo", 9, 9]], warned: [] });
  });

  test("with a warning that names the first entry that is delivered again", () => {
    expect(moved([position("b", 6)])).toEqual({ calls: [["moveTo", 6, 6]], warned: [7] });
    expect(moved([])).toEqual({ calls: [["startAnew", 2, 0]], warned: [3] });
  });

  test("with what it has more than we knew counted as delivered", () => {
    expect(moved([position("b", 11)])).toEqual({ calls: [["startAnew", 10, 10]], warned: [] });
  });
});

test("dead letters are taken back from the first entry that is not settled and still held, of its start and later ones", () => {
  const takenBack = (settled: number, first: number) => {
    let asked: unknown;
    const deadLetters = { putAll() {}, takeBack: (...all: unknown[]) => void (asked = all) };
    takeBackUnsettled("influx", settled, { epochs, first, deadLetters });
    return asked;
  };
  expect(takenBack(4, 1)).toEqual(["influx", ["a", "b"], 5]);
  expect(takenBack(5, 1)).toEqual(["influx", ["b"], 6]);
  expect(takenBack(0, 8)).toEqual(["influx", ["b"], 8]);
});
