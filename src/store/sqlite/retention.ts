/**
 * Keeps the local store within bounds: removes rows older than LOCAL_RETENTION_DAYS, and the oldest rows earlier if the disk would
 * otherwise be full, in small steps beside the deliveries.
 *
 * A site without servers that runs out of room must choose between its oldest rows and its next reading. A gateway that is held
 * for ever with everything delivered serves nobody, so the oldest rows are removed, with a warning. But what another program fills,
 * as a copy or an update, may be over in a minute, and would cost months of readings: so for a while only as much goes as comes in.
 * Rejected alternative: a bound in bytes, one more setting that an operator must get right, although the free room on the disk is known.
 */
import type { Database } from "bun:sqlite";
import { dirname } from "node:path";
import { ageClock, type Clock, type Timer } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { integer } from "../../core/settings.ts";
import { freeBytesOn } from "../../core/file/free-bytes.ts";
import { freePages, freePagesKept, vacuum, vacuumPagesMax } from "../../core/file/sqlite.ts";
import type { Retention, RetentionBounds } from "../../core/store.ts";

export const localSettings = {
  retentionDays: integer({
    name: "LOCAL_RETENTION_DAYS",
    default: 365,
    unit: "days",
    max: 36_500,
    help: "Rows of the local store older than this go, the oldest earlier if the disk is nearly full; 0: only then.",
  }),
};

export interface RetentionOptions {
  readonly db: Database;
  readonly path: string;
  readonly bounds: RetentionBounds;
  readonly clock: Clock;
  readonly log: Log;
}

/** While there is something to remove, or soon may be; and while neither time nor a second's rows bring that about. */
const lookEveryMs = 250;
const calmLookEveryMs = 1_000;
/** Rows removed per table at a time: it takes some ms, and is more than a site brings in. */
const rowsMax = 2_000;
/** Room is made as soon as less than this is free above the spool's floor. */
const marginBytes = 33_554_432;
/** Until the disk has been short for so long, twice as many rows go as come, since those may be larger. */
const patienceMs = 300_000;
/** More than may come in a second. */
const amplyFreeBytes = 8 * marginBytes;
/** These newest rows stay, however full the disk is: then it is not the store that fills it. */
const rowsKeptMin = 1_000;
const dayMs = 86_400_000;
const events = ["raw_events", "quarantine_events"] as const;

export function createRetention({ db, path, bounds, clock, log }: RetentionOptions): Retention {
  const { retentionDays, freeBytesMin } = bounds;
  const sinceNewest = ageClock(clock, newestMs(db));
  const nowMs = () => Math.min(sinceNewest(), bounds.ageNowMs());
  let [expired, removedForRoom] = [0, 0];
  let isTold = false;
  /** Since when the disk is short (monotonic); undefined: it is not. */
  let shortSinceMs: number | undefined;
  /** Until then there is no patience: what fills the disk has shown that it is not over in a minute. */
  let hurriesUntilMs = Number.NEGATIVE_INFINITY;
  let newest = newestIds(db);

  /** How many rows may go for room now. @param spare bytes that are free above the spool's floor */
  function rowsForRoom(spare: number): number {
    const came = newestIds(db) - newest;
    newest += came;
    const atMs = clock.monoMs();
    shortSinceMs = spare < marginBytes ? (shortSinceMs ?? atMs) : undefined;
    if (shortSinceMs === undefined) return 0;
    // To remove rows takes room as well: on a disk that is full to the last byte none would ever go.
    const isUrgent = atMs - shortSinceMs >= patienceMs || spare + freeBytesMin < marginBytes;
    if (isUrgent || atMs < hurriesUntilMs) hurriesUntilMs = atMs + patienceMs;
    return atMs < hurriesUntilMs ? rowsMax : Math.min(rowsMax, 2 * came);
  }

  /** @returns whether there may soon be more to do */
  function look(): boolean {
    const old = retentionDays > 0 ? expire(db, nowMs() - retentionDays * dayMs) : 0;
    expired += old;
    const spare = freeBytesMin > 0 ? freeBytesOn(dirname(path)) - freeBytesMin : Number.POSITIVE_INFINITY;
    const short = spare < marginBytes;
    // What was removed is room for others only once its pages are given back: rows may be large, and no more go meanwhile.
    const forRoom = rowsForRoom(spare);
    const gone = forRoom > 0 && freePages(db) <= vacuumPagesMax ? makeRoom(db, forRoom) : 0;
    removedForRoom += gone;
    if (gone > 0 && !isTold)
      log.warn({ path }, "the disk is nearly full: the oldest rows of the local store go");
    isTold = short && (isTold || gone > 0);
    giveBack(db, short);
    return old > 0 || spare < amplyFreeBytes;
  }

  function tryLook(): boolean {
    try {
      return look();
    } catch (error) {
      // Another process writes, or the disk fails, which the deliveries report: tried again in a moment.
      log.debug({ error: explain(error) }, "rows of the local store could not be removed");
      return true;
    }
  }

  const next = (ms: number): Timer =>
    clock.after(ms, () => {
      timer = next(tryLook() ? lookEveryMs : calmLookEveryMs);
    });
  let timer = next(lookEveryMs);
  return {
    stats: () => ({ rows_expired: expired, rows_removed_for_room: removedForRoom }),
    close: () => timer.cancel(),
  };
}

/** When the newest row came; undefined if there is none. */
function newestMs(db: Database): number | undefined {
  const found = db
    .query<{ at: string }, []>("SELECT ingested_at AS at FROM raw_events ORDER BY id DESC LIMIT 1")
    .get();
  return found ? Date.parse(found.at) : undefined;
}

function expire(db: Database, beforeMs: number): number {
  const before = new Date(beforeMs).toISOString();
  let removed = 0;
  for (const table of events) {
    const oldest = db
      .query<{ at: string }, []>(`SELECT ingested_at AS at FROM ${table} ORDER BY id LIMIT 1`)
      .get();
    if (oldest && oldest.at < before) removed += removeOldest(db, table, rowsMax, before);
  }
  db.query(
    `DELETE FROM quarantine_counters_minute WHERE (bucket_minute, tenant_id, reason) IN
       (SELECT bucket_minute, tenant_id, reason FROM quarantine_counters_minute WHERE bucket_minute < ? LIMIT ?)`,
  ).run(before, rowsMax);
  return removed;
}

/** Grows by one with each row. */
function newestIds(db: Database): number {
  const ids = events.map((table) => `coalesce((SELECT max(id) FROM ${table}), 0)`);
  return db.query<{ n: number }, []>(`SELECT ${ids.join(" + ")} AS n`).get()?.n ?? 0;
}

/** The oldest rows of the larger table, and never the newest thousand. */
function makeRoom(db: Database, count: number): number {
  const sizes = events.map((table) => {
    // Each by itself is one step; of both in one query SQLite reads a whole index, four times a second.
    const ends = `(SELECT max(id) FROM ${table}) - (SELECT min(id) FROM ${table})`;
    const row = db.query<{ n: number | null }, []>(`SELECT ${ends} + 1 AS n`).get();
    return { table, rows: row?.n ?? 0 };
  });
  const [largest] = sizes.sort((a, b) => b.rows - a.rows);
  if (!largest || largest.rows <= rowsKeptMin) return 0;
  return removeOldest(db, largest.table, Math.min(count, largest.rows - rowsKeptMin));
}

/** Ids ascend with the time of arrival. @param before ISO 8601; absent: whatever their time */
function removeOldest(db: Database, table: (typeof events)[number], count: number, before = "9999"): number {
  return db
    .query(
      `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} ORDER BY id LIMIT ?) AND ingested_at < ?`,
    )
    .run(count, before).changes;
}

/** Gives free pages back to the file system; if the disk is short, all of them, and the write-ahead log too. */
function giveBack(db: Database, short: boolean): void {
  if (freePages(db) > (short ? 0 : freePagesKept)) vacuum(db, short ? "TRUNCATE" : "PASSIVE");
}
