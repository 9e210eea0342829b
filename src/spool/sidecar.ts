/**
 * The sidecar tables: what is written in the same transaction as a group, the books (absolute counters) and the
 * fingerprints of the packets that its entries came in, so that both are true after any crash.
 */
import type { Database } from "bun:sqlite";
import { unproven, type RedeliveryWindow } from "./redelivery.ts";
import type { RetainedRow } from "./retained.ts";

export interface CommitRecord {
  readonly books: ReadonlyMap<string, number>;
  /** The packets that the entries came in: fingerprint and owner of each, one after the other; see redelivery.ts. */
  readonly packets?: readonly number[];
  /**
   * All packets to be remembered, these included. Once the table holds twice as many, it is written anew from here.
   */
  readonly window?: Pick<RedeliveryWindow, "pairs">;
  /** See retained.ts. */
  readonly retained?: Iterable<RetainedRow>;
  /** How far sources have read their logs: key and value of each mark that moved. */
  readonly marks?: ReadonlyMap<string, string>;
  /** Dead letters whose entries are among those appended; they are removed. */
  readonly deadLetterIds?: readonly number[];
  /**
   * True if this append ends what keeps the spool from trimming (see `Spool.holdFrom`): it is then written even
   * beyond the byte bound and the disk's floor.
   */
  readonly endsTheHold?: boolean;
}

export class SidecarTables {
  readonly #db: Database;
  /** How many packets the window holds at most. */
  readonly #windowSize: number;
  readonly #putBook;
  readonly #putPackets;
  readonly #removePackets;
  readonly #putRetained;
  readonly #removeRetained;
  readonly #removeDeadLetter;
  readonly #putMark;
  #held: number;
  /** What the transaction under way adds to `#held`; `#next` is what it makes of `#books`. */
  #change = 0;
  #next: ReadonlyMap<string, number>;
  /** The counters as they are on disk, so that only those that moved are written. */
  #books: ReadonlyMap<string, number>;

  constructor(db: Database, windowSize: number) {
    this.#db = db;
    this.#windowSize = windowSize;
    // Neither this nor a mark by REPLACE: it puts a new row in the place of the old one, and so writes a page of the index as well.
    this.#putBook = db.query(
      "INSERT INTO books (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    this.#putPackets = db.query("INSERT INTO packets (count, prints) VALUES (?, ?)");
    this.#removePackets = db.query("DELETE FROM packets");
    this.#putRetained = db.query("INSERT OR REPLACE INTO retained (topic, content, id) VALUES (?, ?, NULL)");
    this.#removeRetained = db.query("DELETE FROM retained WHERE topic = ?");
    this.#removeDeadLetter = db.query("DELETE FROM dead_letters WHERE id = ?");
    this.#putMark = db.query(
      "INSERT INTO marks (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    );
    this.#held =
      db.query<{ n: number }, []>("SELECT coalesce(sum(count), 0) AS n FROM packets").get()?.n ?? 0;
    this.#books = this.#next = booksIn(db);
  }

  /** The counters as last written. */
  books(): ReadonlyMap<string, number> {
    return this.#books;
  }

  /** The packets last acknowledged, oldest first: fingerprint and owner of each, one after the other. */
  packets(): number[] {
    return this.#db
      .query<{ count: number; prints: Uint8Array }, []>("SELECT count, prints FROM packets ORDER BY id")
      .all()
      .flatMap(({ count, prints }) => pairsIn(prints, count));
  }

  /** Topics of retained messages, each with the content that is on disk, oldest first. */
  retained(): [topic: number, content: number][] {
    return this.#db
      .query<{ topic: number; content: number }, []>("SELECT topic, content FROM retained ORDER BY id")
      .all()
      .map(({ topic, content }) => [topic, content]);
  }

  /** How far into its log each source's messages are durable here. */
  marks(): ReadonlyMap<string, string> {
    const rows = this.#db.query<{ key: string; value: string }, []>("SELECT key, value FROM marks").all();
    return new Map(rows.map(({ key, value }) => [key, value]));
  }

  /** Runs inside the caller's transaction; call `written` once that has committed. */
  write({
    books,
    packets = [],
    window,
    retained = [],
    deadLetterIds: letters = [],
    marks,
  }: CommitRecord): void {
    for (const [name, value] of books) {
      if (this.#books.get(name) !== value) this.#putBook.run(name, value);
    }
    for (const [topic, content] of retained) {
      if (content === null) this.#removeRetained.run(topic);
      else this.#putRetained.run(topic, content);
    }
    if (marks) for (const [key, value] of marks) this.#putMark.run(key, value);
    for (const id of letters) {
      if (this.#removeDeadLetter.run(id).changes !== 1) throw new Error(`dead letter ${id} is gone`);
    }
    this.#next = books;
    this.#change = 0;
    if (packets.length > 0) this.#writePackets(packets, window);
  }

  #writePackets(added: readonly number[], window: CommitRecord["window"]): void {
    const isDue = window !== undefined && this.#held + added.length / 2 > 2 * this.#windowSize;
    const pairs = isDue ? window.pairs() : new Float64Array(added);
    if (isDue) this.#removePackets.run();
    this.#putPackets.run(pairs.length / 2, new Uint8Array(pairs.buffer));
    this.#change = pairs.length / 2 - (isDue ? this.#held : 0);
  }

  written(): void {
    this.#held += this.#change;
    this.#books = this.#next;
  }
}

/** The counters as a spool's file has them, by name. */
export function booksIn(db: Database): Map<string, number> {
  const rows = db
    .query<{ name: string; value: number }, []>("SELECT name, value FROM books ORDER BY name")
    .all();
  return new Map(rows.map(({ name, value }) => [name, value]));
}

/** Reads pairs. The first version wrote fingerprints without owners. */
function pairsIn(bytes: Uint8Array, count: number): number[] {
  const numbers = [...new Float64Array(bytes.slice().buffer)];
  return numbers.length === count ? numbers.flatMap((print) => [print, unproven]) : numbers;
}
