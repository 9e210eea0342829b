/**
 * Makes a sound spool of a damaged one: everything that can be read goes into a new file, which takes the place of the old one
 * in one rename; the old one stays beside it.
 *
 * Groups behind a damaged one are as good as those before it, and are kept. Their seqs do not change, and no seq is given twice:
 * the sinks pass over the hole and count it as skipped, so the books still balance. Mending pages in place was the alternative;
 * it would write into the one copy there is.
 */
import { Database } from "bun:sqlite";
import { closeSync, copyFileSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openSqlite } from "../core/sqlite.ts";
import type { Group } from "./codec.ts";
import { logBytes, withFile } from "./file.ts";
import { lockSpool } from "./lock.ts";
import { pageBytes } from "./open.ts";
import { attempt, groupsOf, keysOf, lastKey } from "./salvage.ts";
import { prepareSpool } from "./schema.ts";
import { settleCursors } from "./settle.ts";
import { inspect, letterFault, type Verified, type VerifyOptions } from "./verify.ts";

/** What the spool holds after all, for the books. */
export interface Held {
  /** The last seq ever given. */
  readonly head: number;
  /** Messages that wait to be judged, beyond `rejudged_to`. */
  readonly deferred: (after: number) => number;
}

export interface MendedBooks {
  readonly books: ReadonlyMap<string, number>;
  readonly head: number;
  /** What had to be changed, one sentence each. */
  readonly notes: readonly string[];
}

export interface RepairOptions extends VerifyOptions {
  readonly nowMs: number;
  /** Makes the counters fit what there is. */
  readonly mendBooks: (books: ReadonlyMap<string, number>, held: Held) => MendedBooks;
}

export interface Repaired {
  /** What was found. */
  readonly before: Verified;
  /** Where the damaged file is now; null: nothing was damaged and nothing was done. */
  readonly original: string | null;
  /** What else had to be given up or set right, one sentence each. */
  readonly notes: readonly string[];
}

/** @throws where the spool is in use, is not there, or the disk has no room for a second one; nothing is changed then */
export function repairSpool(options: RepairOptions): Repaired {
  const { dataDir, spooled, nowMs } = options;
  const unlock = lockSpool(dataDir);
  try {
    mergeLog(join(dataDir, "spool.db"));
    const made = withFile(dataDir, (db, path) => {
      const before = inspect(db, path, spooled);
      return before.sound
        ? { before, notes: [] }
        : { before, notes: rebuild(db, `${path}.repairing`, before, options) };
    });
    if (made.before.sound) return { ...made, original: null };
    return { ...made, original: exchange(dataDir, nowMs) };
  } finally {
    unlock();
  }
}

/** Brings the write-ahead log into the file, so that the file alone is the spool and one rename replaces it. */
function mergeLog(path: string): void {
  if (logBytes(path) === 0) return;
  attempt(() => {
    const db = new Database(path, { readwrite: true, create: false });
    try {
      db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      db.close();
    }
  });
}

/** @returns what had to be given up beside the groups that `before` names */
function rebuild(from: Database, path: string, before: Verified, { mendBooks }: RepairOptions): string[] {
  remove(path);
  const to = openSqlite(path, pageBytes);
  try {
    // Until it takes its place it is nobody's, and needs no journal as large as itself.
    to.run("PRAGMA journal_mode = OFF");
    prepareSpool(to, path);
    const notes: string[] = [];
    to.transaction(() => {
      const deferred = copyGroups(from, to);
      for (const table of tablesOf(to)) notes.push(...copyTable(from, to, table));
      const held = {
        head: before.head,
        deferred: (after: number) => deferred.filter((seq) => seq > after).length,
      };
      notes.push(...settle(to, held, mendBooks));
    })();
    to.run("PRAGMA journal_mode = WAL");
    to.close();
    return notes;
  } catch (error) {
    to.close();
    remove(path);
    throw error;
  }
}

/** @returns the seqs of deferred entries */
function copyGroups(from: Database, to: Database): number[] {
  const insert = to.query(
    "INSERT INTO groups (last, count, received_ms, codec, crc, body) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const deferred: number[] = [];
  attempt(() => {
    for (const each of groupsOf(from)) {
      if ("lost" in each) continue;
      const { last, count, received_ms: receivedMs, codec, crc, body } = each.row;
      insert.run(last, count, receivedMs, codec, crc, body);
      for (const { kind, seq } of each.entries) if (kind === "deferred") deferred.push(seq);
    }
  });
  return deferred;
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
  const insert = to.query(
    `INSERT OR IGNORE INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  let lost = 0;
  const scanned = attempt(() => {
    const get = from.query<Record<string, string | number | Uint8Array | null>, [number]>(
      `SELECT ${columns.join(", ")} FROM ${name} WHERE rowid = ?`,
    );
    for (const key of keysOf(from, name, lastKey(from, name))) {
      const row = "key" in key ? attempt(() => get.get(key.key)) : undefined;
      const bad =
        name === "dead_letters" && letterFault(() => asLetter(row?.ok ? row.value : null)) !== undefined;
      if (row?.ok && row.value !== null && !bad) {
        const { value } = row;
        insert.run(...columns.map((column) => value[column] ?? null));
      } else if (!bad) lost++;
    }
  });
  if (scanned.ok && lost === 0) return [];
  return [`the table ${name} is damaged; rows of it are lost`];
}

function asLetter(row: unknown): (Group & { seq: number }) | null {
  return row as (Group & { seq: number }) | null;
}

/** Books and cursors that fit what is there, and a head that does not go back. */
function settle(db: Database, held: Held, mendBooks: RepairOptions["mendBooks"]): string[] {
  const rows = db.query<{ name: string; value: number }, []>("SELECT name, value FROM books").all();
  const { books, head, notes } = mendBooks(new Map(rows.map(({ name, value }) => [name, value])), held);
  const put = db.query("INSERT OR REPLACE INTO books (name, value) VALUES (?, ?)");
  for (const [name, value] of books) put.run(name, value);
  const skipped = settleCursors(db);
  db.query("DELETE FROM epochs WHERE first > ?").run(head);
  db.query("INSERT INTO epochs (epoch, first) VALUES (?, ?)").run(Bun.randomUUIDv7(), head + 1);
  return [...notes, ...skipped];
}

/** The new file takes the place of the old one at once, whatever crashes. @returns where the old one is */
function exchange(dataDir: string, nowMs: number): string {
  const path = join(dataDir, "spool.db");
  const stamp = new Date(nowMs).toISOString().replace(/[-:.]/g, "");
  const original = `${path}.damaged-${stamp}`;
  sync(`${path}.repairing`);
  if (logBytes(path) > 0) renameSync(`${path}-wal`, `${original}-wal`);
  for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
  // A file system without hard links gets a copy: there is a spool.db at every moment.
  if (!attempt(() => linkSync(path, original)).ok) copyFileSync(path, original);
  renameSync(`${path}.repairing`, path);
  sync(dataDir);
  return original;
}

function remove(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

function sync(path: string): void {
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
}
