/**
 * The word beside the spool's file: that there is one, and whether it is open. SQLite begins an empty database where its file is
 * missing, and cannot know of a write-ahead log that is gone: without this word a spool that was lost would start anew
 * without a word, and what it held would be gone with balanced books.
 */
import { constants, type Database } from "bun:sqlite";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveToOwner } from "../core/owner.ts";

/**
 * open: written once the write-ahead log is there. closed: written just before it is closed in order, so that a crash in
 * between never makes a sound spool look damaged.
 */
export type SpoolState = "open" | "closed";

const stateFile = (dataDir: string) => join(dataDir, "spool.state");

export function noteState(dataDir: string, state: SpoolState): void {
  const path = stateFile(dataDir);
  const isNew = !existsSync(path);
  writeFileSync(path, `${state}\n`, { flush: true });
  if (isNew) giveToOwner(path);
}

/**
 * Whether SQLite leaves the write-ahead log when it closes the file. It closes it as the process exits, too (a second signal,
 * an unexpected error): a log that is gone while the word is "open" must mean that it was lost.
 */
export function persistWal(db: Database, keep: boolean): void {
  db.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, keep ? 1 : 0);
}

/** To be called just before the file is closed in order. */
export function noteClosed(db: Database, dataDir: string): void {
  try {
    noteState(dataDir, "closed");
    persistWal(db, false);
  } catch {
    // A full disk: the spool stays noted as open, and its write-ahead log is still there when it is opened again.
  }
}

/** What must be there and is not, with the mend; undefined where nothing is missing. */
export function whatIsMissing(dataDir: string): string | undefined {
  const path = join(dataDir, "spool.db");
  if (!existsSync(stateFile(dataDir))) return undefined;
  if (!existsSync(path)) {
    return `${path} is missing although there was a spool here: put it back. \`sluice spool repair\` mends a damaged file, not a lost one: to begin a new spool remove ${stateFile(dataDir)} (what the old one held is lost then)`;
  }
  const wasOpen = readFileSync(stateFile(dataDir), "utf8").trim() === "open";
  if (!wasOpen || existsSync(`${path}-wal`)) return undefined;
  return `${path}-wal is missing although the spool was not closed: put it back, or run \`sluice spool repair\`, which goes on with what there is`;
}
