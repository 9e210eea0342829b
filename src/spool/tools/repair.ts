/**
 * Repair makes a sound spool from a damaged one: everything that can be read goes into a new file, which replaces the
 * old one in one rename; the old one stays beside it.
 *
 * Groups behind a damaged one are as good as those before it, and are kept. Their seqs do not change, and no seq is
 * given twice: the sinks pass over the hole and count it as skipped, so the books still balance. Rejected
 * alternative: to repair pages in place, because that writes into the only copy there is.
 */
import { Database } from "bun:sqlite";
import { copyFileSync, linkSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { flush } from "../../core/file/whole-file.ts";
import { logBytes, withFile } from "./spool-file.ts";
import { whileLocked } from "../lock.ts";
import { rebuild, type BalanceBooks } from "./rebuild.ts";
import { attempt } from "./salvage.ts";
import { noteState } from "../state.ts";
import { inspect, type Verified, type VerifyOptions } from "./verify.ts";

export interface RepairOptions extends VerifyOptions {
  readonly nowMs: number;
  /** Makes the counters match what the spool holds. */
  readonly balanceBooks: BalanceBooks;
}

export interface Repaired {
  /** What was found. */
  readonly before: Verified;
  /** Where the damaged file is now; null if nothing was damaged and nothing was done. */
  readonly original: string | null;
  /** What else had to be given up or corrected, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * @throws if the spool is in use, does not exist, or the disk has no room for a second one; nothing is changed then
 */
export function repairSpool(options: RepairOptions): Repaired {
  const { dataDir, told, nowMs, reading } = options;
  return whileLocked(dataDir, () => {
    mergeLog(join(dataDir, "spool.db"));
    const made = withFile(dataDir, (db, path) => {
      const before = inspect(db, path, told, reading);
      return before.sound
        ? { before, notes: [] }
        : { before, notes: rebuild(db, `${path}.repairing`, before, options.balanceBooks, reading) };
    });
    const original = made.before.sound ? null : exchange(dataDir, nowMs);
    noteState(dataDir, "closed");
    return { ...made, original };
  });
}

/** Merges the write-ahead log into the file, so that the file alone is the spool and one rename replaces it. */
function mergeLog(path: string): void {
  if (logBytes(path) === 0) return;
  attempt(() => {
    const db = new Database(path, { readwrite: true, create: false });
    try {
      db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      db.close();
    }
  });
}

/** Replaces the old file by the new one atomically, whatever crashes. @returns where the old one is */
function exchange(dataDir: string, nowMs: number): string {
  const path = join(dataDir, "spool.db");
  const stamp = new Date(nowMs).toISOString().replace(/[-:.]/g, "");
  const original = `${path}.damaged-${stamp}`;
  flush(`${path}.repairing`);
  // A file system without hard links gets a copy: there is a spool.db at every moment. Its log goes after that, which may take long.
  if (!attempt(() => linkSync(path, original)).ok) copyFileSync(path, original);
  if (logBytes(path) > 0) renameSync(`${path}-wal`, `${original}-wal`);
  for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
  renameSync(`${path}.repairing`, path);
  flush(dataDir);
  return original;
}
