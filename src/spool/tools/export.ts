/** Exports a spool's entries, and makes its file as small as possible. */
import type { Entry } from "../../core/entry.ts";
import { explain } from "../../core/log.ts";
import { openSqlite } from "../../core/sqlite.ts";
import { withFile } from "./spool-file.ts";
import { lockSpool } from "../lock.ts";
import { attempt, groupsOf, type Lost, type Reading } from "./salvage.ts";

export interface ExportOptions {
  readonly dataDir: string;
  /** Only what this sink has not settled, as far as its cursor on disk tells; absent: everything held. */
  readonly sink?: string;
  readonly take: (entries: readonly Entry[]) => void;
  /** Called with seqs that cannot be read. */
  readonly miss: (lost: Lost) => void;
  readonly reading?: Reading;
}

/** @throws if the spool is in use, does not exist, or knows no such sink */
export function exportSpool({ dataDir, sink, take, miss, reading }: ExportOptions): void {
  const unlock = lockSpool(dataDir);
  try {
    withFile(dataDir, (db) => {
      const from = sink === undefined ? 0 : unsettledFrom(db, sink);
      for (const each of groupsOf(db, reading)) {
        if ("lost" in each) {
          if (each.lost.to >= from) miss(each.lost);
        } else if (each.row.last >= from) take(each.entries.filter(({ seq }) => seq >= from));
      }
    });
  } finally {
    unlock();
  }
}

type Opened = Parameters<Parameters<typeof withFile>[1]>[0];

function unsettledFrom(db: Opened, sink: string): number {
  const row = db
    .query<{ seq: number }, [string, string]>(
      `SELECT min(seq) AS seq FROM (SELECT seq + 1 AS seq FROM cursors WHERE sink = ?
         UNION ALL SELECT seq FROM detours WHERE sink = ?) HAVING count(*) > 0`,
    )
    .get(sink, sink);
  if (row) return row.seq;
  const known = db.query<{ sink: string }, []>("SELECT sink FROM cursors ORDER BY sink").all();
  throw new Error(
    `the spool knows no sink ${sink}, but ${known.map((each) => each.sink).join(", ") || "none at all"}`,
  );
}

/**
 * Gives every free page back to the file system. @throws if the spool is in use or is damaged; nothing is changed
 * then
 */
export function compactSpool(dataDir: string): void {
  const unlock = lockSpool(dataDir);
  try {
    const path = withFile(dataDir, sound);
    const db = openSqlite(path);
    try {
      db.run("VACUUM");
      db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      db.close();
    }
  } finally {
    unlock();
  }
}

/** The file's path. @throws if its pages are damaged */
function sound(db: Opened, path: string): string {
  const check = attempt(
    () => db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check ?? "no answer",
  );
  if (check.ok && check.value === "ok") return path;
  const how = check.ok ? check.value : explain(check.error);
  throw new Error(`${path} is damaged (${how}): run \`sluice spool repair\` first`);
}
