/** The table of rejects in the local file: a question that must read all of it leaves others their turn, and misses nothing. */
import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLocalFile } from "../../../src/store/sqlite/local-file.ts";
import { createSqliteQuarantine } from "../../../src/store/sqlite/sqlite-quarantine.ts";

let dir: string;
let db: Database;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-quarantine-"));
  ({ db } = openLocalFile(join(dir, "local.db")));
});

afterEach(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

const rareEvery = 10_000;

function fill(rows: number): void {
  db.run(
    `WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < ${rows})
     INSERT INTO quarantine_events (id, ingested_at, topic, reason, payload)
     SELECT id, '2026-11-01T00:00:00.000000Z', 't', iif(id % ${rareEvery} = 0, 'RARE', 'COMMON'), '{}' FROM ids`,
  );
}

const listed = async (upTo?: number, limit = 100, after = 0) => {
  const rows = await createSqliteQuarantine(db).list({ reason: "RARE", after, upTo, limit });
  return rows.map(({ id }) => id);
};

/** How many turns others have meanwhile. */
async function turnsOf(work: () => Promise<void>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns++;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  isDone = true;
  return turns;
}

test("a rare reason is looked for some rows at a time", async () => {
  fill(50_000);
  const turns = await turnsOf(async () => {
    expect(await listed()).toEqual([10_000, 20_000, 30_000, 40_000, 50_000]);
  });
  expect(turns).toBeGreaterThanOrEqual(20);
});

test("of ids that are named the others are not read", async () => {
  fill(50_000);
  const turns = await turnsOf(async () => {
    const rows = await createSqliteQuarantine(db).list({ ids: [49_990, 49_000], after: 0, limit: 100 });
    expect(rows.map(({ id }) => id)).toEqual([49_000, 49_990]);
  });
  expect(turns).toBeLessThan(10);
});

test("the bounds of a question hold across what is read at a time", async () => {
  fill(50_000);
  expect(await listed(30_000)).toEqual([10_000, 20_000, 30_000]);
  expect(await listed(29_999)).toEqual([10_000, 20_000]);
  expect(await listed(undefined, 2)).toEqual([10_000, 20_000]);
  expect(await listed(undefined, 2, 20_000)).toEqual([30_000, 40_000]);
  expect(await listed(undefined, 2, 50_000)).toEqual([]);
});

test("ids that are gone, also a great many, are passed over", async () => {
  fill(20_000);
  db.run("DELETE FROM quarantine_events WHERE id BETWEEN 5 AND 19990");
  db.run("UPDATE quarantine_events SET id = 9007199254740000 WHERE id = 20000");
  expect(await listed()).toEqual([9_007_199_254_740_000]);
});

test("no id is given again, or a list that was read before would name another reject", async () => {
  fill(3);
  db.run("DELETE FROM quarantine_events");
  db.run(
    "INSERT INTO quarantine_events (ingested_at, topic, reason, payload) VALUES ('2026-11-02', 't', 'RARE', '{}')",
  );
  expect(await listed()).toEqual([4]);
});
