/** The drain over a real spool, on simulated time: pace, order, stopping. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Drain } from "../../src/drain/drain.ts";
import type { Sink } from "../../src/core/sink.ts";
import { drainTo, drainToMemory, putInto } from "../kit/drain.ts";
import { byTenant, memorySink } from "../kit/sink.ts";
import { anEntry, emptyRecord, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const sequence = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const setUp = (settings: Partial<Sink> = {}) => drainToMemory(kit, settings);

const sum = ({ spooled, ...s }: ReturnType<Drain["stats"]>) =>
  s.delivered + s.ignored + s.refused + s.skipped + s.waiting - spooled;

describe("delivering", () => {
  test("what was there before and what comes later is delivered in order, and counted", async () => {
    const { clock, spool, sink, drain } = setUp();
    putInto(spool, 250);
    drain.start();
    await clock.pass(10);
    putInto(spool, 5);
    await clock.pass(10);
    expect(sink.taken.get("")).toEqual(sequence(1, 255));
    expect(drain.stats()).toEqual({
      spooled: 255,
      delivered: 255,
      ignored: 0,
      refused: 0,
      skipped: 0,
      waiting: 0,
      trouble: null,
      alarms: [],
    });
  });

  test("what is still to be judged reaches no sink, with or without lanes", async () => {
    for (const lanes of [{}, { lane: byTenant }]) {
      const { clock, spool, sink, drain } = setUp(lanes);
      putInto(spool, 2);
      spool.append([anEntry({ kind: "deferred", reason: "REGISTRY_UNAVAILABLE" })], emptyRecord);
      putInto(spool, 1);
      drain.start();
      await clock.pass(10);
      expect(sink.calls.flatMap(({ seqs }) => seqs)).toEqual([1, 2, 4]);
      expect(drain.stats()).toMatchObject({ delivered: 3, ignored: 1, waiting: 0 });
    }
  });

  test("a batch holds at most batchMax entries", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 30 });
    putInto(spool, 100);
    drain.start();
    await clock.pass(10);
    expect(sink.calls.map((call) => call.seqs.length)).toEqual([30, 30, 30, 10]);
  });

  test.each(["x", "é", "实", "🌊"])(
    "a batch holds at most batchBytesMax bytes of %s, and at least one entry",
    async (letter) => {
      const { clock, spool, sink, drain } = setUp({ batchBytesMax: 3_000 });
      const sizes = [1_200, 1_200, 1_200, 10_800, 600, 600];
      spool.append(
        sizes.map((size) => anEntry({ payload: letter.repeat(size / Buffer.byteLength(letter)) })),
        emptyRecord,
      );
      drain.start();
      await clock.pass(10);
      expect(sink.calls.map((call) => call.seqs)).toEqual([[1, 2], [3], [4], [5, 6]]);
    },
  );

  test("a batch waits for what comes within lingerMs, for nothing if that is nothing, and not if it is full", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 50, lingerMs: 1_000 });
    const sizes = () => sink.calls.map((call) => call.seqs.length);
    const putEvery = async (ms: number, times: number) => {
      for (let i = 0; i < times; i++) {
        await clock.pass(ms);
        putInto(spool, 2);
      }
      await clock.pass(1);
    };
    drain.start();
    await clock.pass(0);
    putInto(spool, 20);
    await clock.pass(1);
    expect(sizes()).toEqual([20]);
    // The fifth comes after 800 ms, and a sixth would after 1,000: it still fits.
    await putEvery(200, 5);
    expect(sizes()).toEqual([20]);
    await putEvery(198, 1);
    expect(sizes()).toEqual([20, 12]);
    // Nobody comes any more.
    await putEvery(200, 2);
    await clock.pass(796);
    expect(sizes()).toEqual([20, 12]);
    await clock.pass(4);
    expect(sizes()).toEqual([20, 12, 4]);
    await putEvery(1_001, 3);
    expect(sizes()).toEqual([20, 12, 4, 2, 2, 2]);
    await putEvery(10, 1);
    putInto(spool, 48);
    await clock.pass(1);
    expect(sizes().slice(6)).toEqual([50]);
  });

  test("what a full batch leaves waits lingerMs from then on, not from when the first of that batch came", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 2, lingerMs: 1_000 });
    const sizes = () => sink.calls.map((call) => call.seqs.length);
    drain.start();
    for (const n of [1, 1, 2]) {
      putInto(spool, n);
      await clock.pass(600);
    }
    expect(sizes()).toEqual([1, 2]);
    await clock.pass(390);
    expect(sizes()).toEqual([1, 2]);
    await clock.pass(20);
    expect(sizes()).toEqual([1, 2, 1]);
  });

  test("batchTrigger sends a lane before batchMax is full", async () => {
    const { clock, spool, sink, drain } = setUp({ batchTrigger: 10, lingerMs: 60_000 });
    drain.start();
    for (const [n, ms, calls] of [
      [1, 1, [1]],
      [9, 1_000, [1]],
      [3, 1, [1, 12]],
    ] as const) {
      putInto(spool, n);
      await clock.pass(ms);
      expect(sink.calls.map((call) => call.seqs.length)).toEqual([...calls]);
    }
  });

  test("gatherMs lets a lane that is worth a request wait for more, but not once it is full", async () => {
    const { clock, spool, sink, drain } = setUp({
      batchTrigger: 10,
      batchMax: 100,
      gatherMs: 50,
      lingerMs: 60_000,
    });
    drain.start();
    for (const [n, ms, calls] of [
      [1, 1, [1]],
      // Nothing more is expected soon enough: a slow stream waits no longer than before.
      [9, 1_000, [1]],
      [3, 1, [1, 12]],
      [4, 10, [1, 12]],
      [10, 10, [1, 12]],
      [10, 10, [1, 12]],
      [10, 19, [1, 12]],
      [1, 2, [1, 12, 35]],
      [60, 1, [1, 12, 35]],
      [40, 1, [1, 12, 35, 100]],
    ] as const) {
      putInto(spool, n);
      await clock.pass(ms);
      expect(sink.calls.map((call) => call.seqs.length)).toEqual([...calls]);
    }
  });

  test("gatherMs keeps nobody waiting while more is to be read", async () => {
    const gathering = { batchTrigger: 10, batchMax: 50_000, gatherMs: 50, lingerMs: 60_000 };
    const { clock, spool, sink, drain } = setUp(gathering);
    putInto(spool, 4_500);
    drain.start();
    await clock.pass(0);
    expect(sink.calls.map((call) => call.seqs.length)).toEqual([4_000]);
  });

  test("lanes are delivered side by side, as many as concurrency says, and each gets its turn", async () => {
    const { clock, spool, sink, drain } = setUp({ lane: byTenant, concurrency: 2 });
    for (const tenant of ["a", "b", "c"]) putInto(spool, 200, tenant);
    sink.conduct = () => "hang";
    drain.start();
    for (const expected of [
      ["a", "b"],
      ["c", "a"],
      ["b", "c"],
    ]) {
      await clock.pass(5);
      expect(sink.calls.slice(-2).map((call) => call.lane)).toEqual(expected);
      sink.release();
    }
    await clock.pass(5);
    expect(drain.stats()).toMatchObject({ delivered: 600, waiting: 0 });
  });

  test("entries without a lane are ignored, as are those that the sink calls ignored", async () => {
    const { clock, spool, sink, drain } = setUp({ lane: byTenant });
    sink.ignores = (entry) => entry.seq === 2;
    putInto(spool, 3);
    putInto(spool, 4, null);
    drain.start();
    await clock.pass(5);
    expect(drain.stats()).toMatchObject({ delivered: 2, ignored: 5, waiting: 0 });
  });

  test("an idle drain reads nothing and sets no timer", async () => {
    const { clock, spool, drain } = setUp();
    putInto(spool, 10);
    drain.start();
    await clock.pass(100);
    let reads = 0;
    const read = spool.read.bind(spool);
    spool.read = (seq) => {
      reads++;
      return read(seq);
    };
    const timers = clock.pending();
    await clock.pass(60_000);
    expect(reads).toBe(0);
    // The spool's own idle flush.
    expect([timers, clock.pending()]).toEqual([1, 1]);
  });

  test("a long backlog is read in parts, with pauses in between", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 50_000, lingerMs: 60_000 });
    for (let i = 0; i < 12; i++) putInto(spool, 1_000);
    let reads = 0;
    const read = spool.read.bind(spool);
    spool.read = (seq) => {
      reads++;
      return read(seq);
    };
    drain.start();
    await clock.pass(0);
    expect(reads).toBeLessThanOrEqual(5);
    await clock.pass(100);
    expect(reads).toBe(12);
    await drain.stop(1_000);
    expect(sink.calls.map((call) => call.seqs.length)).toEqual([12_000]);
  });
});

describe("a long backlog", () => {
  test("a full batch that was read goes out before more is read", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 1_000 });
    for (let i = 0; i < 12; i++) putInto(spool, 1_000);
    const order: string[] = [];
    const read = spool.read.bind(spool);
    spool.read = (seq) => {
      order.push("read");
      return read(seq);
    };
    sink.conduct = () => {
      order.push("deliver");
      return "hang";
    };
    drain.start();
    await clock.pass(0);
    expect(order).toEqual(["read", "read", "read", "read", "deliver"]);
    sink.release();
    await clock.pass(0);
    expect(order.slice(5)).toEqual(["deliver"]);
    await clock.pass(1);
    expect(order.slice(6)).toEqual(["read", "read", "read", "read"]);
    sink.conduct = () => "take";
    sink.release();
    await drain.stop(1_000);
    expect(drain.stats()).toMatchObject({ delivered: 12_000, waiting: 0 });
  });

  test("a lane with little keeps its turn among those that have a full batch", async () => {
    const { clock, spool, sink, drain } = setUp({ batchMax: 1_000, lane: byTenant });
    for (const tenant of ["much", "much", "much", "little", "much", "much", "much", "much"])
      putInto(spool, tenant === "little" ? 1 : 1_000, tenant);
    sink.conduct = () => "hang";
    drain.start();
    for (let i = 0; i < 3; i++) {
      await clock.pass(0);
      sink.release();
    }
    expect(sink.calls.map(({ lane }) => lane)).toEqual(["much", "little", "much"]);
    sink.conduct = () => "take";
    await drain.stop(1_000);
    expect(drain.stats()).toMatchObject({ delivered: 7_001, waiting: 0 });
  });
});

describe("stopping", () => {
  test("delivers what the spool holds, lingering or not, then closes the sink", async () => {
    const { clock, spool, sink, drain } = setUp({ lingerMs: 60_000, lane: byTenant });
    drain.start();
    putInto(spool, 30, "a");
    putInto(spool, 30, "b");
    await clock.pass(10);
    expect(sink.calls).toEqual([]);
    const stopped = drain.stop(5_000);
    await clock.pass(100);
    await stopped;
    expect(drain.stats()).toMatchObject({ delivered: 60, waiting: 0 });
    expect(sink.closed).toBe(true);
  });

  test("does not wait for a lane that fails, but lets other lanes finish", async () => {
    const { clock, spool, sink, drain } = setUp({ lingerMs: 60_000, lane: byTenant });
    sink.conduct = (lane) => (lane === "a" ? new Error("away") : "take");
    putInto(spool, 10, "a");
    putInto(spool, 10, "b");
    drain.start();
    await clock.pass(10);
    const stopped = drain.stop(60_000);
    await clock.pass(100);
    await stopped;
    expect(drain.stats()).toMatchObject({ delivered: 10, waiting: 10 });
  });

  test("ends after the grace period although a delivery hangs, and aborts it", async () => {
    const { clock, spool, sink, drain } = setUp({ deadlineMs: 600_000 });
    sink.conduct = () => "hang for ever";
    putInto(spool, 1);
    drain.start();
    await clock.pass(10);
    const stopped = drain.stop(2_000);
    await clock.pass(2_100);
    await stopped;
    expect(sink.calls[0]?.delivery.signal.aborted).toBe(true);
    expect(drain.stats()).toMatchObject({ delivered: 0, waiting: 1 });
    expect(sum(drain.stats())).toBe(0);
  });

  test("of a drain that was never started is at once", async () => {
    const { sink, drain } = setUp();
    await drain.stop(1_000);
    expect(sink.closed).toBe(true);
  });
});

test("a sink without a position may take entries of two starts in one batch", async () => {
  const dataDir = kit.dir();
  const first = kit.spool({ dataDir });
  putInto(first, 3);
  kit.close(first);
  const { clock, spool, sink, drain } = drainTo(kit, { sink: memorySink(), dataDir });
  putInto(spool, 2);
  drain.start();
  await clock.pass(10);
  expect(sink.calls.map((call) => call.seqs)).toEqual([[1, 2, 3, 4, 5]]);
});
