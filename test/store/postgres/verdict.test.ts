/** What follows from a trial, case by case. */
import { describe, expect, test } from "bun:test";
import type { Entry } from "../../../src/core/entry.ts";
import { provenBy, verdictOf } from "../../../src/store/postgres/trial-verdict.ts";
import type { Table } from "../../../src/store/postgres/write.ts";
import { deferred, event, reject } from "../../contract/entries.ts";

const isTried = (entry: Entry) => entry.kind !== "deferred";
const note = (code: string) => ({ code, message: "no", detail: "Failing row contains (secret)", table: "" });

interface Case {
  readonly entries: readonly Entry[];
  /** Code by seq. */
  readonly refused: Readonly<Record<number, string>>;
  /** The trial was ended after so many. */
  readonly tried?: number;
  readonly proven?: readonly Table[];
  readonly strikes?: Map<number, number>;
}

function judge({ entries, refused, tried, proven = ["raw_events"], strikes = new Map() }: Case) {
  const inTrial = entries.filter(isTried).slice(0, tried);
  const trial = {
    passed: inTrial.filter(({ seq }) => refused[seq] === undefined),
    refused: new Map(Object.entries(refused).map(([seq, code]) => [Number(seq), note(code)])),
  };
  return verdictOf({ entries, isTried, trial, proven: new Map(proven.map((table) => [table, 0])), strikes });
}

describe("an entry that is refused", () => {
  test("is refused for good if another passes in its table, in PostgreSQL's words without the row", () => {
    const { count, refusals, held } = judge({
      entries: [event(1), event(2), event(3)],
      refused: { 2: "23514" },
    });
    expect({ count, held }).toEqual({ count: 3, held: undefined });
    expect([...refusals]).toEqual([[2, "23514 no"]]);
  });

  test("is held if none does, and what comes before it is settled", () => {
    const { count, refusals, held } = judge({
      entries: [reject(1), deferred(2), event(3), event(4)],
      refused: { 3: "23514", 4: "23514" },
      proven: ["quarantine_events", "quarantine_counters_minute"],
    });
    expect(count).toBe(2);
    expect(refusals.size).toBe(0);
    expect(held).toMatchObject({ entry: { seq: 3 }, unproven: ["raw_events"] });
  });

  test("needs a proof in each of its tables", () => {
    const entries = [reject(1, { mirror: true })];
    const { held } = judge({ entries, refused: { 1: "23514" }, proven: ["quarantine_events"] });
    expect(held?.unproven).toEqual(["raw_events", "quarantine_counters_minute"]);
  });

  test("as a reject is proven by any event, unless it is the table that is at fault", () => {
    const entries = [reject(1), event(2)];
    expect([...judge({ entries, refused: { 1: "23514" } }).refusals.keys()]).toEqual([1]);
    expect(judge({ entries, refused: { 1: "42703" } })).toMatchObject({
      count: 0,
      held: { entry: { seq: 1 } },
    });
  });
});

describe("an entry for whose time of arrival there is no partition", () => {
  const noPartition = {
    code: "23514",
    message: 'no partition of relation "raw_events" found for row',
    detail: "Partition key of the failing row contains (ingested_at) = (2026-11-28 00:00:00+00).",
    table: "raw_events",
  };
  const judgeAt = (passedMs: number, refused: Partial<typeof noPartition> = {}) => {
    const [bad, good] = [event(1, { receivedMs: 2_000 }), event(2, { receivedMs: passedMs })];
    const trial = { passed: [good], refused: new Map([[1, { ...noPartition, ...refused }]]) };
    const proven = provenBy([good]);
    return verdictOf({ entries: [bad, good], isTried, trial, proven, strikes: new Map() });
  };

  test("waits while only earlier ones pass: all that comes later would be refused, too", () => {
    expect(judgeAt(1_000)).toMatchObject({ count: 0, held: { entry: { seq: 1 }, unproven: ["raw_events"] } });
    const byDay = noPartition.detail.replace("(ingested_at)", "(date_trunc('day'::text, ingested_at))");
    const german = {
      message: "keine Partition von Relation »raw_events« für die Zeile gefunden",
      detail:
        "Partitionierungsschlüssel der fehlgeschlagenen Zeile enthält (ingested_at) = (2026-11-28 00:00:00+00).",
    };
    for (const other of [{ detail: byDay }, german]) expect(judgeAt(1_000, other).count).toBe(0);
  });

  test("is refused for good if a later one passes", () => {
    expect([...judgeAt(2_000).refusals.keys()]).toEqual([1]);
  });

  test("is refused like any other if the key is the device's, or the table not ours", () => {
    const detail = noPartition.detail.replace("(ingested_at)", "(tenant_id, ingested_at)");
    for (const other of [{ detail }, { table: "raw_events_acme" }])
      expect([...judgeAt(1_000, other).refusals.keys()]).toEqual([1]);
  });
});

test("an error that may be over in a moment is believed the fifth time, and all of a batch are counted at once", () => {
  const strikes = new Map<number, number>();
  const once = () =>
    judge({ entries: [event(1), event(2), event(3)], refused: { 1: "XX000", 3: "40P01" }, strikes });
  for (let i = 0; i < 4; i++)
    expect(once()).toMatchObject({ count: 0, held: { entry: { seq: 1 }, unproven: [] } });
  expect([...once().refusals.keys()]).toEqual([1, 3]);
});

test("a full disk is no entry's fault, however often smaller ones find room", () => {
  const strikes = new Map<number, number>();
  for (let i = 0; i < 20; i++)
    expect(judge({ entries: [event(1), event(2)], refused: { 1: "53100" }, strikes })).toMatchObject({
      count: 0,
      held: { entry: { seq: 1 }, unproven: [] },
    });
});

test("what a cancelled trial did not come to stays, and what passed before is settled", () => {
  const entries = [event(1), deferred(2), event(3), event(4), event(5)];
  const { count, held } = judge({ entries, refused: { 3: "57014" }, tried: 2 });
  expect({ count, held: held?.entry.seq }).toEqual({ count: 2, held: 3 });
  expect(judge({ entries, refused: {}, tried: 2 }).count).toBe(3);
});
