/**
 * One gateway per spool: an exclusive lock that the operating system releases when the process dies, however it dies.
 *
 * A database of its own holds the lock (an open exclusive transaction), so that the spool's file stays readable for
 * `sluice spool status`. Rejected alternative: a pid file, because it survives kill -9 and its reader must then
 * guess.
 */
import { Database } from "bun:sqlite";
import { existsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { explain } from "../core/log/log.ts";
import { cureOf, giveToOwner } from "../core/file/owner.ts";
import { damageIn, isBusy, isDiskFull } from "../core/file/sqlite.ts";

/** Another process has the spool open. */
export class SpoolInUse extends Error {
  override readonly name = "SpoolInUse";
}

/** @throws SpoolInUse if another process holds it; another error if the lock file cannot be written */
export function lockSpool(dataDir: string): () => void {
  const path = join(dataDir, "spool.lock");
  try {
    return lockFile(path);
  } catch (cause) {
    if (damageIn(cause) === undefined) throw failure(cause, dataDir, path);
  }
  // Nothing is ever in it. Removed, it could be another's by now; emptied, it is the same for whoever else starts.
  try {
    truncateSync(path);
    return lockFile(path);
  } catch (cause) {
    throw failure(cause, dataDir, path);
  }
}

function lockFile(path: string): () => void {
  let db: Database | undefined;
  try {
    const isNew = !existsSync(path);
    db = new Database(path, { create: true });
    if (isNew) giveToOwner(path);
    db.run("PRAGMA busy_timeout = 0");
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    throw error;
  }
  const held = db;
  return () => held.close();
}

/** Does `work` while no gateway has the spool. @throws as `lockSpool` does */
export function whileLocked<T>(dataDir: string, work: () => T): T {
  const unlock = lockSpool(dataDir);
  try {
    return work();
  } catch (cause) {
    if (!isDiskFull(cause)) throw cause;
    const remedy = "make room for twice what the spool holds; it is as it was";
    throw new Error(`the disk of ${dataDir} is full: ${remedy}`, { cause });
  } finally {
    unlock();
  }
}

function failure(cause: unknown, dataDir: string, path: string): Error {
  if (isBusy(cause))
    return new SpoolInUse(
      `the spool in ${dataDir} is in use by another gateway, or by a command such as \`sluice spool repair\`: stop that one, or give this one its own DATA_DIR`,
      { cause },
    );
  return new Error(`cannot lock ${path} (${explain(cause)}): ${cureOf(path, cause)}`, { cause });
}
