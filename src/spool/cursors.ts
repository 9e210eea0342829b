/**
 * Where every sink stands in the spool. Kept in memory, written with the next group or by the idle flush: a cursor that
 * lags after a crash means entries delivered again (harmless for InfluxDB; PostgreSQL keeps its own position), never lost.
 */
import type { Database } from "bun:sqlite";

export interface Detour {
  /** The lane's first unsettled seq. */
  readonly seq: number;
  readonly waiting: number;
}

export interface SinkState {
  /** The seq before the first that this sink was ever offered. */
  readonly start: number;
  /** Everything up to and including this seq is settled, but for what `detours` name. */
  readonly seq: number;
  readonly delivered: number;
  readonly ignored: number;
  readonly refused: number;
  readonly skipped: number;
  readonly detours: ReadonlyMap<string, Detour>;
}

type Row = Omit<SinkState, "detours"> & { sink: string };

export class Cursors {
  readonly #states = new Map<string, SinkState>();
  readonly #dirty = new Set<string>();
  /** Sinks that may have detours on the disk. */
  readonly #detoured = new Set<string>();
  readonly #put;
  readonly #clearDetours;
  readonly #putDetour;

  constructor(db: Database) {
    this.#put = db.query(
      "INSERT OR REPLACE INTO cursors (sink, start, seq, delivered, ignored, refused, skipped) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#clearDetours = db.query("DELETE FROM detours WHERE sink = ?");
    this.#putDetour = db.query("INSERT INTO detours (sink, lane, seq, waiting) VALUES (?, ?, ?, ?)");
    const detoursOf = db.query<Detour & { lane: string }, [string]>(
      "SELECT lane, seq, waiting FROM detours WHERE sink = ?",
    );
    for (const { sink, ...row } of db.query<Row, []>("SELECT * FROM cursors").all()) {
      const detours = detoursOf.all(sink).map(({ lane, ...detour }) => [lane, detour] as const);
      if (detours.length > 0) this.#detoured.add(sink);
      this.#states.set(sink, { ...row, detours: new Map(detours) });
    }
  }

  get(sink: string): SinkState | undefined {
    return this.#states.get(sink);
  }

  set(sink: string, state: SinkState): void {
    this.#states.set(sink, state);
    this.#dirty.add(sink);
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Writes what changed; inside the caller's transaction. Call `written` once that has committed. */
  write(): void {
    for (const sink of this.#dirty) {
      const state = this.#states.get(sink);
      if (!state) continue;
      const { detours, start, seq, delivered, ignored, refused, skipped } = state;
      this.#put.run(sink, start, seq, delivered, ignored, refused, skipped);
      if (detours.size === 0 && !this.#detoured.has(sink)) continue;
      this.#detoured.add(sink);
      this.#clearDetours.run(sink);
      for (const [lane, detour] of detours) this.#putDetour.run(sink, lane, detour.seq, detour.waiting);
    }
  }

  written(): void {
    for (const sink of this.#dirty) {
      if (this.#states.get(sink)?.detours.size === 0) this.#detoured.delete(sink);
    }
    this.#dirty.clear();
  }

  /** Everything up to this seq is settled by every sink of `sinks`; 0 where one of them is unknown. */
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
