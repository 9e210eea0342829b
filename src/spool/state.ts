/**
 * The state file beside the spool's file says that there is a spool and whether it is open. SQLite creates an empty
 * database if its file is missing, and cannot know that a write-ahead log is gone. Without the state file, a spool
 * that was lost would be begun anew silently, and what it held would be gone with balanced books.
 */
import type { Database } from "bun:sqlite";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cureOf, giveToOwner } from "../core/file/owner.ts";
import { keepLog, whyOthersLog } from "../core/file/sqlite.ts";
import { explain } from "../core/log/log.ts";

/**
 * open: written once the write-ahead log exists, which stays whatever ends the process: if it is gone, it was lost.
 * closed: written just before the spool is closed in order, so that a crash in between never makes a sound spool look
 * damaged.
 */
export type SpoolState = "open" | "closed";

const stateFile = (dataDir: string) => join(dataDir, "spool.state");

export function noteState(dataDir: string, state: SpoolState): void {
  const path = stateFile(dataDir);
  const isNew = !existsSync(path);
  withCure(path, () => writeFileSync(path, `${state}\n`, { flush: true }));
  if (isNew) giveToOwner(path);
}

/** @throws what is wrong with the file, such as that it is another user's, and the cure */
function withCure<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new Error(`${explain(cause)}: ${cureOf(path, cause)}`, { cause });
  }
}

/**
 * Call this just before the file is closed in order.
 * @param check throws if the spool is another's by now: what is noted in its place is not ours to say
 */
export function noteClosed(db: Database, dataDir: string, check: () => void): void {
  try {
    check();
    noteState(dataDir, "closed");
    keepLog(db, false);
  } catch {
    // Or the disk is full: the spool stays noted as open, and its write-ahead log is still there when it is opened again.
  }
}

/** What must exist and does not, with the remedy; undefined if nothing is missing. */
export function whatIsMissing(dataDir: string): string | undefined {
  const path = join(dataDir, "spool.db");
  const others = whatIsOthers(dataDir);
  if (others !== undefined) return others;
  if (!existsSync(stateFile(dataDir))) return undefined;
  // SQLite would begin an empty file anew, too, and remove the write-ahead log beside it.
  if (!statSync(path, { throwIfNoEntry: false })?.size) {
    return `${path} is missing or empty although there was a spool here: put it back, or a backup of it once spool.db-wal and spool.state are removed. \`sluice spool repair\` repairs a damaged file, not a lost one: to begin a new spool, remove ${stateFile(dataDir)} (what the old one held is lost then)`;
  }
  const state = stateFile(dataDir);
  const wasOpen = withCure(state, () => readFileSync(state, "utf8")).trim() === "open";
  if (!wasOpen || existsSync(`${path}-wal`)) return undefined;
  return `${path}-wal is missing although the spool was not closed: put it back, or run \`sluice spool repair\`, which continues with what is left`;
}

/** That the log beside the spool is another's, with the remedy; undefined if it is not. */
export function whatIsOthers(dataDir: string): string | undefined {
  return whyOthersLog(join(dataDir, "spool.db"), ` and ${stateFile(dataDir)}`);
}
