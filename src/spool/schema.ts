/**
 * The spool's tables. `groups` is the log; the rest says where everybody stands in it.
 */
import type { Database } from "bun:sqlite";

export const formatVersion = 1;

const tables = [
  // The log. Keyed by a group's last seq: "the group that holds seq n" and "all groups up to n" are both one range of the key.
  `CREATE TABLE IF NOT EXISTS groups (last INTEGER PRIMARY KEY, count INTEGER NOT NULL, received_ms INTEGER NOT NULL,
     codec INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)`,
  // Each start of a gateway on this spool, and the first seq it wrote.
  `CREATE TABLE IF NOT EXISTS epochs (first INTEGER NOT NULL, epoch TEXT NOT NULL UNIQUE)`,
  // Where a sink stands, and what became of everything before that.
  `CREATE TABLE IF NOT EXISTS cursors (sink TEXT PRIMARY KEY, start INTEGER NOT NULL, seq INTEGER NOT NULL,
     delivered INTEGER NOT NULL, ignored INTEGER NOT NULL, refused INTEGER NOT NULL, skipped INTEGER NOT NULL)`,
  // Lanes of a sink that fell behind its cursor: their first unsettled seq and how many entries they have waiting.
  `CREATE TABLE IF NOT EXISTS detours (sink TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL, waiting INTEGER NOT NULL,
     PRIMARY KEY (sink, lane))`,
  `CREATE TABLE IF NOT EXISTS books (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`,
  // Acknowledged packets (fingerprint and owner, 8 bytes each), kept longer than the groups they came with.
  `CREATE TABLE IF NOT EXISTS packets (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, prints BLOB NOT NULL)`,
  // Fingerprints of topics that a broker keeps a message of, and of the last message of each that is on the disk.
  `CREATE TABLE IF NOT EXISTS retained (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL UNIQUE, content INTEGER NOT NULL)`,
  // How far the logs that sources read are durable here (core/message.ts, Mark).
  `CREATE TABLE IF NOT EXISTS marks (key TEXT PRIMARY KEY, value TEXT NOT NULL)`,
  // What a far side will never take: the entry as a group of one, with the far side's words.
  `CREATE TABLE IF NOT EXISTS dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
     refused_ms INTEGER NOT NULL, why TEXT NOT NULL, tenant_id TEXT, device_id TEXT, codec INTEGER NOT NULL, crc INTEGER NOT NULL,
     body BLOB NOT NULL, UNIQUE (sink, epoch, seq))`,
  // How many they are and what they take, kept by triggers: to count sixty thousand of them for each /stats would be a pause.
  `CREATE TABLE IF NOT EXISTS dead_letter_totals (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, bytes INTEGER NOT NULL)`,
  `CREATE TRIGGER IF NOT EXISTS dead_letter_added AFTER INSERT ON dead_letters BEGIN
     UPDATE dead_letter_totals SET count = count + 1, bytes = bytes + ${letterBytes("new")}; END`,
  `CREATE TRIGGER IF NOT EXISTS dead_letter_removed AFTER DELETE ON dead_letters BEGIN
     UPDATE dead_letter_totals SET count = count - 1, bytes = bytes - ${letterBytes("old")}; END`,
];

/** Once, for a spool from before they were counted. */
function countLetters(db: Database): void {
  db.run(
    `INSERT INTO dead_letter_totals SELECT 1, count(*), coalesce(sum(${letterBytes("dead_letters")}), 0) FROM dead_letters`,
  );
}

/** What a dead letter takes on the disk, nearly: its entry, the far side's words, keys and page overhead. */
export function letterBytes(row: string): string {
  return `(length(${row}.body) + length(${row}.why) + 128)`;
}

/** @throws where the file is a spool of a later version, or is damaged */
export function prepareSpool(db: Database, path: string): void {
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
  // From its first look on nobody else writes: what read first and writes then would be refused at once, whatever the patience.
  prepare.immediate();
}
