/** Makes a spool's file as small as possible: every free page goes back to the file system. */
import type { Database } from "bun:sqlite";
import { afterDmesg } from "../../core/file/owner.ts";
import { explain } from "../../core/log/log.ts";
import { openSqlite, quickCheck } from "../../core/file/sqlite.ts";
import { whileLocked } from "../lock.ts";
import { attempt } from "./salvage.ts";
import { withFile } from "./spool-file.ts";

/** @throws if the spool is in use or is damaged; nothing is changed then */
export function compactSpool(dataDir: string): void {
  whileLocked(dataDir, () => {
    // Its log stays: that of a spool that was not closed would be missed at the next start.
    const db = openSqlite(withFile(dataDir, sound), true);
    try {
      db.run("VACUUM");
      db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      db.close();
    }
  });
}

/** The file's path. @throws if its pages are damaged */
function sound(db: Database, path: string): string {
  const check = attempt(() => quickCheck(db));
  if (check.ok && check.value === "ok") return path;
  const how = check.ok ? check.value : explain(check.error);
  const remedy = afterDmesg("run `sluice spool repair` first");
  throw new Error(`${path} is damaged, or its disk does not read it (${how}): ${remedy}`);
}
