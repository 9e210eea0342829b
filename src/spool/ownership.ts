/**
 * The check that the spool is still ours, made before each write. It costs two system calls and a query that reads
 * one row.
 *
 * If spool.lock was removed, a second gateway can start, and two writers would give the same seqs: the later start owns
 * the spool, and the earlier one writes and acknowledges nothing any more.
 */
import type { Database } from "bun:sqlite";
import { join } from "node:path";
import { watchFiles } from "../core/file/sqlite.ts";

/**
 * @param ours the epochs that this gateway has begun
 * @returns a check that throws if a file is no longer the one that was opened, or if another gateway has begun after
 * this one
 */
export function watchOwnership(db: Database, dataDir: string, ours: ReadonlySet<string>): () => void {
  const checkFiles = watchFiles(join(dataDir, "spool.db"), "put it back, or stop this gateway");
  const newest = db.query<{ epoch: string }, []>("SELECT epoch FROM epochs ORDER BY rowid DESC LIMIT 1");
  return () => {
    checkFiles();
    if (!ours.has(newest.get()?.epoch ?? ""))
      throw new Error(
        `another gateway has opened the spool in ${dataDir} since (was spool.lock removed?): stop this one`,
      );
  };
}
