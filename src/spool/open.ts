/**
 * Opens a spool's file: checks its integrity and format. Whatever is wrong comes out as one sentence that names the file and the remedy.
 */
import { join } from "node:path";
import { type Database, SQLiteError } from "bun:sqlite";
import { afterDmesg, cureOf } from "../core/file/owner.ts";
import { explain } from "../core/log/log.ts";
import { damageIn, openSqlite, pageBytes, quickCheck, removeSqlite } from "../core/file/sqlite.ts";
import { prepareSpool } from "./schema.ts";
import { noteState, whatIsMissing } from "./state.ts";

/** A file larger than this is not read through at a start; each of its groups is checked when it is read. */
const quickCheckBytesMax = 256 * 1024 * 1024;
/**
 * How long a write waits if somebody else (an operator's sqlite3) has the file locked. The whole gateway waits with
 * it, and the write is tried again anyway.
 */
export const busyTimeoutMs = 250;

/** @param use reads what is needed at once, and throws if the file is damaged; the file is closed again then */
export function openSpoolFile<T>(dataDir: string, use: (db: Database) => T): T {
  const path = join(dataDir, "spool.db");
  const missing = whatIsMissing(dataDir);
  if (missing !== undefined) throw new Error(missing);
  let db: Database | undefined;
  try {
    db = openSqlite(path, true);
    const verdict = checkUnlessLarge(db);
    if (verdict !== "ok") throw damaged(path, verdict);
    prepareSpool(db, path);
    const used = use(db);
    db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    noteState(dataDir, "open");
    for (const tool of ["repairing", "padded"]) removeLeft(`${path}.${tool}`);
    return used;
  } catch (error) {
    db?.close();
    const damage = damageIn(error);
    if (damage !== undefined) throw damaged(path, explain(damage), damage);
    if (error instanceof SQLiteError)
      throw new Error(`${path} cannot be opened (${explain(error)}): ${cureOf(path, error)}`, {
        cause: error,
      });
    throw error;
  }
}

/** What a killed repair or verify left, which may be as large as the spool. Nobody needs it, so no start fails because it stays. */
function removeLeft(path: string): void {
  try {
    removeSqlite(path);
  } catch {
    // The next start tries again.
  }
}

/**
 * The last seq ever given: the newest group may have been removed (tools/repair.ts), but its number is never given
 * again.
 */
export function headOf(db: Database): number {
  const seqs = "SELECT max(last) AS seq FROM groups UNION ALL SELECT max(first) - 1 FROM epochs";
  return db.query<{ seq: number | null }, []>(`SELECT max(seq) AS seq FROM (${seqs})`).get()?.seq ?? 0;
}

function checkUnlessLarge(db: Database): string {
  const pages = db.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count ?? 0;
  if (pages * pageBytes > quickCheckBytesMax) return "ok";
  return quickCheck(db);
}

function damaged(path: string, how: string, cause?: unknown): Error {
  const remedy = "run `sluice spool repair`, which keeps what can be read, before anything else touches it";
  return new Error(`${path} is damaged, or its disk does not read it (${how}): ${afterDmesg(remedy)}`, {
    cause,
  });
}
