/** Lanes in trouble: they take a detour, lose nothing, and rejoin; across restarts and crashes too. */
import { afterEach, describe, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { drainTo, putInto } from "../kit/drain.ts";
import { byTenant, memorySink } from "../kit/sink.ts";
import { anEntry, emptyRecord, littleRoom, type SpoolSettings, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function setUp(
  options: {
    dataDir?: string;
    entriesMax?: number;
    sink?: ReturnType<typeof memorySink>;
    settings?: Partial<SpoolSettings>;
  } = {},
) {
  const sink = memorySink({ lane: byTenant, concurrency: 2, batchMax: 20 });
  const bounds = { entriesMax: 40_000, bytesMax: 32 * 1024 * 1024 };
  const it = drainTo(kit, { sink, ...bounds, ...options });
  it.spool.keepFor([it.sink.name]);
  return it;
}

describe("a lane that fails", () => {
  test("does not delay the others, however much they have", async () => {
    const { clock, spool, sink, drain } = setUp({ entriesMax: 100 });
    sink.conduct = (lane) => (lane === "bad" ? new Error("database missing") : "take");
    drain.start();
    for (let i = 0; i < 30; i++) {
      putInto(spool, 7, "bad");
      putInto(spool, 20, "good");
      await clock.pass(10);
    }
    expect(drain.stats()).toMatchObject({ delivered: 600, waiting: 210, trouble: "database missing" });
    expect(spool.cursorOf("memory").detours.get("bad")).toEqual({ seq: 1, waiting: 210 });
    expect(drain.progress.waitsFrom).toBe(1);
  });

  test("catches up in order once it works again, and continues with the others", async () => {
    const { clock, spool, sink, drain } = setUp({ entriesMax: 100 });
    let well = false;
    sink.conduct = (lane) => (lane === "bad" && !well ? new Error("away") : "take");
    drain.start();
    for (let i = 0; i < 20; i++) {
      putInto(spool, 7, "bad");
      putInto(spool, 20, "good");
      await clock.pass(10);
    }
    well = true;
    await clock.pass(40_000);
    putInto(spool, 3, "bad");
    await clock.pass(100);
    const bad = sink.taken.get("bad") ?? [];
    expect(bad).toHaveLength(143);
    expect(bad).toEqual(bad.toSorted((a, b) => a - b));
    expect(drain.stats()).toMatchObject({ delivered: 543, waiting: 0, skipped: 0, trouble: null });
    expect(drain.progress.waitsFrom).toBe(spool.head + 1);
    expect(spool.cursorOf("memory").detours.size).toBe(0);
  });

  test("catches up a full batch at a time, and waits for none of them to linger", async () => {
    const sink = memorySink({ lane: byTenant, batchMax: 20, lingerMs: 60_000 });
    const { clock, spool, drain } = setUp({ sink });
    sink.conduct = () => new Error("away");
    drain.start();
    for (let i = 0; i < 5; i++) putInto(spool, 20, "bad");
    await clock.pass(1_000);
    expect(spool.cursorOf("memory").detours.get("bad")).toEqual({ seq: 1, waiting: 100 });
    sink.conduct = () => "take";
    await clock.pass(31_000);
    expect(sink.taken.get("bad")).toHaveLength(100);
  });

  test("goes on behind what was on its way when it had to make room", async () => {
    const { clock, spool, sink, drain } = setUp({ entriesMax: 50 });
    sink.conduct = (lane) => (lane === "slow" ? "hang" : "take");
    drain.start();
    putInto(spool, 20, "slow");
    await clock.pass(10);
    for (let i = 0; i < 5; i++) {
      putInto(spool, 20, "good");
      putInto(spool, 3, "slow");
      await clock.pass(10);
    }
    expect(drain.stats()).toMatchObject({ delivered: 100, waiting: 35, trouble: null });
    sink.conduct = () => "take";
    sink.release();
    await clock.pass(1_000);
    expect(sink.taken.get("slow")).toHaveLength(35);
    expect(new Set(sink.taken.get("slow")).size).toBe(35);
    expect(drain.stats()).toMatchObject({ delivered: 135, waiting: 0 });
  });

  test("keeps its entries in the spool, which trims none of them", async () => {
    const { clock, spool, sink, drain } = setUp({ settings: littleRoom });
    sink.conduct = (lane) => (lane === "bad" ? new Error("away") : "take");
    drain.start();
    putInto(spool, 5, "good");
    putInto(spool, 5, "bad");
    for (let i = 0; i < 20; i++) {
      putInto(spool, 5, "good");
      await clock.pass(5_000);
    }
    expect(spool.first).toBe(6);
  });

  test("finds its place again after a restart", async () => {
    const before = setUp();
    before.sink.conduct = (lane) => (lane === "bad" ? new Error("away") : "take");
    before.drain.start();
    for (let i = 0; i < 10; i++) {
      putInto(before.spool, 3, "good");
      putInto(before.spool, 3, "bad");
      await before.clock.pass(10);
    }
    const stopped = before.drain.stop(1_000);
    await before.clock.pass(2_000);
    await stopped;
    kit.close(before.spool);
    const { clock, spool, sink, drain } = setUp({ dataDir: before.dataDir });
    expect(drain.stats()).toMatchObject({ spooled: 60, delivered: 30, waiting: 30 });
    drain.start();
    putInto(spool, 1, "bad");
    await clock.pass(1_000);
    expect(sink.taken.get("good")).toBeUndefined();
    expect(sink.taken.get("bad")).toHaveLength(31);
    expect(drain.stats()).toMatchObject({ delivered: 61, waiting: 0, skipped: 0 });
  });

  test("that had already taken entries beyond the cursor does not count them as skipped after a restart", async () => {
    const sink = memorySink({ lane: byTenant, concurrency: 3, batchMax: 2, deadlineMs: 1_000_000 });
    const before = setUp({ sink });
    // "slow" holds the cursor at 0 while "bad" takes two entries and fails from then on.
    sink.conduct = (lane, batch) =>
      lane === "slow" ? "hang for ever" : (batch[0]?.seq ?? 0) > 3 ? new Error("away") : "take";
    putInto(before.spool, 1, "slow");
    putInto(before.spool, 4, "bad");
    before.drain.start();
    await before.clock.pass(50);
    expect(sink.taken.get("bad")).toEqual([2, 3]);
    const crashed = kit.dir();
    putInto(before.spool, 100, "slow");
    cpSync(before.dataDir, crashed, { recursive: true });
    // The read-ahead is so short that "slow" has to take a detour before "bad" had its first turn.
    const { clock, sink: again, drain } = setUp({ dataDir: crashed, entriesMax: 50 });
    drain.start();
    await clock.pass(1_000);
    expect(again.taken.get("bad")).toEqual([2, 3, 4, 5]);
    expect(drain.stats()).toMatchObject({ spooled: 105, delivered: 105, skipped: 0, waiting: 0 });
  });
});

describe("a lane that is slow", () => {
  test("takes a detour when the read-ahead is full of its entries", async () => {
    const sink = memorySink({ lane: byTenant, concurrency: 2, batchMax: 20, deadlineMs: 1_000_000 });
    const { clock, spool, drain } = setUp({ entriesMax: 100, sink });
    sink.conduct = (lane) => (lane === "slow" ? "hang" : "take");
    putInto(spool, 300, "slow");
    putInto(spool, 50, "good");
    drain.start();
    await clock.pass(100);
    expect(sink.taken.get("good")).toHaveLength(50);
    for (let i = 0; i < 30; i++) {
      sink.release();
      await clock.pass(20);
    }
    const slow = sink.taken.get("slow") ?? [];
    expect(slow).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(drain.stats()).toMatchObject({ delivered: 350, waiting: 0, skipped: 0 });
  });

  test.each(["x", "é", "实", "🌊"])(
    "does so too when it is bytes that fill the read-ahead, of %s",
    async (letter) => {
      const sink = memorySink({ lane: byTenant, concurrency: 2, deadlineMs: 1_000_000 });
      const { clock, spool, drain } = setUp({ sink });
      sink.conduct = (lane) => (lane === "slow" ? "hang for ever" : "take");
      const payload = letter.repeat(200_000 / Buffer.byteLength(letter));
      for (let i = 0; i < 200; i++) spool.append([anEntry({ tenantId: "slow", payload })], emptyRecord);
      putInto(spool, 50, "good");
      drain.start();
      await clock.pass(100);
      expect(sink.taken.get("good")).toHaveLength(50);
      expect(drain.stats()).toMatchObject({ delivered: 50, waiting: 200 });
      expect([...spool.cursorOf("memory").detours.keys()]).toEqual(["slow"]);
    },
  );

  test.each([
    { entriesMax: 12_000, least: 9, most: 20, bounded: "its own bound" },
    { entriesMax: 1_000, least: 24, most: 30, bounded: "what the read-ahead may hold" },
  ])(
    "fills its batches up to $bounded, although a stretch of the spool holds few of its entries",
    async ({ entriesMax, least, most }) => {
      const sink = memorySink({ lane: byTenant, batchMax: 3_000, lingerMs: 500, deadlineMs: 1_000_000 });
      const { clock, spool, drain } = setUp({ entriesMax, sink });
      for (let i = 0; i < 40; i++) {
        for (const tenant of ["a", "b", "c"]) putInto(spool, 300, tenant);
        putInto(spool, 10, "rare");
      }
      sink.conduct = () => (sink.calls.length > 4 ? "take" : new Error("away"));
      drain.start();
      await clock.pass(60_000);
      expect(drain.stats()).toMatchObject({ delivered: 36_400, waiting: 0, skipped: 0 });
      const { length } = sink.calls.slice(4).filter(({ lane }) => lane !== "rare");
      expect(length).toBeWithin(least, most);
      for (const list of sink.taken.values()) expect(list).toEqual(list.toSorted((a, b) => a - b));
    },
  );

  test("just waits if its sink has a single lane: nothing is read that there is no room for", async () => {
    const sink = memorySink({ deadlineMs: 1_000_000 });
    const { clock, spool, drain } = setUp({ entriesMax: 100, sink });
    sink.conduct = () => "hang for ever";
    putInto(spool, 300, "acme");
    drain.start();
    await clock.pass(100);
    expect(drain.stats()).toMatchObject({ delivered: 0, waiting: 300 });
    expect(spool.cursorOf("memory").detours.size).toBe(0);
  });
});

describe("a lane whose entries the spool trimmed", () => {
  test("counts them as skipped when it has caught up", async () => {
    const { clock, spool, sink, drain } = setUp();
    let well = false;
    sink.conduct = (lane) => (lane === "bad" && !well ? new Error("away") : "take");
    drain.start();
    for (let i = 0; i < 10; i++) {
      putInto(spool, 5, i % 2 === 0 ? "bad" : "good");
      await clock.pass(10);
    }
    const read = spool.read.bind(spool);
    spool.read = (seq) => read(Math.max(seq, 21));
    well = true;
    await clock.pass(60_000);
    expect(sink.taken.get("bad")).toHaveLength(15);
    expect(drain.stats()).toMatchObject({ delivered: 40, skipped: 10, waiting: 0 });
  });
});
