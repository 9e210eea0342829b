/**
 * Cursors: how far each sink has come in the spool. Kept in memory and written once a second: a cursor that lags
 * after a crash means that entries are delivered again (harmless for InfluxDB; PostgreSQL keeps its own position),
 * never that they are lost.
 */
import type { Database } from "bun:sqlite";
import { type Detour, noDetours, type Cursor } from "../core/sink.ts";

type Row = Omit<Cursor, "detours"> & { sink: string };

/** Of a sink that begins after `seq`. */
export function beginningAt(seq: number): Cursor {
  return { start: seq, seq, delivered: 0, ignored: 0, refused: 0, skipped: 0, detours: noDetours };
}

export class Cursors {
  readonly #states = new Map<string, Cursor>();
  readonly #dirty = new Set<string>();
  /** The detours as they are on disk: a group moves only a few of a thousand lanes, and only those are written. */
  readonly #onDisk = new Map<string, Cursor["detours"]>();
  readonly #put;
  readonly #dropDetour;
  readonly #putDetour;

  constructor(db: Database) {
    this.#put = db.query(
      "INSERT OR REPLACE INTO cursors (sink, start, seq, delivered, ignored, refused, skipped) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#dropDetour = db.query("DELETE FROM detours WHERE sink = ? AND lane = ?");
    this.#putDetour = db.query(
      "INSERT OR REPLACE INTO detours (sink, lane, seq, waiting) VALUES (?, ?, ?, ?)",
    );
    const detoursOf = db.query<Detour & { lane: string }, [string]>(
      "SELECT lane, seq, waiting FROM detours WHERE sink = ?",
    );
    for (const { sink, ...row } of db.query<Row, []>("SELECT * FROM cursors").all()) {
      const detours = new Map(detoursOf.all(sink).map(({ lane, ...detour }) => [lane, detour] as const));
      this.#onDisk.set(sink, detours);
      this.#states.set(sink, { ...row, detours });
    }
  }

  get(sink: string): Cursor | undefined {
    return this.#states.get(sink);
  }

  set(sink: string, state: Cursor): void {
    this.#states.set(sink, state);
    this.#dirty.add(sink);
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Writes what changed, inside the caller's transaction. Call `written` once that has committed. */
  write(): void {
    for (const sink of this.#dirty) {
      const state = this.#states.get(sink);
      if (!state) continue;
      const { detours, start, seq, delivered, ignored, refused, skipped } = state;
      this.#put.run(sink, start, seq, delivered, ignored, refused, skipped);
      this.#writeDetours(sink, this.#onDisk.get(sink) ?? noDetours, detours);
    }
  }

  written(): void {
    for (const sink of this.#dirty) {
      const state = this.#states.get(sink);
      if (state) this.#onDisk.set(sink, state.detours);
    }
    this.#dirty.clear();
  }

  #writeDetours(sink: string, before: Cursor["detours"], now: Cursor["detours"]): void {
    for (const lane of before.keys()) if (!now.has(lane)) this.#dropDetour.run(sink, lane);
    for (const [lane, { seq, waiting }] of now) {
      const known = before.get(lane);
      if (known?.seq !== seq || known.waiting !== waiting) this.#putDetour.run(sink, lane, seq, waiting);
    }
  }

  /** Up to this seq everything is settled by every sink of `sinks`; 0 if one of them is unknown. */
  settledBy(sinks: Iterable<string>): number {
    let least = Number.MAX_SAFE_INTEGER;
    for (const sink of sinks) {
      const state = this.#states.get(sink);
      if (!state) return 0;
      least = Math.min(least, state.seq);
      for (const detour of state.detours.values()) least = Math.min(least, detour.seq - 1);
    }
    return least;
  }
}
