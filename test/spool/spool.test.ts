/** The spool in one process: what is appended is read again, with what is written beside it. */
import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import { SpoolFull } from "../../src/spool/disk.ts";
import { RedeliveryWindow } from "../../src/spool/redelivery.ts";
import { simulatedClock } from "../kit/clock.ts";
import {
  anEntry,
  bulky,
  emptyRecord,
  entries,
  plain,
  put,
  readAll,
  seqsIn,
  settledTo,
  spoolKit,
} from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const sequence = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("appending and reading", () => {
  test("entries get their seq in order, from 1, without holes", () => {
    const spool = kit.spool();
    const group = entries(3);
    put(spool, 2);
    spool.append(group, emptyRecord);
    expect(group.map((e) => e.seq)).toEqual([3, 4, 5]);
    expect(spool.head).toBe(5);
  });

  test("what was appended is read again after a restart, from any seq", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir });
    put(first, 3, 1, 700, 2);
    const before = readAll(first);
    kit.close(first);
    const spool = kit.spool({ dataDir });
    expect(readAll(spool)).toEqual(before);
    for (const seq of [1, 2, 4, 5, 300, 705, 706]) expect(seqsIn(spool, seq)).toEqual(sequence(seq, 706));
    expect(spool.read(707)).toEqual([]);
  });

  test("a group writes the page it goes into, its packets' and its counters', and another only now and then", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    const groups = 40;
    const walBytes = () => statSync(join(dataDir, "spool.db-wal")).size;
    const append = (n: number) => {
      const books = new Map([
        ["received", n],
        ["accepted", n],
        ["duplicate", 0],
      ] as const);
      spool.append(entries(6), { books, packets: [n, 1], marks: new Map([["log", String(n)]]) });
    };
    append(0);
    const before = walBytes();
    for (let n = 1; n <= groups; n++) append(n);
    const pages = (walBytes() - before) / (4096 + 24) / groups;
    // The fourth is the mark's.
    expect(pages).toBeLessThan(5);
  });

  test("the write-ahead log is brought into the file between two appends, and not within one", () => {
    const [dataDir, clock] = [kit.dir(), simulatedClock()];
    const spool = kit.spool({ dataDir, clock });
    const bytes = (name: string) => statSync(join(dataDir, name)).size;
    while (bytes("spool.db-wal") < 18_000_000) spool.append(bulky(10, 60_000), emptyRecord);
    expect(bytes("spool.db")).toBeLessThan(100_000);
    clock.advance(0);
    expect(bytes("spool.db")).toBeGreaterThan(16_000_000);
  });

  test("an append of very many entries is read in pieces of a bounded size", () => {
    const dataDir = kit.dir();
    const writer = kit.spool({ dataDir });
    put(writer, 3_500);
    kit.close(writer);
    const spool = kit.spool({ dataDir });
    expect(spool.read(1)).toHaveLength(1_000);
    expect(seqsIn(spool)).toEqual(sequence(1, 3_500));
  });

  test("listeners are called for each append, but not for one without entries", () => {
    const spool = kit.spool();
    let heard = 0;
    spool.onAppend(() => heard++);
    put(spool, 1, 2);
    spool.append([], { books: new Map([["duplicate", 1]]) });
    expect(heard).toBe(2);
  });

  test("a group that left memory is read from the disk, and by several readers", () => {
    const spool = kit.spool();
    for (let i = 0; i < 40; i++) spool.append(bulky(10, 60_000), emptyRecord);
    expect(seqsIn(spool)).toEqual(sequence(1, 400));
    expect(spool.read(2).map(({ seq }) => seq)).toEqual([2, 3]);
    expect(spool.read(2)).toEqual(spool.read(1).slice(1));
  });

  test("a group of large payloads is read a part at a time, from memory as from the disk", () => {
    const spool = kit.spool();
    for (let i = 0; i < 40; i++) spool.append(bulky(10, 60_000), emptyRecord);
    for (const from of [1, 391]) {
      const parts = [from, from + 3, from + 6, from + 9].map((seq) => spool.read(seq));
      expect(parts.map(({ length }) => length)).toEqual([3, 3, 3, 1]);
      expect(parts.flat().map(({ seq }) => seq)).toEqual(sequence(from, from + 9));
    }
  });

  test("memory keeps what a sink still waits for, and what all have settled is read from the disk", () => {
    const spool = kit.spool({ clock: simulatedClock() });
    const group = entries(3);
    const [first] = group;
    const isInMemory = () => spool.read(1)[0] === first;
    spool.keepFor(["waits"], ["skips"]);
    spool.append(group, emptyRecord);
    spool.setCursor("waits", settledTo(3));
    spool.setCursor("skips", settledTo(2));
    put(spool, 3);
    expect(isInMemory()).toBe(true);
    spool.setCursor("skips", settledTo(3));
    put(spool, 3);
    expect(isInMemory()).toBe(false);
    expect(spool.read(1).map(plain)).toEqual(group);
  });

  test("the oldest entry after a seq says since when a sink waits", () => {
    const spool = kit.spool();
    spool.append([anEntry({ receivedMs: 10 })], emptyRecord);
    spool.append([anEntry({ receivedMs: 20 })], emptyRecord);
    expect([0, 1, 2].map((seq) => spool.receivedMsAfter(seq))).toEqual([10, 20, undefined]);
  });
});

describe("what goes with a group", () => {
  test("books, fingerprints and cursors are there again after a restart", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir });
    const detours = new Map([["acme", { seq: 1, waiting: 1 }]]);
    first.setCursor("influx", settledTo(1, { detours }));
    first.append(entries(2), { books: new Map([["accepted", 2]]), packets: [11, 1, 2 ** 52, 2] });
    kit.close(first);
    const spool = kit.spool({ dataDir });
    expect([...spool.sidecar.books()]).toEqual([["accepted", 2]]);
    expect(spool.sidecar.packets()).toEqual([11, 1, 2 ** 52, 2]);
    expect(spool.cursorOf("influx")).toEqual(settledTo(1, { detours }));
  });

  test("a detour that ended is not there after a restart", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir });
    first.setCursor("influx", settledTo(1, { detours: new Map([["acme", { seq: 1, waiting: 1 }]]) }));
    put(first, 1);
    first.setCursor("influx", settledTo(1));
    put(first, 1);
    kit.close(first);
    expect(kit.spool({ dataDir }).cursorOf("influx").detours.size).toBe(0);
  });

  test("nothing of it is written if the append fails", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir, bytesMax: 65_536 });
    first.keepFor(["slow"]);
    first.append(bulky(1, 50_000), { books: new Map([["accepted", 1]]), packets: [1, 0] });
    const more = { books: new Map([["accepted", 2]]), packets: [2, 0] };
    expect(() => first.append(bulky(1, 50_000), more)).toThrow(SpoolFull);
    kit.close(first);
    const spool = kit.spool({ dataDir });
    expect([...spool.sidecar.books()]).toEqual([["accepted", 1]]);
    expect(spool.sidecar.packets()).toEqual([1, 0]);
    expect(spool.head).toBe(1);
  });

  test("a book that did not change keeps its value", () => {
    const dataDir = kit.dir();
    const first = kit.spool({ dataDir });
    for (const accepted of [1, 2])
      first.append(entries(1), {
        books: new Map([
          ["accepted", accepted],
          ["duplicate", 7],
        ]),
      });
    kit.close(first);
    expect(Object.fromEntries(kit.spool({ dataDir }).sidecar.books())).toEqual({
      accepted: 2,
      duplicate: 7,
    });
  });

  test("cursors reach the disk within a second although nothing is appended", () => {
    const dataDir = kit.dir();
    const clock = simulatedClock();
    const spool = kit.spool({ dataDir, clock });
    put(spool, 3);
    spool.setCursor("influx", settledTo(3));
    clock.advance(1_000);
    const db = new Database(join(dataDir, "spool.db"), { readonly: true });
    expect(db.query("SELECT sink, seq FROM cursors").all()).toEqual([{ sink: "influx", seq: 3 }]);
    db.close();
  });

  test("the redelivery window is written anew once the table holds it twice, in its current state, and never with packets that are not on disk", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir, redeliveryWindow: 100 });
    spool.keepFor([]);
    const window = new RedeliveryWindow(100);
    window.add(1_000_000, 7);
    for (let i = 0; i < 100; i++) {
      const packets = Array.from({ length: 5 }, (_, n) => [i * 5 + n, 1]).flat();
      for (let n = 0; n < packets.length; n += 2) window.add(packets[n] ?? 0, packets[n + 1] ?? 0);
      spool.append(entries(1), { books: new Map(), packets, window });
      expect(spool.sidecar.packets().length / 2).toBeLessThanOrEqual(205);
    }
    const again = new RedeliveryWindow(100, spool.sidecar.packets());
    expect(sequence(410, 499).every((print) => again.has(print))).toBe(true);
    expect(again.has(1_000_000)).toBe(true);
    expect(again.has(100)).toBe(false);
  });

  test("fingerprints that the first version wrote are still known", () => {
    const dataDir = kit.dir();
    kit.close(kit.spool({ dataDir }));
    const db = new Database(join(dataDir, "spool.db"));
    db.query("INSERT INTO packets (count, prints) VALUES (?, ?)").run(
      2,
      new Uint8Array(Float64Array.from([11, 12]).buffer),
    );
    db.close();
    expect(kit.spool({ dataDir }).sidecar.packets()).toEqual([11, 0, 12, 0]);
  });
});
