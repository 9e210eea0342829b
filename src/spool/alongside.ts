/**
 * What goes to the disk in the same transaction as a group: the books (counters, absolute) and the fingerprints of
 * the packets that its entries came in, so that both are true after any crash.
 */
import type { Database } from "bun:sqlite";
import type { RetainedRow } from "./retained.ts";

export interface Alongside {
  readonly books: ReadonlyMap<string, number>;
  /** See redelivery.ts. */
  readonly prints: readonly number[];
  /** See retained.ts. */
  readonly retained?: Iterable<RetainedRow>;
  /** Dead letters whose entries are among those appended: they go. */
  readonly letters?: readonly number[];
  /** With it ends what keeps the spool from giving up entries (see `Spool.holdFrom`): then it is written beyond the byte bound. */
  readonly endsTheHold?: boolean;
}

export class AlongsideTables {
  readonly #db: Database;
  /** How many fingerprints to keep at least. */
  readonly #window: number;
  readonly #putBook;
  readonly #putPrints;
  readonly #putRetained;
  readonly #removeRetained;
  readonly #removeLetter;
  #held: number;
  /** What the transaction under way makes of `#held` and `#books`. */
  #change = 0;
  #next: ReadonlyMap<string, number> | undefined;
  /** The counters as they stand on the disk, so that only those that moved are written. */
  #books: ReadonlyMap<string, number>;

  constructor(db: Database, window: number) {
    this.#db = db;
    this.#window = window;
    this.#putBook = db.query("INSERT OR REPLACE INTO books (name, value) VALUES (?, ?)");
    this.#putPrints = db.query("INSERT INTO packets (count, prints) VALUES (?, ?)");
    this.#putRetained = db.query("INSERT OR REPLACE INTO retained (topic, content, id) VALUES (?, ?, NULL)");
    this.#removeRetained = db.query("DELETE FROM retained WHERE topic = ?");
    this.#removeLetter = db.query("DELETE FROM dead_letters WHERE id = ?");
    this.#held =
      db.query<{ n: number }, []>("SELECT coalesce(sum(count), 0) AS n FROM packets").get()?.n ?? 0;
    const rows = db.query<{ name: string; value: number }, []>("SELECT name, value FROM books").all();
    this.#books = new Map(rows.map((row) => [row.name, row.value]));
  }

  /** The counters as last written. */
  books(): ReadonlyMap<string, number> {
    return this.#books;
  }

  /** Fingerprints of the packets last acknowledged, oldest first. */
  prints(): number[] {
    const rows = this.#db.query<{ prints: Uint8Array }, []>("SELECT prints FROM packets ORDER BY id").all();
    return rows.flatMap(({ prints }) => [...new Float64Array(prints.slice().buffer)]);
  }

  /** Topics of retained messages with what is on the disk of each, oldest first. */
  retained(): [topic: number, content: number][] {
    return this.#db
      .query<{ topic: number; content: number }, []>("SELECT topic, content FROM retained ORDER BY id")
      .all()
      .map(({ topic, content }) => [topic, content]);
  }

  /** Inside the caller's transaction, as is `trim`, one of the two a transaction; call `written` once that has committed. */
  write({ books, prints, retained = [], letters = [] }: Alongside): void {
    for (const [name, value] of books) {
      if (this.#books.get(name) !== value) this.#putBook.run(name, value);
    }
    for (const [topic, content] of retained) {
      if (content === null) this.#removeRetained.run(topic);
      else this.#putRetained.run(topic, content);
    }
    for (const id of letters) {
      if (this.#removeLetter.run(id).changes !== 1) throw new Error(`dead letter ${id} is gone`);
    }
    this.#next = books;
    this.#change = prints.length;
    if (prints.length > 0)
      this.#putPrints.run(prints.length, new Uint8Array(Float64Array.from(prints).buffer));
  }

  /** Forgets the oldest fingerprints, a tenth of the window at a time. */
  trim(): void {
    this.#next = undefined;
    this.#change = 0;
    if (this.#held < this.#window * 1.1) return;
    const rows = this.#db
      .query<{ id: number; count: number }, []>("SELECT id, count FROM packets ORDER BY id")
      .all();
    let upTo = 0;
    for (const { id, count } of rows) {
      if (this.#held + this.#change - count < this.#window) break;
      this.#change -= count;
      upTo = id;
    }
    this.#db.query("DELETE FROM packets WHERE id <= ?").run(upTo);
  }

  written(): void {
    this.#held += this.#change;
    this.#change = 0;
    this.#books = this.#next ?? this.#books;
    this.#next = undefined;
  }
}
