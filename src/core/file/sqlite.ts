/**
 * SQLite as Sluice uses it: WAL and synchronous=FULL, so that a commit is on the disk when it returns (sqlite.org/pragma.html#pragma_synchronous).
 */
import { constants, Database, SQLiteError } from "bun:sqlite";
import { closeSync, existsSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { makeSharedMemoryInPlace } from "./in-place.ts";
import { explain } from "../log/log.ts";
import { cureOf, giveToOwner } from "./owner.ts";

export const pageBytes = 4096;

/**
 * Sets whether SQLite keeps the write-ahead log when it closes the file, which it also does when the process exits (a second signal, an
 * unexpected error).
 */
export function keepLog(db: Database, keeps: boolean): void {
  db.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, keeps ? 1 : 0);
}

/**
 * Opens (and creates) a database file.
 * @param keepsLog from the first moment on: whoever misses a log that is gone must not be the one who took it away, as by an opening that failed
 * on a full disk
 * @throws if the file is not a database, is damaged, or the directory cannot be written; the message names the file and the fix.
 */
export function openSqlite(path: string, keepsLog = false): Database {
  let db: Database | undefined;
  try {
    const isNew = !existsSync(path);
    if (path !== ":memory:") makeSharedMemoryInPlace(path);
    db = new Database(path, { create: true, strict: true });
    if (keepsLog) keepLog(db, true);
    if (isNew && path !== ":memory:") giveToOwner(path);
    // First: the next ones, too, may find another process at the file.
    db.run("PRAGMA busy_timeout = 5000");
    db.run(`PRAGMA page_size = ${pageBytes}`);
    db.run("PRAGMA auto_vacuum = INCREMENTAL");
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA wal_autocheckpoint = 4000");
    db.run("PRAGMA journal_size_limit = 67108864");
    if (path !== ":memory:") putAsideIn(db, dirname(path));
    return db;
  } catch (cause) {
    db?.close();
    throw new Error(`cannot open ${path} (${explain(cause)}): ${cureOf(path, cause)}`, { cause });
  }
}

/**
 * What SQLite puts aside for a while (to take a large statement back, to sort) goes there, and not to /var/tmp or /tmp: a container whose root is
 * read-only has no other place for files, and what is in memory has no bound.
 * It is one directory of the process, set anew by each file: all of ours lie in DATA_DIR.
 */
function putAsideIn(db: Database, directory: string): void {
  db.run(`PRAGMA temp_store_directory = '${directory.replaceAll("'", "''")}'`);
}

const foreignShownMax = 5;

/**
 * What is read of another program's file is nothing, so that it would pass for a new one of ours.
 * @param ours tables of which a file of ours has one, unless it is new
 * @returns what is wrong, and what to do; undefined: nothing is
 */
export function whyForeign(db: Database, ours: readonly string[]): string | undefined {
  const names = db
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => name);
  if (names.length === 0 || names.some((name) => ours.includes(name))) return undefined;
  const shown = names.slice(0, foreignShownMax).join(", ") + (names.length > foreignShownMax ? ", …" : "");
  return `it is a database, but not the one that belongs here (its tables: ${shown}): put the site's own, or a backup of it, in its place`;
}

/**
 * Says that the log beside a closed file belongs to another file, which this one replaced; else undefined. SQLite cannot tell, and merges
 * the two: only a file that never had a log is known, as a copy by VACUUM INTO (a backup) or `.clone` is
 * (sqlite.org/fileformat.html, 1.3.3).
 * @param besides what else is of the other one
 */
export function whyOthersLog(path: string, besides = ""): string | undefined {
  if (!statSync(`${path}-wal`, { throwIfNoEntry: false })?.size || readVersionOf(path) !== 1)
    return undefined;
  return `${path}-wal belongs to another file than the ${path} that is there, as after a restore in place of one that was not closed: remove ${path}-wal${besides} (what only that log has is lost then), or put the other file back`;
}

/** undefined: there is none, or it cannot be read, which whoever opens it will say. */
function readVersionOf(path: string): number | undefined {
  let fd: number | undefined;
  try {
    const version = Buffer.alloc(1);
    readSync((fd = openSync(path, "r")), version, 0, 1, 19);
    return version[0];
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Removes a database file that nobody has open, and what lies beside it. */
export function removeSqlite(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

/** The error by which SQLite says that a file is damaged, or none of its own; undefined if it is another. */
export function damageIn(error: unknown): SQLiteError | undefined {
  const said = saidBySqlite(error);
  return said !== undefined && /^SQLITE_(CORRUPT|NOTADB)/.test(said.code ?? "") ? said : undefined;
}

/**
 * The error by which SQLite says that the disk does not read what is there (EIO, as of a bad sector); undefined if it is another. It says so as it opens
 * a file; within a statement it calls the same SQLITE_CORRUPT.
 */
export function unreadIn(error: unknown): SQLiteError | undefined {
  const said = saidBySqlite(error);
  return said?.code === "SQLITE_IOERR_CORRUPTFS" ? said : undefined;
}

/** The disk had no room for it. */
export function isDiskFull(error: unknown): boolean {
  return saidBySqlite(error)?.code === "SQLITE_FULL";
}

function saidBySqlite(error: unknown): SQLiteError | undefined {
  const said = error instanceof SQLiteError || !(error instanceof Error) ? error : error.cause;
  return said instanceof SQLiteError ? said : undefined;
}

/**
 * SQLite goes on writing to files that somebody moved, removed or replaced, and what is written there is lost with the process.
 * @returns a check that throws if the open file, or its write-ahead log, is no longer the one that is there now
 */
export function watchFiles(path: string, remedy: string): () => void {
  const inodeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.ino;
  const opened = [path, `${path}-wal`].map((file) => [file, inodeOf(file)] as const);
  return () => {
    const [gone] = opened.find(([file, inode]) => inodeOf(file) !== inode) ?? [];
    if (gone !== undefined)
      throw new Error(`${gone} was moved, removed or replaced while this gateway runs: ${remedy}`);
  };
}

/** SQLite's own check of a file's pages. @returns "ok", or the first thing that is wrong */
export const quickCheck = (db: Database): string =>
  db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check ?? "no answer";

/** Free pages that stay in a file, for what comes next. */
export const freePagesKept = 4_000;
/** Pages that are given back at a time. */
export const vacuumPagesMax = 1_000;

export const freePages = (db: Database): number =>
  db.query<{ freelist_count: number }, []>("PRAGMA freelist_count").get()?.freelist_count ?? 0;

/** Gives some free pages back to the file system. TRUNCATE empties the write-ahead log, too, PASSIVE waits for nobody. */
export function vacuum(db: Database, checkpoint: "PASSIVE" | "TRUNCATE"): void {
  // The pragma frees one page per row that is read; the checkpoint shortens the file.
  db.query(`PRAGMA incremental_vacuum(${vacuumPagesMax})`).all();
  db.query(`PRAGMA wal_checkpoint(${checkpoint})`).all();
}

const busyRetryMs = 20;
const busyPatienceMs = 5_000;

/**
 * Does `work`, again and again for a while if another process is writing to the file. bun:sqlite's own wait (busy_timeout)
 * would stop the whole gateway meanwhile, health included.
 * @throws what `work` throws, at the latest after 5 s
 */
export async function whenNotBusy<T>(work: () => T): Promise<T> {
  for (const end = performance.now() + busyPatienceMs; ;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > end) throw error;
    }
    await Bun.sleep(busyRetryMs);
  }
}

/** Another process has the file, or is writing to it. */
export function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && error.code?.startsWith("SQLITE_BUSY") === true;
}
