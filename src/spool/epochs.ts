/**
 * The starts of gateways on a spool. Each is an epoch, and every entry belongs to one: a spool that was restored from a copy, or a new
 * disk, begins others, so that what a sink holds of one is never taken for another's.
 */
import type { Database } from "bun:sqlite";

export interface Epoch {
  readonly epoch: string;
  /** The first seq that this start of the gateway wrote, or will write. */
  readonly first: number;
}

/**
 * How many starts are remembered although none of their entries is held any more: a restored database may still name
 * them.
 */
const pastEpochsMax = 1_000;

export class Epochs {
  /** The first seq that this gateway wrote, or will write. */
  readonly startedAt: number;
  /** Those that this gateway has begun. */
  readonly ours = new Set<string>();
  readonly #db: Database;
  #all: readonly Epoch[] = [];

  /** Begins that of this gateway, in the caller's transaction. */
  constructor(db: Database, first: number, oldestHeld: number) {
    this.#db = db;
    this.startedAt = first;
    this.begin(first, oldestHeld, (write) => write());
  }

  /** All whose entries may still be held, oldest first. */
  get all(): readonly Epoch[] {
    return this.#all;
  }

  /**
   * What was written from `first` on, and will be, belongs to a new epoch. Forgets one that wrote nothing, and old ones of whose entries
   * nothing is held any more: to forget a start whose entries still wait for a sink would have them delivered twice.
   */
  begin(first: number, oldestHeld: number, commit: (write: () => void) => void): void {
    const epoch = Bun.randomUUIDv7();
    this.ours.add(epoch);
    commit(() => {
      this.#db.query("DELETE FROM epochs WHERE first = ?").run(first);
      this.#db.query("INSERT INTO epochs (epoch, first) VALUES (?, ?)").run(epoch, first);
      this.#db
        .query(
          `DELETE FROM epochs WHERE first < (SELECT first FROM epochs ORDER BY first DESC LIMIT 1 OFFSET ?)
             AND first < (SELECT max(first) FROM epochs WHERE first <= ?)`,
        )
        .run(pastEpochsMax - 1, oldestHeld);
    });
    this.#all = this.#db.query<Epoch, []>("SELECT epoch, first FROM epochs ORDER BY first").all();
  }
}
