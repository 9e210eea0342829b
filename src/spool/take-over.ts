/**
 * Claims the spool for this start in one transaction, and reads what a start must know: if the lock file was removed, the
 * earlier gateway could otherwise append between the read and the claim.
 */
import type { Database } from "bun:sqlite";
import { Cursors } from "./cursors.ts";
import { Epochs } from "./epochs.ts";
import { Groups } from "./groups.ts";
import { headOf } from "./open.ts";
import { SidecarTables } from "./sidecar.ts";

export function takeOver(db: Database, window: number, recentBytesMax: number) {
  const claim = db.transaction(() => {
    const groups = new Groups(db, recentBytesMax);
    const { bytes, newestMs } = groups.totals();
    const head = headOf(db);
    const epochs = new Epochs(db, head + 1, groups.first() ?? head + 1);
    const sidecar = new SidecarTables(db, window);
    return { db, groups, cursors: new Cursors(db), sidecar, bytes, newestMs, head, epochs };
  });
  return claim.immediate();
}
