/**
 * Makes cursors and detours add up again after damage. Everything that a sink was offered up to its cursor is
 * delivered, ignored, refused, skipped, or waits on a detour; what no row accounts for any more is counted as
 * skipped.
 */
import type { Database } from "bun:sqlite";
import { countedEntries } from "../../core/text/readable.ts";

interface Imbalance {
  readonly sink: string;
  /** Entries up to the cursor for which no row accounts; negative if rows account for more than there were. */
  readonly missing: number;
}

/** @returns what was changed, one sentence per sink */
export function balanceCursors(db: Database): string[] {
  db.run("DELETE FROM detours WHERE sink NOT IN (SELECT sink FROM cursors)");
  const off = db
    .query<Imbalance, []>(
      `SELECT sink, seq - start - delivered - ignored - refused - skipped
         - (SELECT coalesce(sum(waiting), 0) FROM detours WHERE detours.sink = cursors.sink) AS missing
       FROM cursors WHERE missing <> 0`,
    )
    .all();
  return off.map(({ sink, missing }) => {
    if (missing > 0) {
      db.query("UPDATE cursors SET skipped = skipped + ? WHERE sink = ?").run(missing, sink);
      return `${countedEntries(missing)} that waited for a part of sink ${sink} and that nothing lists any more: counted as skipped`;
    }
    db.query(
      `UPDATE cursors SET delivered = max(0, delivered + $missing), start = start + min(0, delivered + $missing)
         WHERE sink = $sink`,
    ).run({ missing, sink });
    return `the totals of sink ${sink} did not add up: ${-missing} fewer are counted as delivered`;
  });
}
