/** Dead letters within their bounds: whose are removed, when, and that the log reports it. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import pino from "pino";
import { watchLetters } from "../../src/spool/dead-letter-watch.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { simulatedClock } from "../kit/clock.ts";
import { recordingLog } from "../kit/source.ts";
import { anEntry, incompressible, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function refuse({ deadLetters }: Spool, deviceId: string, count: number, from = 1): void {
  const entries = Array.from({ length: count }, (_, i) => anEntry({ seq: from + i, deviceId }));
  deadLetters.putAll(
    deviceId,
    entries.map((entry) => ({ epoch: "e", entry, why: "no" })),
  );
}

const devicesOf = ({ deadLetters }: Spool) =>
  deadLetters.list({ limit: 100_000 }).map(({ entry }) => entry.deviceId ?? "");

describe("dead letters", () => {
  test("are counted without being read, across a restart and a replay", () => {
    const dataDir = kit.dir();
    let spool = kit.spool({ dataDir });
    refuse(spool, "a", 30);
    expect(spool.deadLetters.totals().count).toBe(30);
    const bytes = spool.deadLetters.totals().bytes;
    spool.deadLetters.remove([1, 2, 3]);
    expect(spool.deadLetters.totals()).toEqual({ count: 27, bytes: bytes * 0.9 });
    kit.close(spool);
    spool = kit.spool({ dataDir });
    expect(spool.deadLetters.totals()).toEqual({ count: 27, bytes: bytes * 0.9 });
  });

  test("of a spool from before they were counted are counted once", () => {
    const dataDir = kit.dir();
    const spool = kit.spool({ dataDir });
    refuse(spool, "a", 30);
    const totals = spool.deadLetters.totals();
    kit.close(spool);
    const db = new Database(join(dataDir, "spool.db"));
    db.run("DROP TABLE dead_letter_totals");
    db.run("DROP TRIGGER dead_letter_added");
    db.run("DROP TRIGGER dead_letter_removed");
    db.close();
    expect(kit.spool({ dataDir }).deadLetters.totals()).toEqual(totals);
  });

  test("are one and the same letter if an entry is refused again, and are listed up to an id and with it", () => {
    const { deadLetters } = kit.spool();
    const refuseSeq = (seq: number, why: string) =>
      deadLetters.putAll("a", [{ epoch: "e", entry: anEntry({ seq }), why }]);
    refuseSeq(1, "first");
    refuseSeq(2, "no");
    refuseSeq(1, "again");
    const kept = deadLetters.list({ limit: 10 });
    expect(kept.map(({ id, why }) => [id, why])).toEqual([
      [1, "first"],
      [2, "no"],
    ]);
    expect(deadLetters.list({ limit: 10, after: 1, upTo: 2 }).map(({ id }) => id)).toEqual([2]);
  });

  test("are listed from the moment of the one on, and not up to that of the other", () => {
    const clock = simulatedClock();
    const spool = kit.spool({ clock });
    const [, sinceMs, untilMs] = [1, 2, 3].map((seq) => {
      clock.advance(1_000);
      refuse(spool, "a", 1, seq);
      return clock.wallMs();
    });
    expect(spool.deadLetters.list({ sinceMs, untilMs, limit: 10 }).map(({ id }) => id)).toEqual([2]);
  });

  test("are taken back from a seq on, of that sink and these epochs alone", () => {
    const { deadLetters } = kit.spool();
    const refusals = ["a e 1", "a e 2", "a e 3", "a f 2", "a g 2", "b e 2"];
    for (const why of refusals) {
      const [sink = "", epoch = "", seq] = why.split(" ");
      deadLetters.putAll(sink, [{ epoch, entry: anEntry({ seq: Number(seq) }), why }]);
    }
    deadLetters.takeBack("a", ["e", "f"], 2);
    expect(deadLetters.list({ limit: 10 }).map(({ why }) => why)).toEqual(["a e 1", "a g 2", "b e 2"]);
  });

  test("quote the downstream system without its secrets, and not at any length", () => {
    const { deadLetters } = kit.spool();
    const why = `postgres://u:hidden1234@db refuses ${"x".repeat(10_000)}`;
    deadLetters.putAll("a", [{ epoch: "e", entry: anEntry({ seq: 1 }), why }]);
    const kept = deadLetters.get(1)?.why ?? "";
    expect(kept).toStartWith("postgres://u:***@db refuses x");
    expect(kept.length).toBe(2_000);
  });

  test("at their bound in bytes lose the oldest of the devices that have most of them, and none of other devices", () => {
    const spool = kit.spool({ letterBytesMax: 1_048_576 });
    refuse(spool, "honest", 100);
    // Of the same name, but another's.
    const others = anEntry({ seq: 1, tenantId: "other", deviceId: "flood" });
    spool.deadLetters.putAll("sink", [{ epoch: "e", entry: others, why: "no" }]);
    for (let i = 0; i < 20; i++) refuse(spool, "flood", 1_000, 1 + i * 1_000);
    const { bytes, count } = spool.deadLetters.totals();
    expect(bytes).toBeLessThanOrEqual(1_048_576);
    expect(spool.deadLetters.discarded).toBe(20_101 - count);
    expect(spool.deadLetters.list({ tenantId: "other", limit: 10 })).toHaveLength(1);
    const devices = devicesOf(spool);
    expect(devices.filter((device) => device === "honest").length).toBe(100);
    const seqs = spool.deadLetters.list({ sink: "flood", limit: 100_000 }).map(({ entry }) => entry.seq);
    expect(seqs.at(-1)).toBe(20_000);
    expect(seqs.length).toBe((seqs.at(-1) ?? 0) - (seqs[0] ?? 0) + 1);
  });

  test("at their bound in bytes lose a tenth, however large they are, and never the newest", () => {
    const spool = kit.spool({ letterBytesMax: 1_048_576 });
    const bytes: number[] = [];
    for (let seq = 1; seq <= 120; seq++) {
      const entry = anEntry({ seq, payload: incompressible(20_000) });
      spool.deadLetters.putAll("sink", [{ epoch: "e", entry, why: "no" }]);
      bytes.push(spool.deadLetters.totals().bytes);
      expect(spool.deadLetters.list({ limit: 1_000 }).at(-1)?.entry.seq).toBe(seq);
    }
    expect(spool.deadLetters.discarded).toBeGreaterThan(10);
    expect(Math.max(...bytes)).toBeLessThanOrEqual(1_048_576);
    expect(Math.max(...bytes)).toBeGreaterThan(1_020_000);
    expect(Math.min(...bytes.slice(60))).toBeGreaterThan(900_000);
  });

  test("at their bound in bytes leave each device of a fleet its newest", () => {
    const [devices, rounds] = [2_000, 20];
    const spool = kit.spool({ letterBytesMax: 10 * 1_048_576 });
    for (let round = 1; round <= rounds; round++) {
      const entries = Array.from({ length: devices }, (_, i) =>
        anEntry({ seq: round * devices + i, deviceId: `d${i}` }),
      );
      spool.deadLetters.putAll(
        "sink",
        entries.map((entry) => ({ epoch: "e", entry, why: "no".repeat(100) })),
      );
    }
    expect(spool.deadLetters.discarded).toBeGreaterThan(devices);
    const counts = Map.groupBy(devicesOf(spool), (device) => device);
    expect(counts.size).toBe(devices);
    expect(Math.min(...[...counts.values()].map(({ length }) => length))).toBeGreaterThan(5);
    expect(spool.deadLetters.list({ limit: devices * rounds }).at(-1)?.entry.seq).toBe(
      rounds * devices + devices - 1,
    );
  });

  test("are removed at their age limit, some at a time, and the log tells of it although nothing else is refused", () => {
    const clock = simulatedClock();
    const { log, lines } = recordingLog();
    const spool = kit.spool({ clock, letterAgeMaxDays: 1 });
    const watch = watchLetters({ letters: spool.deadLetters, clock, log });
    refuse(spool, "old", 1_500);
    clock.advance(86_400_000 - 5_000);
    refuse(spool, "new", 10);
    expect(spool.deadLetters.totals().count).toBe(1_510);
    clock.advance(4_000);
    const before = lines.length;
    clock.advance(6_000);
    expect(devicesOf(spool)).toEqual(Array.from({ length: 10 }, () => "new"));
    expect(spool.deadLetters.discarded).toBe(1_500);
    clock.advance(300_000);
    expect(lines.slice(before).map(({ discarded, kept }) => [discarded, kept])).toEqual([[1_500, 10]]);
    spool.deadLetters.remove(spool.deadLetters.list({ limit: 10 }).map(({ id }) => id));
    expect(watch.detail()).toBe("none; 1500 removed at their bounds since the start");
    watch.stop();
  });

  test("cause a warning when they begin and while they grow, and are shown as long as there are any", () => {
    const clock = simulatedClock();
    const lines: Record<string, unknown>[] = [];
    const log = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
    const spool = kit.spool({ clock });
    const watch = watchLetters({ letters: spool.deadLetters, clock, log });
    expect(watch.detail()).toBe("none");
    refuse(spool, "a", 3);
    clock.advance(1_000);
    expect(lines).toMatchObject([{ level: 40, refused: 3, kept: 3, sink: "a", device_id: "a", why: "no" }]);
    for (let i = 0; i < 600; i++) {
      refuse(spool, "a", 1, 10 + i);
      clock.advance(1_000);
    }
    expect(lines.length).toBe(3);
    expect(watch.detail()).toStartWith("603 kept");
    clock.advance(3_600_000);
    expect(lines.at(-1)).toMatchObject({ kept: 603 });
    expect(lines.reduce((sum, { refused }) => sum + Number(refused), 0)).toBe(603);
    watch.stop();
  });
});
