/**
 * Opens a spool's file: checks its integrity and format, and notes that a gateway has started on it. Whatever is
 * wrong comes out as one sentence that names the file and the remedy.
 */
import { join } from "node:path";
import { SQLiteError, type Database } from "bun:sqlite";
import { explain } from "../core/log.ts";
import { openSqlite, quickCheck } from "../core/sqlite.ts";
import { prepareSpool } from "./schema.ts";
import { persistWal, noteState, whatIsMissing } from "./state.ts";

export interface Epoch {
  readonly epoch: string;
  /** The first seq that this start of the gateway wrote, or will write. */
  readonly first: number;
}

/** A file larger than this is not read through at a start; each of its groups is checked when it is read. */
const quickCheckBytesMax = 256 * 1024 * 1024;
export const pageBytes = 4096;
/**
 * How long a write waits if somebody else (an operator's sqlite3) has the file locked. The whole gateway waits with
 * it, and the write is tried again anyway.
 */
export const busyTimeoutMs = 250;
/**
 * How many starts are remembered although none of their entries is held any more: a restored database may still name
 * them.
 */
const pastEpochsMax = 1_000;

/** @param use reads what is needed at once, and throws if the file is damaged; the file is closed again then */
export function openSpoolFile<T>(dataDir: string, use: (db: Database) => T): T {
  const path = join(dataDir, "spool.db");
  const missing = whatIsMissing(dataDir);
  if (missing !== undefined) throw new Error(missing);
  let db: Database | undefined;
  try {
    db = openSqlite(path, pageBytes);
    const verdict = checkUnlessLarge(db);
    if (verdict !== "ok") throw damaged(path, verdict);
    prepareSpool(db, path);
    const used = use(db);
    db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    persistWal(db, true);
    noteState(dataDir, "open");
    return used;
  } catch (error) {
    db?.close();
    const cause = error instanceof SQLiteError ? error : error instanceof Error ? error.cause : undefined;
    if (cause instanceof SQLiteError && /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code ?? ""))
      throw damaged(path, explain(cause), error);
    throw error;
  }
}

/**
 * The last seq ever given: the newest group may have been removed (tools/repair.ts), but its number is never given
 * again.
 */
export function headOf(db: Database, last: number): number {
  const begun = db.query<{ first: number | null }, []>("SELECT max(first) AS first FROM epochs").get()?.first;
  return Math.max(last, (begun ?? 1) - 1);
}

/**
 * Records this start. Forgets starts that wrote nothing, and old ones of whose entries nothing is held any more: to
 * forget a start whose entries still wait for a sink would have them delivered twice.
 * @returns all starts that are remembered, oldest first
 */
export function beginEpoch(db: Database, first: number, oldestHeld: number): Epoch[] {
  const epoch = Bun.randomUUIDv7();
  db.transaction(() => {
    db.query("DELETE FROM epochs WHERE first >= ?").run(first);
    db.query("INSERT INTO epochs (epoch, first) VALUES (?, ?)").run(epoch, first);
    db.query(
      `DELETE FROM epochs WHERE first < (SELECT first FROM epochs ORDER BY first DESC LIMIT 1 OFFSET ?)
         AND first < (SELECT max(first) FROM epochs WHERE first <= ?)`,
    ).run(pastEpochsMax - 1, oldestHeld);
  })();
  return db.query<Epoch, []>("SELECT epoch, first FROM epochs ORDER BY first").all();
}

function checkUnlessLarge(db: Database): string {
  const pages = db.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count ?? 0;
  if (pages * pageBytes > quickCheckBytesMax) return "ok";
  return quickCheck(db);
}

function damaged(path: string, how: string, cause?: unknown): Error {
  const remedy = "run `sluice spool repair`, which keeps what can be read, before anything else touches it";
  return new Error(`${path} is damaged (${how}): ${remedy}`, { cause });
}
