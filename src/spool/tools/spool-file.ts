/**
 * Reads a spool's file as it is, without changing it.
 *
 * SQLite does not open a file that is shorter than its header says. Such a file is read through a copy in which the
 * missing pages are zeros, so that the file itself stays the evidence that it is.
 */
import { constants as sqlite, Database, SQLiteError } from "bun:sqlite";
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { explain } from "../../core/log/log.ts";
import { freeBytesOn } from "../../core/file/free-bytes.ts";
import { cureOf, isThere, whyReadOnly } from "../../core/file/owner.ts";
import { removeSqlite, whyOthersLog } from "../../core/file/sqlite.ts";
import { whatIsOthers } from "../state.ts";

/** Called before the lock is taken, which would create its file. @throws if there is no spool, or another's log beside it */
export function spoolIn(dataDir: string): string {
  const path = join(dataDir, "spool.db");
  if (!isThere(path)) throw new Error(`there is no spool in ${dataDir}: see DATA_DIR`);
  const others = whatIsOthers(dataDir);
  if (others !== undefined) throw new Error(others);
  return path;
}

/** @throws if there is no spool, or no room for a copy of a truncated one */
export function withFile<T>(dataDir: string, work: (db: Database, path: string) => T): T {
  const path = spoolIn(dataDir);
  const bytes = bytesWanted(path);
  if (bytes === null) return withDatabase(path, (db) => work(db, path));
  const padded = `${path}.padded`;
  try {
    copyFileSync(path, padded, constants.COPYFILE_FICLONE);
    truncateSync(padded, bytes);
    return withDatabase(padded, (db) => work(db, path));
  } finally {
    removeSqlite(padded);
  }
}

/** The bytes that a truncated file should have; null if it is not truncated, or its header does not say. */
export function bytesWanted(path: string): number | null {
  if (logBytes(path) > 0) return null;
  const fd = openSync(path, "r");
  try {
    const header = Buffer.alloc(100);
    // sqlite.org/fileformat.html, 1.3: the page count is valid if the two change counters agree.
    if (readSync(fd, header, 0, 100, 0) < 100) return null;
    if (header.readUInt32BE(24) !== header.readUInt32BE(92)) return null;
    const wanted = header.readUInt16BE(16) * header.readUInt32BE(28);
    return wanted > fstatSync(fd).size ? wanted : null;
  } finally {
    closeSync(fd);
  }
}

/** Bytes of the write-ahead log, which then says how long the file is; 0 if it is empty or missing. */
export function logBytes(path: string): number {
  return bytesOf(`${path}-wal`);
}

const bytesOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** SQLite opens the file at the first question. One that nobody may open, as on a disk that is read-only, is not a damaged one. */
function refuseUnopened(db: Database, path: string): void {
  try {
    db.query("PRAGMA schema_version").get();
  } catch (cause) {
    if (!(cause instanceof SQLiteError && /^SQLITE_(CANTOPEN|READONLY)/.test(cause.code ?? ""))) return;
    throw new Error(`cannot open ${path} (${explain(cause)}): ${cureOf(path, cause)}`, { cause });
  }
}

/** @throws if it cannot be opened, or another's log lies beside it */
export function withDatabase<T>(path: string, work: (db: Database) => T): T {
  const others = whyOthersLog(path);
  if (others !== undefined) throw new Error(others);
  const db = opened(path);
  try {
    db.run("PRAGMA busy_timeout = 5000");
    refuseUnopened(db, path);
    return work(db);
  } finally {
    db.close();
  }
}

/**
 * A file without a log on a disk that takes no writes, or has no room, as after an orderly stop: SQLite would make the log even to read, unless
 * it is told that nobody can write (sqlite.org/uri.html#uriimmutable).
 */
function opened(path: string): Database {
  if (!isStill(path)) return new Database(path, { readonly: true });
  return new Database(
    `${pathToFileURL(path).href}?immutable=1`,
    sqlite.SQLITE_OPEN_READONLY | sqlite.SQLITE_OPEN_URI,
  );
}

/** The log's index, which SQLite makes at once (sqlite.org/walformat.html#shm). */
const indexBytes = 32_768;

/** Can nobody write to it? Whoever has it open has a whole index; where there is no room for one, nobody can open it. */
function isStill(path: string): boolean {
  if (logBytes(path) > 0) return false;
  const hasRoom = () => freeBytesOn(dirname(path)) >= indexBytes;
  return whyReadOnly(dirname(path)) !== undefined || (bytesOf(`${path}-shm`) < indexBytes && !hasRoom());
}
