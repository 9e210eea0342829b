/**
 * Makes a new spool file from everything that can be read from another: groups, dead letters, cursors, books, and
 * whatever other tables there are.
 */
import type { Database } from "bun:sqlite";
import { openSqlite, removeSqlite } from "../../core/file/sqlite.ts";
import type { Group } from "../codec.ts";
import { asFarAsReadable, attempt, groupsOf, keysOf, lastKey, type Reading } from "./salvage.ts";
import { insertGroup } from "../groups.ts";
import { prepareSpool } from "../schema.ts";
import { booksIn } from "../sidecar.ts";
import { balanceCursors } from "./balance-cursors.ts";
import { letterFault, type Verified } from "./verify.ts";

/** What the spool holds after the rebuild, for the books. */
export interface Held {
  /** The last seq ever given. */
  readonly head: number;
  /** How many messages wait to be judged beyond the seq `after` (`rejudged_to`). */
  readonly deferred: (after: number) => number;
}

export interface BalancedBooks {
  readonly books: ReadonlyMap<string, number>;
  readonly head: number;
  /** What had to be changed, one sentence per change. */
  readonly notes: readonly string[];
}

/** Makes the counters match what the spool holds. */
export type BalanceBooks = (books: ReadonlyMap<string, number>, held: Held) => BalancedBooks;

/**
 * @param before what was found in the damaged spool
 * @returns what else had to be given up or corrected, besides groups and dead letters, one sentence each
 */
export function rebuild(
  from: Database,
  path: string,
  before: Verified,
  balanceBooks: BalanceBooks,
  reading?: Reading,
): string[] {
  removeSqlite(path);
  const to = openSqlite(path);
  try {
    // Nobody uses the file until it replaces the old one, so it needs no journal as large as itself.
    to.run("PRAGMA journal_mode = OFF");
    prepareSpool(to, path);
    const notes: string[] = [];
    to.transaction(() => {
      const { entries, deferred } = copyGroups(from, to, reading);
      if (entries !== before.entries) throw new Error(`${before.path} changes while it is read`);
      for (const table of tablesOf(to)) notes.push(...copyTable(from, to, table));
      keepLastId(from, to);
      const held = {
        head: before.head,
        deferred: (after: number) => deferred.filter((seq) => seq > after).length,
      };
      notes.push(...balance(to, held, balanceBooks));
    })();
    to.run("PRAGMA journal_mode = WAL");
    to.close();
    return notes;
  } catch (error) {
    to.close();
    removeSqlite(path);
    throw error;
  }
}

/** @returns how many entries were copied, and the seqs of those that are deferred */
function copyGroups(
  from: Database,
  to: Database,
  reading?: Reading,
): { entries: number; deferred: number[] } {
  const insert = to.query(insertGroup);
  const deferred: number[] = [];
  let entries = 0;
  for (const each of asFarAsReadable(groupsOf(from, reading), () => {})) {
    if ("lost" in each) continue;
    const { last, count, received_ms: receivedMs, codec, crc, body } = each.row;
    insert.run(last, count, receivedMs, codec, crc, body);
    entries += count;
    for (const { kind, seq } of each.entries) if (kind === "deferred") deferred.push(seq);
  }
  return { entries, deferred };
}

/** All tables but the groups, with the columns they have. */
function tablesOf(db: Database): { name: string; columns: string[] }[] {
  const tables = db
    .query<{ name: string }, []>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'groups' AND name NOT LIKE 'sqlite_%'",
    )
    .all();
  return tables.map(({ name }) => {
    const columns = db.query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?)").all(name);
    return { name, columns: columns.map((column) => column.name) };
  });
}

function copyTable(
  from: Database,
  to: Database,
  { name, columns }: { name: string; columns: string[] },
): string[] {
  // A spool of an earlier version lacks what was added since; one whose schema cannot be read may have it.
  const found = attempt(() => from.query("SELECT 1 FROM sqlite_schema WHERE name = ?").get(name));
  if (found.ok && found.value === null) return [];
  const names = columns.join(", ");
  const insert = to.query(
    `INSERT OR IGNORE INTO ${name} (${names}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  let lost = false;
  const miss = () => {
    lost = true;
  };
  for (const row of asFarAsReadable(rowsOf(from, name, names), miss)) {
    // Damaged dead letters are reported one by one (verify.ts).
    if (name === "dead_letters" && letterFault(() => asLetter(row)) !== undefined) continue;
    if (row === null) miss();
    else insert.run(...columns.map((column) => row[column] ?? null));
  }
  return lost ? [`the table ${name} is damaged; rows of it are lost`] : [];
}

/** The last id that was ever given to a dead letter: none is given again, for an operator may have noted it. */
function keepLastId(from: Database, to: Database): void {
  const found = attempt(() =>
    from.query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'dead_letters'").get(),
  );
  if (!found.ok || found.value === null) return;
  to.run("DELETE FROM sqlite_sequence WHERE name = 'dead_letters'");
  to.query("INSERT INTO sqlite_sequence (name, seq) VALUES ('dead_letters', ?)").run(found.value.seq);
}

type Row = Readonly<Record<string, string | number | Uint8Array | null>>;

/** Yields null for a row that cannot be read. */
function* rowsOf(db: Database, table: string, names: string): Generator<Row | null> {
  const get = db.query<Row, [number]>(`SELECT ${names} FROM ${table} WHERE rowid = ?`);
  for (const key of keysOf(db, table, lastKey(db, table))) {
    const row = "key" in key ? attempt(() => get.get(key.key)) : undefined;
    yield row?.ok ? row.value : null;
  }
}

function asLetter(row: unknown): (Group & { seq: number }) | null {
  return row as (Group & { seq: number }) | null;
}

/** Corrects books and cursors to match what is there, and keeps the head from going back. */
function balance(db: Database, held: Held, balanceBooks: BalanceBooks): string[] {
  const { books, head, notes } = balanceBooks(booksIn(db), held);
  const put = db.query("INSERT OR REPLACE INTO books (name, value) VALUES (?, ?)");
  for (const [name, value] of books) put.run(name, value);
  const skipped = balanceCursors(db);
  db.query("DELETE FROM epochs WHERE first > ?").run(head);
  db.query("INSERT INTO epochs (epoch, first) VALUES (?, ?)").run(Bun.randomUUIDv7(), head + 1);
  return [...notes, ...skipped];
}
