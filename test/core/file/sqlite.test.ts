/** Opening a file of SQLite that another process is writing to. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
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
