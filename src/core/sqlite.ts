/**
 * SQLite as Sluice uses it: WAL and synchronous=FULL, so that a commit is on the disk when it returns (sqlite.org/pragma.html#pragma_synchronous).
 */
import { Database } from "bun:sqlite";
import { explain } from "./log.ts";

/**
 * Opens (and creates) a database file.
 * @throws where the file is not a database, is damaged, or the directory cannot be written; the message names the file and the mend.
 */
export function openSqlite(path: string, pageSize = 4096): Database {
  try {
    const db = new Database(path, { create: true, strict: true });
    db.run(`PRAGMA page_size = ${pageSize}`);
    db.run("PRAGMA auto_vacuum = INCREMENTAL");
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA wal_autocheckpoint = 4000");
    db.run("PRAGMA journal_size_limit = 67108864");
    return db;
  } catch (cause) {
    throw new Error(
      `cannot open ${path} (${explain(cause)}): see that its directory exists, can be written and has room`,
      { cause },
    );
  }
}
