/** Somebody else writes to the spool's file: an operator in sqlite3, who forgot to commit. */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { afterEach, expect, test } from "bun:test";
import { SpoolFull } from "../../src/spool/disk.ts";
import { entries, emptyRecord, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

// The deadline is the test: while a write waits for the lock, nothing else in the gateway moves.
test("a locked file is reported soon, nothing of the group is kept, and it is written later", () => {
  const dataDir = kit.dir();
  const spool = kit.spool({ dataDir });
  spool.append(entries(3, 1), emptyRecord);
  const operator = new Database(join(dataDir, "spool.db"));
  operator.run("BEGIN IMMEDIATE");
  const group = entries(2, 4);
  expect(() => spool.append(group, emptyRecord)).toThrow(SpoolFull);
  expect(spool.head).toBe(3);
  operator.run("ROLLBACK");
  operator.close();
  spool.append(group, emptyRecord);
  expect(spool.head).toBe(5);
  expect(spool.read(4).map(({ seq }) => seq)).toEqual([4, 5]);
}, 5_000);
