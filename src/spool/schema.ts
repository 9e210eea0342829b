/** The spool's tables. `groups` is the log; the others say who has come how far in it. */
import type { Database } from "bun:sqlite";
import { whyForeign } from "../core/file/sqlite.ts";

export const formatVersion = 1;

const tables = [
  // The log. Its key is a group's last seq: "the group that holds seq n" and "all groups up to n" are then both one
  // range of the key.
  `CREATE TABLE IF NOT EXISTS groups (last INTEGER PRIMARY KEY, count INTEGER NOT NULL, received_ms INTEGER NOT NULL,
     codec INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)`,
  // Each start of a gateway on this spool, with the first seq that it wrote.
  `CREATE TABLE IF NOT EXISTS epochs (first INTEGER NOT NULL, epoch TEXT NOT NULL UNIQUE)`,
  // How far each sink has come, and what became of everything before that.
  `CREATE TABLE IF NOT EXISTS cursors (sink TEXT PRIMARY KEY, start INTEGER NOT NULL, seq INTEGER NOT NULL,
     delivered INTEGER NOT NULL, ignored INTEGER NOT NULL, refused INTEGER NOT NULL, skipped INTEGER NOT NULL)`,
  // Lanes of a sink that fell behind its cursor: their first unsettled seq and how many entries they have waiting.
  `CREATE TABLE IF NOT EXISTS detours (sink TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL, waiting INTEGER NOT NULL,
     PRIMARY KEY (sink, lane))`,
  `CREATE TABLE IF NOT EXISTS books (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`,
  // Acknowledged packets (fingerprint and owner, 8 bytes each), kept longer than the groups they came with.
  `CREATE TABLE IF NOT EXISTS packets (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, prints BLOB NOT NULL)`,
  // Fingerprints of the topics for which a broker retains a message, and of the last message per topic that is on disk.
  `CREATE TABLE IF NOT EXISTS retained (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL UNIQUE, content INTEGER NOT NULL)`,
  // How far the logs that sources read are durable here (core/message.ts, Mark).
  `CREATE TABLE IF NOT EXISTS marks (key TEXT PRIMARY KEY, value TEXT NOT NULL)`,
  // By which time what is kept is old (age.ts).
  `CREATE TABLE IF NOT EXISTS age (id INTEGER PRIMARY KEY CHECK (id = 1), ms INTEGER NOT NULL)`,
  // What a downstream system will never take: the entry as a group of one, with that system's words.
  `CREATE TABLE IF NOT EXISTS dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
     refused_ms INTEGER NOT NULL, why TEXT NOT NULL, tenant_id TEXT, device_id TEXT, codec INTEGER NOT NULL, crc INTEGER NOT NULL,
     body BLOB NOT NULL, UNIQUE (sink, epoch, seq))`,
  // The number and bytes of dead letters, kept by triggers: to count sixty thousand of them per /stats would be a
  // pause.
  `CREATE TABLE IF NOT EXISTS dead_letter_totals (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, bytes INTEGER NOT NULL)`,
  `CREATE TRIGGER IF NOT EXISTS dead_letter_added AFTER INSERT ON dead_letters BEGIN
     UPDATE dead_letter_totals SET count = count + 1, bytes = bytes + ${letterBytes("new")}; END`,
  `CREATE TRIGGER IF NOT EXISTS dead_letter_removed AFTER DELETE ON dead_letters BEGIN
     UPDATE dead_letter_totals SET count = count - 1, bytes = bytes - ${letterBytes("old")}; END`,
];

/** Counts once, for a spool from before these totals were kept. */
function countLetters(db: Database): void {
  db.run(
    `INSERT INTO dead_letter_totals SELECT 1, count(*), coalesce(sum(${letterBytes("dead_letters")}), 0) FROM dead_letters`,
  );
}

/**
 * What a dead letter takes on disk, approximately: its entry, the downstream system's words, keys and page overhead.
 */
export function letterBytes(row: string): string {
  return `(length(${row}.body) + length(${row}.why) + 128)`;
}

/** A damaged spool may have lost some. */
const ours = ["groups", "cursors", "epochs", "dead_letters"];

/** @returns why a file is no spool, and what to do; undefined if it is one, or new. @throws if it is damaged */
export const whyNoSpool = (db: Database) => whyForeign(db, ours);

/** @throws if the file is a spool of a later version, is another program's, or is damaged */
export function prepareSpool(db: Database, path: string): void {
  const foreign = whyNoSpool(db);
  if (foreign !== undefined) throw new Error(`${path}: ${foreign}`);
  const found = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
  if (found > formatVersion) {
    throw new Error(
      `${path} was written by a later version of sluice (format ${found}): run that version, or a new DATA_DIR`,
    );
  }
  const prepare = db.transaction(() => {
    for (const table of tables) db.run(table);
    if (db.query("SELECT 1 FROM dead_letter_totals").get() === null) countLetters(db);
    db.run(`PRAGMA user_version = ${formatVersion}`);
  });
  // An immediate transaction keeps other writers out from its first read on: one that read first and wrote then would
  // be refused at once, however long it may wait.
  prepare.immediate();
}
