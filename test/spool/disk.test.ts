/** A file system that fails: nothing that was committed in its last moment is acknowledged. */
import type { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { committer, refuseFailedDisk, SpoolFull } from "../../src/spool/disk.ts";
import { openSqlite } from "../../src/core/file/sqlite.ts";
import { simulatedClock } from "../kit/clock.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function table(path: string): Database {
  const db = openSqlite(path);
  db.run("CREATE TABLE t (n INTEGER PRIMARY KEY)");
  return db;
}

test("a commit whose file system failed meanwhile is not acknowledged, and nothing is from then on", () => {
  const db = table(join(kit.dir(), "t.db"));
  let isFailed = false;
  const prove = () => {
    if (isFailed) throw new Error("the spool's file system has failed");
  };
  const commit = committer(db, simulatedClock(), () => {}, prove);
  const insert = (n: number) => commit(() => void db.run(`INSERT INTO t VALUES (${n})`));
  insert(1);
  isFailed = true;
  expect(() => insert(2)).toThrow(SpoolFull);
  isFailed = false;
  expect(() => insert(2)).toThrow("file system has failed");
  expect(() => insert(3)).toThrow(SpoolFull);
  expect(db.query("SELECT n FROM t").values()).toEqual([[1], [2]]);
  db.close();
});

test("a file that somebody moved, or for which there is no descriptor, is no failed file system", () => {
  const path = join(kit.dir(), "t.db");
  const db = table(path);
  refuseFailedDisk(db);
  rmSync(`${path}-wal`);
  refuseFailedDisk(db);
  db.close();
});
