/**
 * The bounds of the dead letters, in bytes and in age: without them, one device whose every reading is refused would
 * fill the disk.
 *
 * At the bound in bytes, the oldest dead letters of the device that has most of them are removed, so that no device
 * costs another its dead letters. Rejected alternative: to keep no new ones, because what is refused today says more
 * about what to fix than what was refused three months ago.
 */
import type { Database } from "bun:sqlite";
import { letterBytes } from "./schema.ts";

export interface LetterTotals {
  readonly count: number;
  /** What they take on disk, approximately. */
  readonly bytes: number;
}

/** The share of the bound that is freed at once, since finding the device takes a look at all dead letters. */
const freedShare = 0.1;
/** Dead letters removed per statement, so that the intake is not kept waiting. */
const removedMax = 1_000;

/** The totals are kept by triggers (schema.ts), so this reads one row, however many dead letters there are. */
export function totalsOf(db: Database): LetterTotals {
  const found = db.query<LetterTotals, []>("SELECT count, bytes FROM dead_letter_totals").get();
  return found ?? { count: 0, bytes: 0 };
}

/** Runs inside the caller's transaction. @returns how many were removed */
export function makeRoom(db: Database, bytesMax: number): number {
  if (totalsOf(db).bytes <= bytesMax) return 0;
  const wanted = bytesMax * (1 - freedShare);
  let removed = 0;
  while (totalsOf(db).bytes > wanted) {
    const gone = removeOldestOfHeaviest(db);
    if (gone === 0) break;
    removed += gone;
  }
  return removed;
}

interface Sender {
  readonly tenant_id: string | null;
  readonly device_id: string | null;
}

function removeOldestOfHeaviest(db: Database): number {
  const heaviest = db
    .query<Sender, []>(
      `SELECT tenant_id, device_id FROM dead_letters GROUP BY tenant_id, device_id
       ORDER BY sum(${letterBytes("dead_letters")}) DESC LIMIT 1`,
    )
    .get();
  if (!heaviest) return 0;
  return db
    .query(
      `DELETE FROM dead_letters WHERE id IN
         (SELECT id FROM dead_letters WHERE tenant_id IS ? AND device_id IS ? ORDER BY id LIMIT ?)`,
    )
    .run(heaviest.tenant_id, heaviest.device_id, removedMax).changes;
}

/**
 * Removes dead letters refused before a wall-clock ms, some at a time. Ids ascend with the time of refusal. @returns
 * how many were removed
 */
export function removeOlder(db: Database, beforeMs: number): number {
  const oldest = db.query<{ refused_ms: number }, []>(
    "SELECT refused_ms FROM dead_letters ORDER BY id LIMIT 1",
  );
  if ((oldest.get()?.refused_ms ?? beforeMs) >= beforeMs) return 0;
  return db
    .query(
      `DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT ?) AND refused_ms < ?`,
    )
    .run(removedMax, beforeMs).changes;
}
