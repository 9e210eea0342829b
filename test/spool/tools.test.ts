/** `verify`, `repair`, `export`, `compact` and `status` on spools that are whole, flipped, truncated and torn. */
import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import {
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Books, told } from "../../src/intake/books.ts";
import { simulatedClock } from "../kit/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { Drain } from "../../src/drain/drain.ts";
import { openPostgres } from "../../src/store/postgres/postgres-client.ts";
import { localSink, postgresSink } from "../kit/stores.ts";
import type { Sink } from "../../src/core/sink.ts";
import { systemClock } from "../../src/core/clock.ts";
import { compactSpool } from "../../src/spool/tools/compact.ts";
import { exportSpool } from "../../src/spool/tools/export.ts";
import type { Lost } from "../../src/spool/tools/salvage.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { spoolStatus } from "../../src/spool/tools/status.ts";
import { verifySpool } from "../../src/spool/tools/verify.ts";
import { anEntry, entries, incompressible, readAll, settledTo, spoolKit, littleRoom } from "../kit/spool.ts";
import { repair as repairNow } from "../kit/repair-runner.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const nowMs = Date.UTC(2026, 10, 21);
const verify = (dataDir: string) => verifySpool({ dataDir, told });
const repair = (dataDir: string) => repairNow(dataDir, nowMs);

/** Appends with the books that the intake would write. */
function append(spool: Spool, some: readonly Entry[]): void {
  const books = new Books(spool.sidecar.books());
  for (const entry of some) {
    books.receive();
    books.count(entry);
  }
  spool.append(some, { books: books.toKeep(0) });
}

/** A closed spool with this many groups of ten entries, each too large for a page. */
function filled(groups = 10): string {
  const dataDir = kit.dir();
  const spool = kit.spool({ dataDir });
  for (let n = 0; n < groups; n++) append(spool, large(n * 10 + 1));
  kit.close(spool);
  return dataDir;
}

function large(from: number): Entry[] {
  return entries(10, from).map((entry, i) => ({
    ...entry,
    payload: `{"n":${from + i},"x":${incompressible(900)}}`,
  }));
}

function numbers(all: readonly Entry[]): number[] {
  return all.map(({ payload }) => (JSON.parse(payload) as { n: number }).n);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Changes bytes of the file in place. */
function overwrite(dataDir: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(join(dataDir, "spool.db"), "r+");
  writeSync(fd, bytes, 0, bytes.length, at);
}

/** The offset in the file of the body of the group that ends at `last`. */
function placeOfBody(dataDir: string, last: number): number {
  const db = new Database(join(dataDir, "spool.db"), { readonly: true });
  const body = db
    .query<{ body: Uint8Array }, [number]>("SELECT body FROM groups WHERE last = ?")
    .get(last)?.body;
  db.close();
  const at = readFileSync(join(dataDir, "spool.db")).indexOf(Buffer.from(body ?? []).subarray(-1_000));
  expect(at).toBeGreaterThan(0);
  return at;
}

function flipBody(dataDir: string, last: number): void {
  const at = placeOfBody(dataDir, last) + 500;
  const was = readFileSync(join(dataDir, "spool.db"))[at] ?? 0;
  overwrite(dataDir, at, Buffer.of(was ^ 1));
}

function booksOf(spool: Spool): Books {
  return new Books(spool.sidecar.books());
}

describe("a whole spool", () => {
  test("is sound, and repair leaves it alone", () => {
    const dir = filled();
    const before = readFileSync(join(dir, "spool.db"));
    expect(verify(dir)).toMatchObject({
      sound: true,
      groups: 10,
      entries: 100,
      first: 1,
      last: 100,
      head: 100,
    });
    expect(repair(dir)).toMatchObject({ original: null, notes: [] });
    expect(readFileSync(join(dir, "spool.db")).equals(before)).toBe(true);
  });

  test("is sound with its write-ahead log not yet merged, and without it holds what was merged", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    for (let n = 0; n < 3; n++) append(spool, large(n * 10 + 1));
    const dir = kit.dir();
    for (const name of ["spool.db", "spool.db-wal"]) cpSync(join(dataDir, name), join(dir, name));
    expect(verify(dir)).toMatchObject({ sound: true, entries: 30 });
    rmSync(join(dir, "spool.db-wal"));
    rmSync(join(dir, "spool.db-shm"), { force: true });
    // The log was never merged: there is no table yet, so this is no spool at all.
    expect(verify(dir).sound).toBe(false);
  });

  test("that lost its write-ahead log after a merge is an older one, and sound", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    append(spool, large(1));
    kit.close(spool);
    const again = kit.spool({ dataDir });
    append(again, large(11));
    const dir = kit.dir();
    cpSync(join(dataDir, "spool.db"), join(dir, "spool.db"));
    expect(verify(dir)).toMatchObject({ sound: true, entries: 10, head: 10 });
    const older = kit.spool({ dataDir: dir });
    expect(booksOf(older).spooled).toBe(older.head);
  });

  test("cannot be used while a gateway has it, except by status", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    append(spool, large(1));
    for (const tool of [verify, repair, compactSpool]) expect(() => tool(dataDir)).toThrow("in use");
    expect(() => exportSpool({ dataDir, take: () => {}, miss: () => {} })).toThrow("in use");
    expect(spoolStatus(dataDir)).toMatchObject({ inUse: true, head: 10, first: 1, entries: 10, groups: 1 });
    kit.close(spool);
    expect(spoolStatus(dataDir).inUse).toBe(false);
  });

  test("that does not exist is reported as missing", () => {
    expect(() => verify(kit.dir())).toThrow("there is no spool");
  });
});

describe("repair", () => {
  test("keeps the groups before and after one with a flipped bit, and says exactly what is gone", () => {
    const dir = filled();
    flipBody(dir, 50);
    expect(verify(dir)).toMatchObject({ sound: false, pages: [], groups: 9, entries: 90, head: 100 });
    const done = repair(dir);
    expect(done.before.damaged).toEqual([{ from: 41, to: 50, why: expect.stringContaining("checksum") }]);
    expect(done.original).toBe(join(dir, "spool.db.damaged-20261121T000000000Z"));
    expect(existsSync(done.original ?? "")).toBe(true);
    expect(verify(dir)).toMatchObject({ sound: true, missing: [{ from: 41, to: 50 }] });
    const spool = kit.spool({ dataDir: dir });
    expect(numbers(readAll(spool))).toEqual([...range(1, 40), ...range(51, 100)]);
    expect(spool.head).toBe(100);
    expect(booksOf(spool).spooled).toBe(100);
    expect(readdirSync(dir).filter((name) => name.includes("repairing"))).toEqual([]);
  });

  test.each([1, 5, 10])("loses with a page of zeros in group %i that group and no other", (group) => {
    const dir = filled();
    const at = placeOfBody(dir, group * 10);
    overwrite(dir, Math.floor(at / 4096) * 4096, new Uint8Array(4096));
    expect(verify(dir).sound).toBe(false);
    repair(dir);
    expect(verify(dir).sound).toBe(true);
    const spool = kit.spool({ dataDir: dir });
    const kept = numbers(readAll(spool));
    // The overflow pages of one group; a leaf of the table may take its neighbours with it.
    expect(kept.length).toBeGreaterThanOrEqual(70);
    for (const n of range(1, 100).filter((each) => !kept.includes(each)))
      expect(Math.abs(Math.ceil(n / 10) - group)).toBeLessThanOrEqual(2);
    expect(spool.head).toBe(100);
  });

  test("keeps entries unchanged whatever page is overwritten, names what is lost, and the books balance", () => {
    const source = filled(30);
    const whole = readFileSync(join(source, "spool.db"));
    const pages = whole.length / 4096;
    for (let page = 1; page < pages; page++) {
      const dir = kit.dir();
      const bytes = Buffer.from(whole);
      bytes.fill(page % 3 === 0 ? 0 : 0xa5, page * 4096, (page + 1) * 4096);
      writeFileSync(join(dir, "spool.db"), bytes);
      const { before, original } = repair(dir);
      const gone = before.damaged.flatMap(({ from, to }) => range(from, to));
      const spool = kit.spool({ dataDir: dir });
      const kept = numbers(readAll(spool));
      expect([...kept, ...gone].sort((a, b) => a - b)).toEqual(range(1, 300));
      expect(spool.head).toBe(300);
      expect(booksOf(spool).spooled).toBe(300);
      expect(booksOf(spool).balancedWith(0)).toBe(true);
      expect(original === null).toBe(before.sound);
      kit.close(spool);
      expect(verify(dir).sound).toBe(true);
      rmSync(dir, { recursive: true });
    }
  });

  test.each([0.2, 0.5, 0.9])(
    "keeps what is before the cut of a file cut at %p of its length, and its head",
    (share) => {
      const dir = filled(30);
      const path = join(dir, "spool.db");
      truncateSync(path, Math.floor(readFileSync(path).length * share));
      expect(verify(dir)).toMatchObject({
        sound: false,
        pages: expect.arrayContaining([expect.stringContaining("cut")]),
      });
      const { before } = repair(dir);
      const gone = before.damaged.flatMap(({ from, to }) => range(from, to));
      const spool = kit.spool({ dataDir: dir });
      expect(spool.head).toBe(300);
      expect([...numbers(readAll(spool)), ...gone].sort((a, b) => a - b)).toEqual(range(1, 300));
      expect(booksOf(spool).balancedWith(0)).toBe(true);
      append(spool, large(301));
      expect(spool.read(301)[0]?.seq).toBe(301);
    },
  );

  test("makes an empty spool beside a file that is no database any more", () => {
    const dir = filled();
    overwrite(dir, 0, new Uint8Array(4096));
    expect(verify(dir).sound).toBe(false);
    expect(repair(dir).original).not.toBeNull();
    const spool = kit.spool({ dataDir: dir });
    expect([spool.head, booksOf(spool).balancedWith(0)]).toEqual([0, true]);
  });

  test("what every sink had settled before is not missing after the repair, whatever could not be read", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    spool.keepFor(["a"]);
    for (let n = 0; n < 10; n++) append(spool, large(n * 10 + 1));
    spool.setCursor("a", settledTo(90));
    kit.close(spool);
    flipBody(dataDir, 100);
    const { damaged, missing } = verify(dataDir);
    expect([damaged.map(({ from, to }) => [from, to]), missing]).toEqual([[[91, 100]], []]);
    repair(dataDir);
    expect(verify(dataDir)).toMatchObject({
      sound: true,
      head: 100,
      missing: [{ from: 91, to: 100, why: "the newest groups are gone" }],
    });
    // Once a sink has passed over the hole, nothing is missing any more.
    const repaired = kit.spool({ dataDir });
    repaired.keepFor(["a"]);
    repaired.setCursor("a", settledTo(100));
    kit.close(repaired);
    expect(verify(dataDir).missing).toEqual([]);
  });

  test("a cursor that counts more than there was is corrected without inventing entries", () => {
    const dataDir = filled();
    const db = new Database(join(dataDir, "spool.db"));
    db.run("INSERT INTO cursors VALUES ('a', 0, 100, 120, 5, 0, 0)");
    db.close();
    flipBody(dataDir, 50);
    repair(dataDir);
    const { start, seq, delivered, ignored } = kit.spool({ dataDir }).cursorOf("a");
    expect([start, seq, delivered, ignored]).toEqual([0, 100, 95, 5]);
  });

  test("dead letters stay, and a damaged one is named", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    append(spool, large(1));
    for (const [i, entry] of readAll(spool).slice(0, 3).entries())
      spool.deadLetters.put(
        "postgres",
        "e",
        { ...entry, payload: `{"marker":"letter ${i} of three"}` },
        "no",
      );
    kit.close(spool);
    const at = readFileSync(join(dataDir, "spool.db")).indexOf("letter 1 of three");
    overwrite(dataDir, at, Buffer.from("LETTER"));
    expect(verify(dataDir).badLetters).toMatchObject([{ id: 2 }]);
    repair(dataDir);
    const again = kit.spool({ dataDir });
    expect(again.deadLetters.list({ limit: 10 }).map(({ id }) => id)).toEqual([1, 3]);
  });

  test("no id of a dead letter is given again, not even of one that is gone", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    append(spool, large(1));
    append(spool, large(11));
    const put = (to: Spool, seq: number) => {
      const [entry] = to.read(seq);
      if (entry) to.deadLetters.put("postgres", "e", entry, "no");
      return to.deadLetters.lastId();
    };
    for (const seq of [11, 12, 13]) put(spool, seq);
    spool.deadLetters.remove([2, 3]);
    kit.close(spool);
    flipBody(dataDir, 10);
    repair(dataDir);
    expect(put(kit.spool({ dataDir }), 14)).toBe(4);
  });

  test("messages that waited to be judged and are lost are counted as lost, and the books balance", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    append(spool, large(1));
    append(
      spool,
      large(11).map((entry) => anEntry({ ...entry, kind: "deferred" })),
    );
    append(spool, [...large(21), anEntry({ kind: "deferred", payload: '{"n":31}' })]);
    kit.close(spool);
    flipBody(dataDir, 20);
    expect(repair(dataDir).notes).toEqual([expect.stringContaining("10 messages waited to be judged")]);
    const again = kit.spool({ dataDir });
    const books = booksOf(again);
    expect(books.awaiting).toBe(1);
    expect(books.totals().rejected).toEqual({ LOST_TO_DAMAGE: 10 });
    expect(books.balancedWith(0)).toBe(true);
    expect(books.spooled).toBe(again.head);
  });

  test("a damaged spool of an earlier version has lost no table that it never had", () => {
    const dataDir = filled();
    const db = new Database(join(dataDir, "spool.db"));
    db.run("DROP TABLE age");
    db.close();
    flipBody(dataDir, 20);
    expect(repair(dataDir).notes).toEqual([]);
  });

  test("books that a flipped bit has changed are made to balance again", () => {
    const dir = filled();
    const db = new Database(join(dir, "spool.db"));
    db.run("UPDATE books SET value = 40 WHERE name = 'accepted'");
    db.close();
    expect(verify(dir)).toMatchObject({ sound: false, books: expect.stringContaining("40") });
    expect(repair(dir).notes).toEqual([expect.stringContaining("60 entries")]);
    const spool = kit.spool({ dataDir: dir });
    expect(booksOf(spool).totals()).toMatchObject({ received: 100, accepted: 100 });
  });

  test.each([
    ["accepted", 140],
    ["received", 90],
    ["duplicate", 8],
  ])("books that tell of %s as %d no longer add up: that is told, and mended", (name, value) => {
    const dir = filled();
    const db = new Database(join(dir, "spool.db"));
    db.run("INSERT OR REPLACE INTO books VALUES (?, ?)", [name, value]);
    db.close();
    expect(verify(dir)).toMatchObject({ sound: false, books: expect.stringContaining("received") });
    repair(dir);
    expect(verify(dir)).toMatchObject({ sound: true, books: null });
    const spool = kit.spool({ dataDir: dir });
    expect(booksOf(spool).balancedWith(0)).toBe(true);
    expect(booksOf(spool).spooled).toBe(spool.head);
  });

  test("a sink passes over the hole, counts it as skipped and adds up; so does one with a detour", async () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    for (let n = 0; n < 6; n++) append(spool, large(n * 10 + 1));
    spool.setCursor(
      "lanes",
      settledTo(60, { delivered: 45, detours: new Map([["a", { seq: 21, waiting: 15 }]]) }),
    );
    kit.close(spool);
    flipBody(dataDir, 30);
    flipBody(dataDir, 60);
    repair(dataDir);
    const clock = systemClock;
    const again = kit.spool({ dataDir, clock });
    const got: number[] = [];
    const lanes = fakeSink("lanes", got, (entry) => (entry.seq % 2 === 0 ? "a" : "b"));
    const plain = fakeSink("plain", [], undefined);
    const tables = localSink({ path: join(dataDir, "local.db") });
    const drains = [lanes, plain, tables].map(
      (sink) => new Drain({ sink, spool: again, clock, log: silentLog }),
    );
    for (const drain of drains) drain.start();
    append(again, large(61));
    await until(() => drains.every((drain) => drain.stats().waiting === 0));
    for (const drain of drains) {
      const { delivered, ignored, refused, skipped, spooled: all } = drain.stats();
      expect(delivered + ignored + refused + skipped).toBe(all);
    }
    expect(drains[1]?.stats()).toMatchObject({ delivered: 50, skipped: 20, spooled: 70 });
    expect(drains[2]?.stats()).toMatchObject({ delivered: 50, skipped: 20, trouble: null });
    for (const drain of drains) await drain.stop(1_000);
  });
});

describe("a repair killed with -9 at any moment", () => {
  test("leaves the damaged spool or the repaired one, and another repair completes it", async () => {
    const source = filled(60);
    flipBody(source, 300);
    const script = join(import.meta.dir, "../kit/repair-runner.ts");
    for (const ms of [60, 90, 110, 130, 150, 180]) {
      const dir = kit.dir();
      cpSync(join(source, "spool.db"), join(dir, "spool.db"));
      const child = Bun.spawn([process.execPath, script, dir], { stdio: ["ignore", "ignore", "inherit"] });
      await Bun.sleep(ms);
      child.kill("SIGKILL");
      await child.exited;
      repair(dir);
      const spool = kit.spool({ dataDir: dir });
      expect(numbers(readAll(spool))).toEqual([...range(1, 290), ...range(301, 600)]);
      expect(booksOf(spool).balancedWith(0)).toBe(true);
      kit.close(spool);
      expect(readdirSync(dir).filter((name) => name.includes("repairing"))).toEqual([]);
    }
  });
});

describe.skipIf(postgresAvailable() !== "")(`PostgreSQL (${postgresAvailable() || "there"})`, () => {
  test("gets what is on both sides of a hole exactly once, and its position passes over it", async () => {
    const dataDir = filled(6);
    flipBody(dataDir, 30);
    repair(dataDir);
    const url = await (await sharedPostgres()).createDatabase();
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    for (let start = 0; start < 2; start++) {
      const spool = kit.spool({ dataDir, clock: systemClock });
      if (start === 1) append(spool, large(61));
      const sink = postgresSink(db);
      const drain = new Drain({ sink, spool, clock: systemClock, log: silentLog });
      drain.start();
      await until(() => drain.stats().waiting === 0);
      expect(drain.stats()).toMatchObject({ delivered: start === 0 ? 50 : 60, skipped: 10, trouble: null });
      await drain.stop(1_000);
      kit.close(spool);
    }
    const rows = await db.query(
      "counting",
      (sql) => sql<{ n: number }[]>`
      select (payload->>'n')::int as n from raw_events order by id`,
    );
    expect(rows.map(({ n }) => n)).toEqual([...range(1, 20), ...range(31, 70)]);
    await db.close();
  });
});

describe("export", () => {
  function exported(dataDir: string, sink?: string) {
    const seqs: number[] = [];
    const lost: Lost[] = [];
    exportSpool({
      dataDir,
      ...(sink !== undefined && { sink }),
      take: (some) => seqs.push(...some.map(({ seq }) => seq)),
      miss: (each) => lost.push(each),
    });
    return { seqs, lost };
  }

  test("prints everything held, or what a sink has not settled, and names what it cannot read", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    for (let n = 0; n < 5; n++) append(spool, large(n * 10 + 1));
    spool.setCursor("postgres", settledTo(27));
    spool.setCursor(
      "influx",
      settledTo(40, { detours: new Map([["telemetry_a", { seq: 35, waiting: 2 }]]) }),
    );
    kit.close(spool);
    expect(exported(dataDir).seqs).toEqual(range(1, 50));
    expect(exported(dataDir, "postgres").seqs).toEqual(range(28, 50));
    expect(exported(dataDir, "influx").seqs).toEqual(range(35, 50));
    expect(() => exported(dataDir, "kafka")).toThrow("knows no sink kafka, but influx, postgres");
    flipBody(dataDir, 30);
    expect(exported(dataDir, "postgres")).toEqual({
      seqs: range(31, 50),
      lost: [{ from: 21, to: 30, why: expect.stringContaining("checksum") }],
    });
  });
});

describe("compact", () => {
  test("returns free pages and keeps what is held", () => {
    const clock = simulatedClock();
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir, clock, ...littleRoom });
    for (let n = 0; n < 40; n++) append(spool, large(n * 10 + 1));
    spool.keepFor(["s"]);
    spool.setCursor("s", settledTo(390));
    clock.advance(1_000);
    kit.close(spool);
    const size = () => readFileSync(join(dataDir, "spool.db")).length;
    const before = size();
    compactSpool(dataDir);
    expect(size()).toBeLessThan(before / 3);
    expect(verify(dataDir)).toMatchObject({ sound: true, entries: 10, head: 400 });
  });

  test("leaves a damaged file alone", () => {
    const dir = filled();
    truncateSync(join(dir, "spool.db"), 40_960);
    expect(() => compactSpool(dir)).toThrow("repair");
    overwrite(dir, 0, new Uint8Array(4096));
    expect(() => spoolStatus(dir)).toThrow("spool verify");
  });
});

function fakeSink(name: string, got: number[], lane: ((entry: Entry) => string) | undefined): Sink {
  return {
    name,
    batchMax: 100,
    batchBytesMax: 1_000_000,
    lingerMs: 0,
    deadlineMs: 5_000,
    whenFull: "hold",
    ...(lane && { lane }),
    deliver(delivery) {
      got.push(...delivery.entries.map(({ seq }) => seq));
      return Promise.resolve({ delivered: delivery.entries.length, ignored: 0, refused: 0 });
    },
    probe: () => Promise.resolve("ok"),
    close: () => Promise.resolve(),
  };
}
