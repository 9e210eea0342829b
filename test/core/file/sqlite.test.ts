/** Opening a file of SQLite that another process is writing to, and what it needs besides the file. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqlite } from "../../../src/core/file/sqlite.ts";

test("a file that another process holds is opened once it is released", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-sqlite-"));
  const path = join(dir, "held.db");
  const holder = Bun.spawn(
    [
      process.execPath,
      "-e",
      `const { Database } = require("bun:sqlite");
       const db = new Database(process.argv[1], { create: true });
       db.run("BEGIN EXCLUSIVE");
       db.run("CREATE TABLE theirs (n)");
       console.log("held");
       setTimeout(() => db.run("COMMIT"), 300);`,
      path,
    ],
    { stdout: "pipe" },
  );
  await holder.stdout.getReader().read();
  const db = openSqlite(path);
  expect(db.query("SELECT count(*) AS n FROM theirs").get()).toEqual({ n: 0 });
  db.close();
  await holder.exited;
  rmSync(dir, { recursive: true });
});

test("what SQLite puts aside lies beside the file: a container with a read-only root has no other place", () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice's-sqlite-"));
  const db = openSqlite(join(dir, "aside.db"));
  const many = `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 40000)
    SELECT hex(randomblob(100)) AS text FROM n ORDER BY text`;
  for (const _ of db.query(many).iterate()) {
    // It has no name.
    expect(openFiles()).toContainEqual(expect.stringMatching(new RegExp(`^${dir}/.*\\(deleted\\)$`)));
    break;
  }
  db.close();
  rmSync(dir, { recursive: true });
});

function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}
