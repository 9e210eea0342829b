/** Opening a spool: starts, the lock, the format, and files that are damaged. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { explain } from "../../src/core/log/log.ts";
import { balanceBooks, told } from "../../src/intake/books.ts";
import { encodeAll, Groups } from "../../src/spool/groups.ts";
import { openSpoolFile } from "../../src/spool/open.ts";
import { prepareSpool } from "../../src/spool/schema.ts";
import { compactSpool } from "../../src/spool/tools/compact.ts";
import { repairSpool } from "../../src/spool/tools/repair.ts";
import { verifySpool } from "../../src/spool/tools/verify.ts";
import { repair as repairNow } from "../kit/repair-runner.ts";
import { anEntry, bulky, emptyRecord, put, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

/** What an operator is told of the error that it throws. */
function wordsOf(work: () => unknown): string {
  try {
    work();
    return "";
  } catch (error) {
    return explain(error);
  }
}

describe("epochs", () => {
  const epochsOf = (dataDir: string, appended: number) => {
    const spool = kit.spool({ dataDir });
    if (appended > 0) put(spool, appended);
    const { epochs } = spool;
    kit.close(spool);
    return epochs;
  };

  test("each start is an epoch, with the first seq that it writes", () => {
    const dataDir = kit.dir();
    epochsOf(dataDir, 5);
    epochsOf(dataDir, 2);
    const epochs = epochsOf(dataDir, 1);
    expect(epochs.map((e) => e.first)).toEqual([1, 6, 8]);
    expect(new Set(epochs.map((e) => e.epoch)).size).toBe(3);
  });

  test("a start that wrote nothing is forgotten", () => {
    const dataDir = kit.dir();
    const [wrote] = epochsOf(dataDir, 5);
    for (let i = 0; i < 5; i++) epochsOf(dataDir, 0);
    const epochs = epochsOf(dataDir, 0);
    expect(epochs.map((e) => e.first)).toEqual([1, 6]);
    expect(epochs[0]).toEqual(wrote);
  });
});

describe("opening", () => {
  test("a lock that is no lock any more, as after a fault of the disk, keeps nobody out but whoever is second", () => {
    const dataDir = kit.dir();
    writeFileSync(join(dataDir, "spool.lock"), Buffer.alloc(200));
    kit.spool({ dataDir });
    expect(() => kit.spool({ dataDir })).toThrow("is in use by another gateway");
    writeFileSync(join(dataDir, "spool.lock"), "of somebody else".repeat(9));
    expect(() => kit.spool({ dataDir })).toThrow("is in use by another gateway");
  });

  test("a second time in the same directory fails until the first spool is closed", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir });
    expect(() => kit.spool({ dataDir })).toThrow(
      `the spool in ${dataDir} is in use by another gateway, or by a command such as \`sluice spool repair\`: stop that one, or give this one its own DATA_DIR`,
    );
    put(first, 1);
    kit.close(first);
    expect(kit.spool({ dataDir }).head).toBe(1);
  });

  test("a missing directory is reported as missing, and not as in use", () => {
    expect(() => kit.spool({ dataDir: join(kit.dir(), "gone") })).toThrow(
      /cannot lock .*gone.*directory exists/,
    );
  });

  test("a spool of a later format is not opened and stays unchanged", () => {
    const dataDir = kit.dir();
    kit.close(kit.spool({ dataDir }));
    const path = join(dataDir, "spool.db");
    const db = new Database(path);
    db.run("PRAGMA user_version = 2");
    db.close();
    expect(() => kit.spool({ dataDir })).toThrow("was written by a later version of sluice (format 2)");
    const after = new Database(path, { readonly: true });
    expect(after.query("PRAGMA user_version").get()).toEqual({ user_version: 2 });
    after.close();
  });

  test("a database of another program is neither opened nor repaired, and stays unchanged", () => {
    const dataDir = kit.dir();
    const path = join(dataDir, "spool.db");
    const db = new Database(path);
    for (const sql of ["CREATE TABLE notes (id)", "PRAGMA user_version = 7"]) db.run(sql);
    const words = `${path}: it is a database, but not the one that belongs here (its tables: notes): put`;
    expect(() => kit.spool({ dataDir })).toThrow(words);
    expect(() => repairNow(dataDir, 0)).toThrow(words);
    expect(db.query("SELECT name FROM sqlite_schema").all()).toEqual([{ name: "notes" }]);
    db.close();
  });

  test.each([
    ["no database at all", () => Buffer.alloc(8_192, "x")],
    ["a database with a page overwritten", (whole: Buffer) => overwritten(whole, 4_096)],
    [
      "a database cut in half",
      (whole: Buffer) => whole.subarray(0, Math.floor(whole.length / 8_192) * 4_096),
    ],
  ])("a file that is %s is not opened; the error says what to do", (_, spoil) => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    for (let i = 0; i < 30; i++) spool.append(bulky(3, 5_000), emptyRecord);
    kit.close(spool);
    const path = join(dataDir, "spool.db");
    writeFileSync(path, spoil(readFileSync(path)));
    rmSync(`${path}-wal`, { force: true });
    expect(() => kit.spool({ dataDir })).toThrow(
      /spool\.db is damaged, or its disk .*dmesg.*sluice spool repair/s,
    );
    expect(() => kit.spool({ dataDir })).not.toThrow("in use");
    expect(wordsOf(() => kit.spool({ dataDir }))).not.toContain("see that its directory exists");
  });

  test("a group damaged inside its page is not found at the start, but named when it is read; others are read", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    put(spool, 10);
    spool.append([anEntry({ payload: '{"find":"this needle in the file"}' })], emptyRecord);
    put(spool, 10);
    kit.close(spool);
    const path = join(dataDir, "spool.db");
    const at = readFileSync(path).indexOf("this needle");
    const fd = openSync(path, "r+");
    writeSync(fd, "THIS", at);
    closeSync(fd);
    const again = kit.spool({ dataDir });
    expect(() => again.read(11)).toThrow(
      "the spool's group 11 to 11 is damaged (its checksum does not match its bytes): stop the gateway and run `sluice spool repair`",
    );
    expect(again.read(1)).toHaveLength(10);
    expect(again.read(12)).toHaveLength(10);
  });

  test("a group that cannot be read is not called damaged: a repair would give up what the disk may read later", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    put(spool, 10);
    kit.close(spool);
    const again = kit.spool({ dataDir });
    const other = new Database(join(dataDir, "spool.db"));
    other.run("ALTER TABLE groups RENAME COLUMN body TO gone");
    other.close();
    expect(() => again.read(1)).toThrow(
      /^the spool's group 1 to 10 cannot be read \(no such column: body\)$/,
    );
  });

  test.each([
    ["SQLITE_IOERR_READ", "cannot be read (no luck): see dmesg for the fault of its disk"],
    // What SQLite makes of EIO within a statement.
    [
      "SQLITE_CORRUPT",
      "is damaged, or its disk does not read it (no luck): see dmesg for a fault of the disk",
    ],
  ])(
    "of a group that the disk does not read it is said where the fault of the disk is told: %s",
    (code, words) => {
      const db = new Database(":memory:");
      prepareSpool(db, ":memory:");
      const query = db.query.bind(db);
      const get = () => {
        // Only SQLite can make one of its errors; they are known by their name.
        throw Object.assign(new Error("no luck"), { name: "SQLiteError", code });
      };
      spyOn(db, "query").mockImplementation(
        (sql) => (sql.startsWith("SELECT codec") ? { get } : query(sql)) as never,
      );
      const groups = new Groups(db, 0);
      for (const group of encodeAll([anEntry({})])) groups.insert(group, 1);
      expect(() => groups.read(1)).toThrow(`the spool's group 1 to 1 ${words}`);
    },
  );

  test.each([
    [
      "SQLITE_IOERR_READ",
      "cannot be opened (no luck): see dmesg for a fault of the disk; if there is none, see that its directory exists",
    ],
    [
      "SQLITE_CORRUPT",
      "is damaged, or its disk does not read it (no luck): see dmesg for a fault of the disk; if there is none, run `sluice spool repair`",
    ],
  ])("of a file that the disk does not read as it is opened it is said, too: %s", (code, words) => {
    const dataDir = kit.dir();
    const use = () => {
      throw Object.assign(new Error("no luck"), { name: "SQLiteError", code });
    };
    expect(() => openSpoolFile(dataDir, use)).toThrow(`spool.db ${words}`);
  });

  test.each(["repairing", "padded"])(
    "what a killed tool has left, %s, goes: it is as large as the spool",
    (tool) => {
      const dataDir = kit.dir();
      const left = join(dataDir, `spool.db.${tool}`);
      writeFileSync(left, "a part");
      kit.close(kit.spool({ dataDir }));
      expect(existsSync(left)).toBe(false);
      // It cannot be removed as a file is.
      mkdirSync(left);
      kit.spool({ dataDir });
    },
  );
});

function overwritten(whole: Buffer, at: number): Buffer {
  const spoilt = Buffer.from(whole);
  spoilt.fill(0x5a, at, at + 8_192);
  return spoilt;
}

/** The directory of a spool of three entries whose process was killed. */
function killed(): string {
  const [running, dataDir] = [kit.dir(), kit.dir()];
  put(kit.spool({ dataDir: running }), 3);
  cpSync(running, dataDir, { recursive: true });
  return dataDir;
}

describe("a missing file is not taken for one that never existed", () => {
  test.each([
    ["is gone", (path: string) => rmSync(path)],
    ["is empty, as after a power cut,", (path: string) => writeFileSync(path, "")],
  ])("a spool whose file %s does not silently begin anew", (_, lose) => {
    const dataDir = kit.dir();
    kit.close(kit.spool({ dataDir }));
    lose(join(dataDir, "spool.db"));
    expect(() => kit.spool({ dataDir })).toThrow(
      /spool\.db is missing or empty although there was a spool here: put it back/,
    );
    expect(statSync(join(dataDir, "spool.db"), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
    rmSync(join(dataDir, "spool.state"));
    expect(kit.spool({ dataDir }).head).toBe(0);
  });

  test("a write-ahead log that is gone after a crash is reported, and repair continues with what is left", () => {
    const dataDir = kit.dir();
    const crashed = kit.spool({ dataDir });
    const copy = kit.dir();
    cpSync(dataDir, copy, { recursive: true });
    kit.close(crashed);
    rmSync(join(copy, "spool.db-wal"));
    expect(() => kit.spool({ dataDir: copy })).toThrow(
      /spool\.db-wal is missing although the spool was not closed/,
    );
    repairSpool({
      dataDir: copy,
      told,
      balanceBooks,
      nowMs: 0,
    });
    expect(() => kit.spool({ dataDir: copy })).not.toThrow();
  });

  test("a state that cannot be read, as another user's, is named with the cure", () => {
    const dataDir = killed();
    const state = join(dataDir, "spool.state");
    rmSync(state);
    mkdirSync(state);
    expect(() => kit.spool({ dataDir })).toThrow(
      /^EISDIR: .*: see that its directory exists, can be written/,
    );
  });

  test("a start that fails leaves the write-ahead log of a spool that was not closed: the next one begins", () => {
    const dataDir = killed();
    const fail = () => {
      throw new Error("database or disk is full");
    };
    expect(() => openSpoolFile(dataDir, fail)).toThrow("full");
    expect(kit.spool({ dataDir }).head).toBe(3);
  });

  test("a spool that was not closed and then compacted is there at the next start", () => {
    const dataDir = killed();
    compactSpool(dataDir);
    expect(kit.spool({ dataDir }).head).toBe(3);
  });

  test("a backup is taken in place of a spool that was not closed as the error says: without its log and its state", () => {
    const [dataDir, backup] = [killed(), kit.dir()];
    const path = join(dataDir, "spool.db");
    kit.close(kit.spool({ dataDir: backup }));
    rmSync(path);
    expect(wordsOf(() => kit.spool({ dataDir }))).toContain("once spool.db-wal and spool.state are removed");
    for (const name of ["spool.db-wal", "spool.state"]) rmSync(join(dataDir, name));
    cpSync(join(backup, "spool.db"), path);
    expect(kit.spool({ dataDir }).head).toBe(0);
  });

  test("a start that SQLite cannot make names the file", () => {
    const dataDir = kit.dir();
    kit.close(kit.spool({ dataDir }));
    const refuse = (db: Database) => db.run("SELECT n FROM absent");
    const path = join(dataDir, "spool.db");
    expect(() => openSpoolFile(dataDir, refuse)).toThrow(
      `${path} cannot be opened (no such table: absent): see that its directory`,
    );
  });

  test("a backup beside the log of a spool that was not closed is not merged with it, by a start or by a tool", () => {
    const [dataDir, backup] = [killed(), kit.dir()];
    const copy = new Database(join(killed(), "spool.db"));
    copy.run("VACUUM INTO ?", [join(backup, "spool.db")]);
    copy.close();
    cpSync(join(backup, "spool.db"), join(dataDir, "spool.db"));
    const words = "spool.db-wal belongs to another file than the";
    expect(() => kit.spool({ dataDir })).toThrow(words);
    expect(() => verifySpool({ dataDir, told })).toThrow(words);
    rmSync(join(dataDir, "spool.state"));
    expect(() => kit.spool({ dataDir })).toThrow(words);
    rmSync(join(dataDir, "spool.db-wal"));
    expect(kit.spool({ dataDir }).head).toBe(3);
  });

  test("a spool that was closed in order needs no write-ahead log", () => {
    const dataDir = kit.dir();
    kit.close(kit.spool({ dataDir }));
    rmSync(join(dataDir, "spool.db-wal"), { force: true });
    expect(() => kit.spool({ dataDir })).not.toThrow();
  });
});
