/** What the spool trims, what it keeps, and when it takes no more. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "../../src/core/entry.ts";
import { openSqlite } from "../../src/core/file/sqlite.ts";
import { noDetours } from "../../src/core/sink.ts";
import { reserveFreeSpace, SpoolFull } from "../../src/spool/disk.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { simulatedClock } from "../kit/clock.ts";
import {
  aMinuteOn,
  anEntry,
  bulky,
  emptyRecord,
  entries,
  littleRoom,
  put,
  seqsIn,
  settledTo,
  spoolKit,
} from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

/** One that keeps what a sink has still to take, which is all. */
function keeping(settings: Parameters<typeof kit.spool>[0] = {}) {
  const clock = simulatedClock();
  const spool = kit.spool({ clock, ...settings });
  spool.keepFor(["postgres"]);
  return { spool, clock };
}

/** Of all that is asked for at once from now on, how many rows came; until the test's end. */
function lengthsOfAnswers(): readonly number[] {
  const lengths = [0];
  const { query } = Database.prototype;
  const counting = spyOn(Database.prototype, "query").mockImplementation(function (this: Database, sql) {
    const statement = query.call(this, sql);
    const all = statement.all.bind(statement);
    statement.all = (...values) => {
      const rows = all(...values);
      lengths.push(rows.length);
      return rows;
    };
    return statement as never;
  });
  counted.push(() => counting.mockRestore());
  return lengths;
}
const counted: (() => void)[] = [];
afterEach(() => {
  for (const ends of counted.splice(0)) ends();
});

describe("trimming", () => {
  function drained(sinks: Record<string, ReturnType<typeof settledTo>>, untilFull: string[] = []) {
    const clock = simulatedClock();
    const spool = kit.spool({ clock, ...littleRoom });
    put(spool, 10, 10, 10, 10);
    for (const [sink, state] of Object.entries(sinks)) spool.setCursor(sink, state);
    spool.keepFor(
      Object.keys(sinks).filter((sink) => !untilFull.includes(sink)),
      untilFull,
    );
    return { spool, clock, trim: () => clock.advance(1_000) };
  }

  test("only what every sink has settled is removed, in whole groups", () => {
    const { spool, trim } = drained({ postgres: settledTo(35), influx: settledTo(25) });
    trim();
    expect(spool.first).toBe(21);
    spool.setCursor("influx", settledTo(40));
    trim();
    expect(spool.first).toBe(31);
  });

  test("what is settled stays for a minute more, for a standby that takes over may lack the last of it", () => {
    const { spool, clock } = keeping();
    put(spool, 10, 10);
    spool.setCursor("postgres", settledTo(20));
    clock.advance(59_000);
    expect(spool.first).toBe(1);
    // It has no more than these.
    spool.setCursor("postgres", settledTo(5));
    clock.advance(60_000);
    expect(spool.first).toBe(1);
    aMinuteOn(spool, clock, "postgres");
    expect(spool.first).toBeGreaterThan(20);
    expect(spool.first).toBeLessThan(30);
  });

  test("what is settled stays on the disk only: memory is for what a sink has still to get", () => {
    const { spool, clock } = keeping();
    put(spool, 10, 10, 10);
    const held = (seq: number) => spool.read(seq)[0];
    const [settled, left] = [held(1), held(11)];
    expect([held(1) === settled, held(11) === left]).toEqual([true, true]);
    spool.setCursor("postgres", settledTo(15));
    clock.advance(1_000);
    expect([held(1) === settled, held(11) === left]).toEqual([false, true]);
    // What was read again goes with the next second, or the next group.
    for (const next of [() => clock.advance(1_000), () => put(spool, 1)]) {
      const again = held(1);
      expect(held(1)).toBe(again);
      next();
      expect(held(1) === again).toBe(false);
    }
  });

  test("neither an outage nor silence is part of that minute: what the system lost shows when it is given more", () => {
    const { spool, clock } = keeping();
    put(spool, 10, 10);
    spool.setCursor("postgres", settledTo(20));
    clock.advance(600_000);
    put(spool, 10, 10);
    clock.advance(600_000);
    spool.setCursor("postgres", settledTo(40));
    clock.advance(600_000);
    expect(spool.first).toBe(1);
    aMinuteOn(spool, clock, "postgres");
    expect(spool.first).toBeGreaterThan(40);
  });

  test("the minute passes under load too, in which something always waits", () => {
    const { spool, clock } = keeping();
    for (let second = 0; second < 120; second++) {
      put(spool, 10);
      spool.setCursor("postgres", settledTo(spool.head - 5));
      clock.advance(1_000);
    }
    expect(spool.first).toBeGreaterThan(550);
    expect(spool.first).toBeLessThan(610);
  });

  test.each([
    ["takes more than an eighth of the bound", 42, { bytesMax: 330_000_000 }],
    ["has little room below the bound", 0, littleRoom],
    ["has little room on the disk", 0, { freeBytesMin: Number.MAX_SAFE_INTEGER }],
  ])("what is settled does not stay if the spool %s", (_, groups, settings) => {
    const clock = simulatedClock();
    const dataDir = kit.dir();
    const filling = kit.spool({ dataDir });
    put(filling, 1);
    for (let n = 0; n < groups; n++) filling.append(bulky(20, 80_000), emptyRecord);
    put(filling, 1);
    kit.close(filling);
    const spool = kit.spool({ dataDir, clock, ...settings });
    spool.keepFor(["postgres"]);
    spool.setCursor("postgres", settledTo(spool.head));
    clock.advance(1_000);
    expect(spool.first).toBe(spool.head);
  });

  test("a lane on a detour keeps what it has not settled", () => {
    const { spool, trim } = drained({
      influx: settledTo(40, { detours: new Map([["acme", { seq: 15, waiting: 3 }]]) }),
    });
    trim();
    expect(spool.first).toBe(11);
  });

  test("a lane that went on a detour and rejoined is on none after a restart", () => {
    const dataDir = kit.dir();
    const clock = simulatedClock();
    const spool = kit.spool({ dataDir, clock });
    for (const detours of [new Map([["acme", { seq: 5, waiting: 1 }]]), noDetours]) {
      spool.setCursor("influx", settledTo(10, { detours }));
      clock.advance(1_000);
    }
    kit.close(spool);
    expect(kit.spool({ dataDir }).cursorOf("influx").detours.size).toBe(0);
  });

  test("a second passes between two times, though groups come meanwhile", () => {
    const { spool, clock, trim } = drained({ postgres: settledTo(20) });
    trim();
    expect(spool.first).toBe(21);
    spool.setCursor("postgres", settledTo(40));
    clock.advance(500);
    put(spool, 1);
    expect(spool.first).toBe(21);
    clock.advance(500);
    expect(spool.first).toBe(41);
  });

  test("nothing is removed from a held seq on, also if it is the last of its group", () => {
    const { spool, trim } = drained({ postgres: settledTo(40) });
    spool.holdFrom(20);
    trim();
    expect(spool.first).toBe(11);
    spool.holdFrom(Number.MAX_SAFE_INTEGER);
    trim();
    expect(spool.first).toBe(31);
  });

  test("a sink without a cursor keeps everything", () => {
    const { spool, trim } = drained({ postgres: settledTo(40) });
    spool.keepFor(["postgres", "redis"]);
    trim();
    expect(spool.first).toBe(1);
  });

  test("nothing is removed before the sinks are named, not even on closing", () => {
    const dataDir = kit.dir();
    const clock = simulatedClock();
    const spool = kit.spool({ dataDir, clock });
    put(spool, 10, 10);
    spool.setCursor("postgres", settledTo(20));
    clock.advance(5_000);
    kit.close(spool);
    expect(kit.spool({ dataDir }).first).toBe(1);
  });

  test("a best-effort sink keeps its entries while there is room", () => {
    const { spool, trim } = drained({ postgres: settledTo(40), redis: settledTo(15) }, ["redis"]);
    trim();
    expect(spool.first).toBe(11);
  });

  test("the newest group stays, so that the head is right after a restart", () => {
    const dataDir = kit.dir();
    const { spool, clock } = keeping({ dataDir, ...littleRoom });
    put(spool, 10, 10, 5);
    spool.setCursor("postgres", settledTo(25));
    clock.advance(1_000);
    expect(spool.first).toBe(21);
    kit.close(spool);
    const again = kit.spool({ dataDir });
    expect([again.head, again.first]).toEqual([25, 21]);
    put(again, 1);
    expect(seqsIn(again, 26)).toEqual([26]);
  });

  test("a sink new to a spool begins with the oldest entry held", () => {
    const { spool, trim } = drained({ postgres: settledTo(25) });
    trim();
    expect(spool.cursorOf("kafka")).toMatchObject({ start: 20, seq: 20, delivered: 0 });
  });

  test("bytes are those of the groups held, after trimming and after a restart too", () => {
    const dataDir = kit.dir();
    const { spool, clock } = keeping({ dataDir, ...littleRoom });
    spool.append(bulky(1, 10_000), emptyRecord);
    const one = spool.bytes;
    expect(one).toBeGreaterThan(7_000);
    spool.append(bulky(1, 20_000), emptyRecord);
    const both = spool.bytes;
    spool.setCursor("postgres", settledTo(2));
    clock.advance(1_000);
    expect(spool.bytes).toBe(both - one);
    kit.close(spool);
    expect(kit.spool({ dataDir }).bytes).toBe(both - one);
  });

  test("space is returned to the file system once a large backlog is drained", () => {
    const dataDir = kit.dir();
    const { spool, clock } = keeping({ dataDir });
    for (let i = 0; i < 120; i++) spool.append(bulky(8, 60_000), emptyRecord);
    clock.advance(0);
    const path = join(dataDir, "spool.db");
    const full = statSync(path).size;
    expect(full).toBeGreaterThan(30_000_000);
    spool.setCursor("postgres", settledTo(spool.head));
    for (let second = 0; second < 120; second++) {
      clock.advance(1_000);
      put(spool, 1);
      spool.setCursor("postgres", settledTo(spool.head));
    }
    expect(statSync(path).size).toBeLessThan(full * 0.7);
    kit.close(spool);
    expect(statSync(path).size).toBeLessThan(20_000_000);
  });
});

describe("at the byte bound", () => {
  const bytesMax = 200_000;

  test("an append fails as a whole, and succeeds once the sinks have made room", () => {
    const { spool } = keeping({ bytesMax });
    let fits = 0;
    const append = () => spool.append(bulky(1, 30_000), emptyRecord);
    expect(() => {
      for (;;) {
        append();
        fits++;
      }
    }).toThrow(/the spool holds \d+\.\d KiB and may hold 195\.3 KiB \(SPOOL_MAX_BYTES\)/);
    expect(spool.head).toBe(fits);
    expect(spool.bytes).toBeLessThanOrEqual(bytesMax);
    expect(append).toThrow(SpoolFull);
    spool.setCursor("postgres", settledTo(2));
    append();
    expect([spool.head, spool.first]).toEqual([fits + 1, 3]);
  });

  test("what has no room is encoded once, however often it is tried, and what came meanwhile goes with it", () => {
    const { spool } = keeping({ bytesMax });
    for (let i = 0; i < 8; i++) spool.append(bulky(1, 30_000), emptyRecord);
    let reads = 0;
    const [{ payload, ...rest } = anEntry()] = bulky(1, 60_000);
    const waiting = [
      {
        ...rest,
        get payload() {
          reads++;
          return payload;
        },
      } as Entry,
    ];
    expect(() => spool.append(waiting, emptyRecord)).toThrow(SpoolFull);
    const once = reads;
    waiting.push(...bulky(1, 60_000));
    for (let i = 0; i < 5; i++) expect(() => spool.append(waiting, emptyRecord)).toThrow(SpoolFull);
    expect(reads).toBe(once);
    spool.setCursor("postgres", settledTo(2));
    expect(() => spool.append(waiting, emptyRecord)).toThrow(SpoolFull);
    spool.setCursor("postgres", settledTo(6));
    spool.append(waiting, emptyRecord);
    expect(waiting.map(({ seq }) => seq)).toEqual([9, 10]);
    expect(spool.read(9).map(({ payload: said }) => said.length)).toEqual([payload.length, payload.length]);
  });

  test("an append without entries passes: it takes no room", () => {
    const dataDir = kit.dir();
    const { spool } = keeping({ dataDir, bytesMax });
    for (let i = 0; i < 8; i++) spool.append(bulky(1, 30_000), emptyRecord);
    expect(() => spool.append(bulky(1, 60_000), emptyRecord)).toThrow(SpoolFull);
    spool.append([], { books: new Map([["duplicate", 1]]) });
    kit.close(spool);
    expect(kit.spool({ dataDir }).sidecar.books().get("duplicate")).toBe(1);
  });

  test("best-effort sinks lose their oldest entries, and only as many as it takes", () => {
    const spool = kit.spool({ bytesMax });
    spool.keepFor(["postgres"], ["redis"]);
    spool.setCursor("redis", settledTo(0));
    for (let i = 1; i <= 30; i++) {
      spool.append(bulky(1, 30_000), emptyRecord);
      spool.setCursor("postgres", settledTo(i));
    }
    expect(spool.head).toBe(30);
    expect(spool.first).toBeGreaterThan(24);
    expect(spool.first).toBeLessThan(30);
    expect(spool.bytes).toBeLessThanOrEqual(bytesMax);
  });

  test("they lose nothing if there is room for what all have settled, and never the newest group", () => {
    const spool = kit.spool({ bytesMax });
    spool.keepFor(["postgres"], ["redis"]);
    for (let i = 0; i < 8; i++) spool.append(bulky(1, 30_000), emptyRecord);
    spool.setCursor("postgres", settledTo(8));
    spool.setCursor("redis", settledTo(1));
    spool.append(bulky(1, 30_000), emptyRecord);
    expect(spool.first).toBe(2);
    spool.setCursor("postgres", settledTo(9));
    spool.append(bulky(4, 60_000), emptyRecord);
    expect(seqsIn(spool, spool.first)).toEqual([9, 10, 11, 12, 13]);
  });

  test("what was kept for a sink that is named no longer goes a part at a time", () => {
    const clock = simulatedClock();
    const spool = kit.spool({ bytesMax: 1_000_000, clock });
    spool.keepFor(["gone"]);
    while (spool.bytes < 970_000) spool.append(bulky(1, 30_000), emptyRecord);
    const { head } = spool;
    spool.keepFor(["stays"]);
    spool.setCursor("stays", settledTo(head));
    spool.append(bulky(1, 30_000), emptyRecord);
    expect(spool.first).toBeWithin(3, 7);
    clock.advance(1_000);
    expect(spool.first).toBe(head + 1);
  });

  test("at the bound no more groups are looked at than go, however many there are", () => {
    const dataDir = kit.dir();
    const small = kit.spool({ dataDir });
    small.append([anEntry()], emptyRecord);
    kit.close(small);
    const db = new Database(join(dataDir, "spool.db"));
    db.run(
      `INSERT INTO groups WITH RECURSIVE seq (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM seq WHERE n < 200000)
         SELECT n, count, received_ms, codec, crc, body FROM seq, groups WHERE groups.last = 1`,
    );
    db.close();
    const lengths = lengthsOfAnswers();
    const spool = kit.spool({ dataDir, bytesMax: 40_000_000 });
    spool.keepFor([], ["redis"]);
    spool.setCursor("redis", settledTo(0));
    const group = bulky(2, 60_000);
    for (let i = 0; i < 5; i++) spool.append(group, emptyRecord);
    expect(spool.first).toBeGreaterThan(1_000);
    expect(Math.max(...lengths)).toBeLessThan(10_000);
  });

  test("a group larger than the bound is written once everything else is settled", () => {
    const { spool } = keeping({ bytesMax: 65_536 });
    for (let i = 1; i <= 3; i++) {
      spool.setCursor("postgres", settledTo(spool.head));
      spool.append(bulky(3, 60_000), emptyRecord);
    }
    expect(() => spool.append(bulky(1, 60_000), emptyRecord)).toThrow(SpoolFull);
    expect(spool.head).toBe(9);
  });

  test("what ends a hold is written if only the hold is in the way", () => {
    const { spool } = keeping({ bytesMax });
    for (let i = 0; i < 8; i++) spool.append(bulky(1, 30_000), emptyRecord);
    spool.holdFrom(1);
    const ending = () => spool.append(bulky(1, 60_000), { ...emptyRecord, endsTheHold: true });
    expect(ending).toThrow(SpoolFull);
    spool.setCursor("postgres", settledTo(8));
    expect(() => spool.append(bulky(1, 60_000), emptyRecord)).toThrow(SpoolFull);
    ending();
    expect(spool.head).toBe(9);
  });
});

test("an append fails if it would leave the disk with less than its floor", () => {
  const spool = kit.spool({ freeBytesMin: Number.MAX_SAFE_INTEGER });
  expect(() => put(spool, 1)).toThrow(SpoolFull);
  expect(() => put(spool, 1)).toThrow(
    /has \d+\.\d [GT]iB free and must keep 8192\.0 TiB \(SPOOL_MIN_FREE_BYTES\)/,
  );
  expect(spool.head).toBe(0);
});

test("what ends a hold is written below the floor too, once only the hold keeps what is settled", () => {
  const dataDir = kit.dir();
  const before = kit.spool({ dataDir });
  put(before, 5);
  kit.close(before);
  const spool = kit.spool({ dataDir, freeBytesMin: Number.MAX_SAFE_INTEGER });
  spool.keepFor(["postgres"]);
  spool.setCursor("postgres", settledTo(0));
  spool.holdFrom(1);
  const ending = () => spool.append(bulky(1, 100), { ...emptyRecord, endsTheHold: true });
  expect(ending).toThrow(SpoolFull);
  spool.setCursor("postgres", settledTo(5));
  expect(() => spool.append(bulky(1, 100), emptyRecord)).toThrow(SpoolFull);
  ending();
  expect(spool.head).toBe(6);
});

test("a disk that is far from its floor is asked once a second, and one that is near it for every group", () => {
  const clock = simulatedClock();
  const { dataDir, db } = { dataDir: kit.dir(), db: new Database(":memory:") };
  let [free, asked] = [1_000_000, 0];
  const check = reserveFreeSpace({ db, dataDir, freeBytesMin: 100_000, clock }, () => {
    asked++;
    return free;
  });
  const append = (bytes: number) => {
    check(bytes);
    free -= bytes;
  };
  for (let i = 0; i < 100; i++) append(1_000);
  expect(asked).toBe(1);
  clock.advance(1_000);
  append(1_000);
  expect(asked).toBe(2);
  // Others fill the disk: it is noticed within a second.
  free = 50_000;
  clock.advance(1_000);
  expect(() => append(1_000)).toThrow(SpoolFull);
  free = 1_000_000;
  expect(() => {
    for (;;) append(1_000);
  }).toThrow(SpoolFull);
  expect(free).toBe(100_000);
});

test("a group of duplicates alone has no entry and is taken on a disk that is short of room, too", () => {
  const spool = kit.spool({ freeBytesMin: 1e15 });
  expect(() => spool.append(bulky(1, 1_000), emptyRecord)).toThrow(SpoolFull);
  spool.append([], { books: new Map([["duplicate", 1]]) });
  expect([spool.head, spool.sidecar.books().get("duplicate")]).toEqual([0, 1]);
});

test("a disk that only the write-ahead log fills takes what comes: the log is emptied before that is refused", () => {
  const { dataDir, clock } = { dataDir: kit.dir(), clock: simulatedClock() };
  const db = openSqlite(join(dataDir, "t.db"));
  db.run("CREATE TABLE t (text TEXT)");
  const free = () => 200_000 - statSync(join(dataDir, "t.db-wal")).size;
  const check = reserveFreeSpace({ db, dataDir, freeBytesMin: 100_000, clock }, free);
  db.run("INSERT INTO t VALUES (?)", ["x".repeat(150_000)]);
  expect(free()).toBeLessThan(100_000);
  check(1_000);
  expect(() => check(150_000)).toThrow(SpoolFull);
  reserveFreeSpace({ db, dataDir, freeBytesMin: 0, clock }, free)(150_000_000);
  db.close();
});

describe("the age bound", () => {
  test("makes sinks that may skip lose what is too old", () => {
    const clock = simulatedClock();
    const spool = kit.spool({ clock, ageMaxSeconds: 120 });
    spool.keepFor([], ["postgres"]);
    spool.setCursor("postgres", settledTo(0));
    for (let i = 0; i < 4; i++) {
      spool.append(entries(10, 1, { receivedMs: clock.wallMs() }), emptyRecord);
      clock.advance(60_000);
    }
    expect(spool.first).toBe(21);
    clock.advance(1_000);
    expect(spool.first).toBe(31);
  });

  test("counts the time that passed while the gateway ran: setting the clock makes nothing old", () => {
    const clock = simulatedClock();
    const dataDir = kit.dir();
    const first = kit.spool({ clock, ageMaxSeconds: 120, dataDir });
    first.append(entries(10, 1, { receivedMs: clock.wallMs() }), emptyRecord);
    first.close();
    clock.stepWall(90 * 86_400_000);
    const spool = kit.spool({ clock, ageMaxSeconds: 120, dataDir });
    spool.keepFor([], ["postgres"]);
    spool.setCursor("postgres", settledTo(0));
    clock.advance(119_000);
    expect(spool.first).toBe(1);
    clock.stepWall(-180 * 86_400_000);
    clock.advance(1_000);
    clock.stepWall(90 * 86_400_000);
    spool.append(entries(10, 1, { receivedMs: clock.wallMs() }), emptyRecord);
    clock.advance(2_000);
    expect(spool.first).toBe(11);
  });

  test("a clock years ahead that is believed at a start makes nothing old at the next one", () => {
    const clock = simulatedClock();
    const dataDir = kit.dir();
    const [first] = entries(1, 1, { receivedMs: clock.wallMs() });
    if (!first) throw new Error("no entry");
    const run = (work: (spool: Spool) => void) => {
      const spool = kit.spool({ clock, ageMaxSeconds: 30 * 86_400, letterAgeMaxDays: 30, dataDir });
      spool.keepFor([], ["postgres"]);
      spool.setCursor("postgres", settledTo(0));
      spool.append(entries(1, 1, { receivedMs: clock.wallMs() }), emptyRecord);
      spool.append(entries(1, 1, { receivedMs: clock.wallMs() }), emptyRecord);
      clock.advance(2_000);
      work(spool);
      spool.close();
    };
    run((spool) => spool.deadLetters.put("postgres", "epoch", first, "refused"));
    clock.stepWall(800 * 86_400_000);
    run(() => {});
    run((spool) => expect([spool.first, spool.deadLetters.totals().count]).toEqual([1, 1]));
    // A week more with each start that lasts: it is believed in the end.
    for (let week = 0; week < 6; week++) run(() => clock.advance(3_600_000));
    run((spool) => expect([spool.first > 1, spool.deadLetters.totals().count]).toEqual([true, 0]));
  });

  test("a clock that was months behind when the first run began keeps nothing longer by those months", () => {
    const clock = simulatedClock();
    const dataDir = kit.dir();
    const first = kit.spool({ clock, dataDir });
    clock.advance(1_000);
    clock.stepWall(200 * 86_400_000);
    first.append(entries(1, 1, { receivedMs: clock.wallMs() }), emptyRecord);
    clock.advance(3_601_000);
    first.close();
    expect(kit.spool({ clock, dataDir }).age.nowMs()).toBeGreaterThan(clock.wallMs() - 2 * 3_600_000);
  });

  test("keeps everything for a sink that holds the intake", () => {
    const clock = simulatedClock();
    const spool = kit.spool({ clock, ageMaxSeconds: 60 });
    spool.keepFor(["postgres"], ["influx"]);
    spool.setCursor("postgres", settledTo(5));
    spool.append(entries(10, 1, { receivedMs: clock.wallMs() }), emptyRecord);
    spool.append(entries(10, 1, { receivedMs: clock.wallMs() }), emptyRecord);
    clock.advance(120_000);
    expect(spool.first).toBe(1);
  });
});
