/**
 * Dead letters: entries that a downstream system will never take, each with that system's own words. They are kept in
 * the spool's file, durable before the sink's cursor passes the entry, until an operator replays or discards them or
 * they exceed their bounds (dead-letter-bounds.ts).
 */
import type { Database } from "bun:sqlite";
import type { Clock } from "../core/clock.ts";
import type { Entry } from "../core/entry.ts";
import { explain } from "../core/log/log.ts";
import { masked } from "../core/text/mask.ts";
import { decodeGroup, encodeGroup } from "./codec.ts";
import { makeRoom, removeLetters, removeOlder, totalsOf, type LetterTotals } from "./dead-letter-bounds.ts";

export interface DeadLetter {
  readonly id: number;
  readonly sink: string;
  readonly refusedMs: number;
  readonly why: string;
  readonly entry: Entry;
}

export interface DeadLetterFilter {
  readonly sink?: string | undefined;
  readonly tenantId?: string | undefined;
  readonly deviceId?: string | undefined;
  readonly ids?: readonly number[] | undefined;
  /** Refused at `sinceMs` (wall clock) or later, and before `untilMs`. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Continue after the id `after`, up to and including the id `upTo`. */
  readonly after?: number;
  readonly upTo?: number;
  readonly limit: number;
}

interface Row {
  id: number;
  sink: string;
  seq: number;
  refused_ms: number;
  why: string;
  codec: number;
  crc: number;
  body: Uint8Array;
}

/** What one call of `putAll` wrote. */
export interface Refused {
  readonly sink: string;
  readonly count: number;
  readonly last: { readonly entry: Entry; readonly why: string };
}

export interface LetterBounds {
  readonly letterBytesMax: number;
  /** 0: none is removed for its age. */
  readonly letterAgeMaxDays: number;
}

const whyLengthMax = 2_000;
const dayMs = 86_400_000;

export interface LetterParts {
  readonly db: Database;
  /** Writes one transaction, if the spool is still ours: one that another gateway has begun is its own, with every letter. @throws SpoolFull */
  readonly commit: (write: () => void) => void;
  readonly clock: Clock;
  readonly bounds: LetterBounds;
  /** See age.ts. */
  readonly ageNowMs: () => number;
}

export class DeadLetters {
  readonly #parts: LetterParts;
  readonly #db: Database;
  #listeners: ((refused: Refused) => void)[] = [];
  #discarded = 0;

  constructor(parts: LetterParts) {
    this.#parts = parts;
    this.#db = parts.db;
  }

  /**
   * Writes all with one fsync: a downstream system may refuse thousands at once, and everything else waits for the
   * disk meanwhile.
   * @throws SpoolFull if they cannot be written
   */
  putAll(
    sink: string,
    letters: readonly { readonly epoch: string; readonly entry: Entry; readonly why: string }[],
  ): void {
    const { commit, bounds } = this.#parts;
    let discarded = 0;
    commit(() => {
      for (const { epoch, entry, why } of letters) this.put(sink, epoch, entry, why);
      discarded = makeRoom(this.#db, bounds.letterBytesMax);
    });
    this.#discarded += discarded;
    const last = letters.at(-1);
    if (last) for (const listener of this.#listeners) listener({ sink, count: letters.length, last });
  }

  onRefused(listener: (refused: Refused) => void): void {
    this.#listeners.push(listener);
  }

  /** Removes some of the dead letters that are too old; called once a second. */
  expire(): void {
    const { commit, ageNowMs, bounds } = this.#parts;
    const { letterAgeMaxDays } = bounds;
    if (letterAgeMaxDays === 0 || this.totals().count === 0) return;
    let discarded = 0;
    commit(() => (discarded = removeOlder(this.#db, ageNowMs() - letterAgeMaxDays * dayMs)));
    this.#discarded += discarded;
  }

  /** Durable with the caller's transaction, if there is one; the same entry, refused again by the same sink, is one dead letter. */
  put(sink: string, epoch: string, entry: Entry, why: string): void {
    const { codec, crc, body } = encodeGroup([entry]);
    this.#db
      .query(
        `INSERT OR IGNORE INTO dead_letters (sink, epoch, seq, refused_ms, why, tenant_id, device_id, codec, crc, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        sink,
        epoch,
        entry.seq,
        this.#parts.clock.wallMs(),
        masked(why.slice(0, 2 * whyLengthMax)).slice(0, whyLengthMax),
        entry.tenantId,
        entry.deviceId,
        codec,
        crc,
        body,
      );
  }

  totals(): LetterTotals {
    return totalsOf(this.#db);
  }

  /** How many were removed at the bounds since this start. */
  get discarded(): number {
    return this.#discarded;
  }

  /** The newest id; 0 if there is none. */
  lastId(): number {
    return this.#db.query<{ id: number | null }, []>("SELECT max(id) AS id FROM dead_letters").get()?.id ?? 0;
  }

  list(filter: DeadLetterFilter): DeadLetter[] {
    const { sink = null, tenantId = null, deviceId = null, ids = null, after = 0, limit } = filter;
    const { sinceMs = null, untilMs = null, upTo = null } = filter;
    return this.#db
      .query<Row, Record<string, string | number | null>>(
        `SELECT id, sink, seq, refused_ms, why, codec, crc, body FROM dead_letters
         WHERE id > $after AND ($upTo IS NULL OR id <= $upTo) AND ($sink IS NULL OR sink = $sink)
           AND ($tenantId IS NULL OR tenant_id = $tenantId) AND ($deviceId IS NULL OR device_id = $deviceId)
           AND ($sinceMs IS NULL OR refused_ms >= $sinceMs) AND ($untilMs IS NULL OR refused_ms < $untilMs)
           AND ($ids IS NULL OR id IN (SELECT value FROM json_each($ids))) ORDER BY id LIMIT $limit`,
      )
      .all({
        sink,
        tenantId,
        deviceId,
        ids: ids && JSON.stringify(ids),
        after,
        upTo,
        sinceMs,
        untilMs,
        limit,
      })
      .map(letterOf);
  }

  get(id: number): DeadLetter | undefined {
    const row = this.#db.query<Row, [number]>("SELECT * FROM dead_letters WHERE id = ?").get(id);
    return row ? letterOf(row) : undefined;
  }

  /**
   * Forgets what a sink refused in these epochs from `seq` on: those entries are not settled, so they come again and
   * are decided again.
   */
  takeBack(sink: string, epochs: readonly string[], seq: number): void {
    const which = "FROM dead_letters WHERE sink = ? AND epoch = ? AND seq >= ?";
    const found = this.#db.query(`SELECT 1 ${which} LIMIT 1`);
    for (const epoch of epochs)
      if (found.get(sink, epoch, seq))
        this.#parts.commit(() => this.#db.query(`DELETE ${which}`).run(sink, epoch, seq));
  }

  /** Durable when it returns. */
  remove(ids: readonly number[]): void {
    this.#parts.commit(() => removeLetters(this.#db, ids));
  }
}

function letterOf(row: Row): DeadLetter {
  const entry = letterEntry(row);
  return { id: row.id, sink: row.sink, refusedMs: row.refused_ms, why: row.why, entry };
}

function letterEntry(row: Row): Entry {
  try {
    const [entry] = decodeGroup(row, row.seq, 1);
    if (!entry) throw new Error("it is empty");
    return entry;
  } catch (cause) {
    const remedy = "stop the gateway and run `sluice spool repair`";
    throw new Error(`dead letter ${row.id} is damaged (${explain(cause)}): ${remedy}`, { cause });
  }
}
