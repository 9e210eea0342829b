/**
 * The check that the spool is still ours, made before each write. It costs two system calls and a query that reads
 * one row.
 *
 * SQLite goes on writing to files that somebody moved, removed or replaced, and what is written there is lost with
 * the process. And if spool.lock was removed, a second gateway can start, and two writers would give the same seqs:
 * the later start owns the spool, and the earlier one writes and acknowledges nothing any more.
 */
import type { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";

const files = ["spool.db", "spool.db-wal"];

/**
 * @param ours the epochs that this gateway has begun
 * @returns a check that throws if a file is no longer the one that was opened, or if another gateway has begun after
 * this one
 */
export function watchOwnership(db: Database, dataDir: string, ours: ReadonlySet<string>): () => void {
  const inodeOf = (name: string) => statSync(join(dataDir, name), { throwIfNoEntry: false })?.ino;
  const opened = files.map(inodeOf);
  const newest = db.query<{ epoch: string }, []>("SELECT epoch FROM epochs ORDER BY rowid DESC LIMIT 1");
  return () => {
    const gone = files.find((name, i) => inodeOf(name) !== opened[i]);
    if (gone !== undefined)
      throw new Error(
        `${join(dataDir, gone)} was moved, removed or replaced while this gateway runs: put it back, or stop this gateway`,
      );
    if (!ours.has(newest.get()?.epoch ?? ""))
      throw new Error(
        `another gateway has opened the spool in ${dataDir} since (was spool.lock removed?): stop this one`,
      );
  };
}
