/** What the cursors write: only what moved, and all of it. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import type { Cursor } from "../../src/core/sink.ts";
import { Cursors } from "../../src/spool/cursors.ts";
import { prepareSpool } from "../../src/spool/schema.ts";

const standing = (seq: number, waiting: readonly number[]): Cursor => ({
  start: 0,
  seq,
  delivered: seq,
  ignored: 0,
  refused: 0,
  skipped: 0,
  detours: new Map(waiting.map((n, lane) => [`lane-${lane}`, { seq: 1, waiting: n }] as const)),
});

function setUp() {
  const db = new Database(":memory:");
  prepareSpool(db, ":memory:");
  return startOn(db);
}

function startOn(db: Database) {
  const cursors = new Cursors(db);
  const total = () => db.query<{ n: number }, []>("SELECT total_changes() AS n").get()?.n ?? 0;
  /** Rows written for a state. */
  function keep(state: Cursor, commits = true): number {
    const before = total();
    cursors.set("influx", state);
    db.run("BEGIN");
    cursors.write();
    const rows = total() - before;
    db.run(commits ? "COMMIT" : "ROLLBACK");
    if (commits) cursors.written();
    return rows;
  }
  const found = () =>
    [...(new Cursors(db).get("influx")?.detours.values() ?? [])].map((d) => d.waiting).toSorted();
  return { cursors, keep, found, restart: () => startOn(db) };
}

test("of many lanes on detours, only those that moved are written", () => {
  const { keep, found } = setUp();
  const lanes = Array.from({ length: 1_000 }, () => 5);
  expect(keep(standing(10, lanes))).toBe(1_001);
  lanes[7] = 6;
  expect(keep(standing(11, lanes))).toBe(2);
  expect(keep(standing(12, lanes))).toBe(1);
  expect(found()).toEqual(lanes.toSorted());
});

test("lanes that rejoined are gone", () => {
  const { keep, found } = setUp();
  keep(standing(10, [1, 2, 3]));
  keep(standing(11, [1]));
  expect(found()).toEqual([1]);
  keep(standing(12, []));
  expect(found()).toEqual([]);
});

test("lanes that rejoin after a restart are gone at the next one too, and those that stay are not written again", () => {
  const { keep, restart } = setUp();
  keep(standing(10, [7, 8, 9]));
  const again = restart();
  expect(again.keep(standing(11, [7, 8]))).toBe(2);
  expect(again.found()).toEqual([7, 8]);
});

test("the entry at which a lane left is not settled", () => {
  const { cursors, keep } = setUp();
  keep(standing(10, []));
  expect(cursors.settledBy(["influx"])).toBe(10);
  keep(standing(10, [3]));
  expect(cursors.settledBy(["influx"])).toBe(0);
});

test("what a transaction that failed had written is written again", () => {
  const { cursors, keep, found } = setUp();
  keep(standing(10, [1, 2]));
  keep(standing(11, [9]), false);
  expect([found(), cursors.dirty]).toEqual([[1, 2], true]);
  keep(standing(11, [9]));
  expect([found(), cursors.dirty]).toEqual([[9], false]);
});
