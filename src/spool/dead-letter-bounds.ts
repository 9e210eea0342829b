/**
 * The bounds of the dead letters, in bytes and in age: without them, one device whose every reading is refused would
 * fill the disk.
 *
 * At the bound in bytes a tenth is freed: of each device that has more than a share, which is the same for all, the oldest dead letters go
 * until it has no more than that. So no device costs another its dead letters. Rejected alternatives: to keep no new ones, because
 * what is refused today says more about what to fix than what was refused three months ago; to take from the device that has most, again
 * and again, which looked at all dead letters as often as a fleet has devices, and stood still for minutes.
 */
import type { Database } from "bun:sqlite";
import { deviceKey } from "../core/device.ts";
import { letterBytes } from "./schema.ts";

export interface LetterTotals {
  readonly count: number;
  /** What they take on disk, approximately. */
  readonly bytes: number;
}

/** The share of the bound that is freed at once, since to find what goes takes a look at all dead letters. */
const freedShare = 0.1;
/** Dead letters removed for their age at a time, so that the intake is not kept waiting. */
const removedMax = 1_000;

/** The totals are kept by triggers (schema.ts), so this reads one row, however many dead letters there are. */
export function totalsOf(db: Database): LetterTotals {
  const found = db.query<LetterTotals, []>("SELECT count, bytes FROM dead_letter_totals").get();
  return found ?? { count: 0, bytes: 0 };
}

interface Sized {
  readonly tenant_id: string | null;
  readonly device_id: string | null;
  readonly bytes: number;
}

const sizeOf = letterBytes("dead_letters");
const senderOf = ({ tenant_id: tenant, device_id: device }: Sized) => deviceKey(tenant ?? "", device ?? "");

/** Runs inside the caller's transaction. @returns how many were removed */
export function makeRoom(db: Database, bytesMax: number): number {
  const { bytes } = totalsOf(db);
  if (bytes <= bytesMax) return 0;
  const wanted = bytesMax * (1 - freedShare);
  const senders = db
    .query<Sized, []>(
      `SELECT tenant_id, device_id, sum(${sizeOf}) AS bytes FROM dead_letters GROUP BY tenant_id, device_id`,
    )
    .all();
  const held = new Map(senders.map((sender) => [senderOf(sender), sender.bytes]));
  const share = shareOf([...held.values()], wanted);
  const going: number[] = [];
  let excess = bytes - wanted;
  const oldestFirst = db.query<Sized & { id: number }, []>(
    `SELECT id, tenant_id, device_id, ${sizeOf} AS bytes FROM dead_letters ORDER BY id`,
  );
  for (const letter of oldestFirst.iterate()) {
    if (excess <= 0) break;
    const sender = senderOf(letter);
    const has = held.get(sender) ?? 0;
    if (has <= share) continue;
    held.set(sender, has - letter.bytes);
    going.push(letter.id);
    excess -= letter.bytes;
  }
  return removeLetters(db, going);
}

/** As much as each may have, so that all together have no more than `bytesMax`. */
function shareOf(sizes: number[], bytesMax: number): number {
  let left = bytesMax;
  for (const [at, size] of sizes.sort((a, b) => a - b).entries()) {
    const share = left / (sizes.length - at);
    if (size > share) return share;
    left -= size;
  }
  return left;
}

/** @returns how many there were */
export function removeLetters(db: Database, ids: readonly number[]): number {
  return db
    .query("DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))")
    .run(JSON.stringify(ids)).changes;
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
