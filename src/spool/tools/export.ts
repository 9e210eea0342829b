/** Exports a spool's entries: all that can be read of them, the others by their seqs. */
import type { Database } from "bun:sqlite";
import type { Entry } from "../../core/entry.ts";
import { whileLocked } from "../lock.ts";
import { groupsOf, type Lost, type Reading } from "./salvage.ts";
import { withFile } from "./spool-file.ts";

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
  const work = (db: Database) => {
    const from = sink === undefined ? 0 : unsettledFrom(db, sink);
    for (const each of groupsOf(db, reading)) {
      if ("lost" in each) {
        if (each.lost.to >= from) miss(each.lost);
      } else if (each.row.last >= from) take(each.entries.filter(({ seq }) => seq >= from));
    }
  };
  whileLocked(dataDir, () => withFile(dataDir, work));
}

function unsettledFrom(db: Database, sink: string): number {
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
