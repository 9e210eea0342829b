/** The drain over a real spool, on simulated time: outages, refusals, a spool that cannot be read. */
import { afterEach, describe, expect, test } from "bun:test";
import { Outage } from "../../src/core/outage.ts";
import type { Sink } from "../../src/core/sink.ts";
import { drainToMemory, putInto } from "../kit/drain.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const setUp = (settings: Partial<Sink> = {}) => drainToMemory(kit, settings);

describe("an outage", () => {
  test("delivers the same entries again until they are accepted, with growing pauses", async () => {
    const { clock, spool, sink, drain } = setUp();
    const atMs: number[] = [];
    sink.conduct = () => {
      atMs.push(clock.monoMs());
      return atMs.length < 6 ? new Error("connection refused") : "take";
    };
    putInto(spool, 3);
    drain.start();
    await clock.pass(1_000);
    expect(drain.stats()).toMatchObject({ delivered: 0, waiting: 3, trouble: "connection refused" });
    await clock.pass(60_000);
    expect(atMs.slice(1).map((at, i) => at - (atMs[i] ?? 0))).toEqual([250, 500, 1_000, 2_000, 4_000]);
    expect(drain.stats()).toMatchObject({ delivered: 3, waiting: 0, trouble: null });
    expect(sink.taken.get("")).toEqual([1, 2, 3]);
  });

  test("lasts at least as long as the downstream system requests", async () => {
    const { clock, spool, sink, drain } = setUp();
    sink.conduct = () => (sink.calls.length === 1 ? new Outage("429", { retryAfterMs: 45_000 }) : "take");
    putInto(spool, 1);
    drain.start();
    await clock.pass(44_900);
    expect(sink.calls).toHaveLength(1);
    await clock.pass(200);
    expect(sink.calls).toHaveLength(2);
  });

  test("is also a delivery that does not answer by its deadline; it is aborted", async () => {
    const { clock, spool, sink, drain } = setUp({ deadlineMs: 5_000 });
    sink.conduct = () => (sink.calls.length === 1 ? "hang for ever" : "take");
    putInto(spool, 2);
    drain.start();
    await clock.pass(4_900);
    expect(sink.calls[0]?.delivery.signal.aborted).toBe(false);
    await clock.pass(200);
    expect(sink.calls[0]?.delivery.signal.aborted).toBe(true);
    expect(drain.stats().trouble).toBe("memory: no answer within 5000 ms");
    await clock.pass(1_000);
    expect(sink.taken.get("")).toEqual([1, 2]);
    expect(drain.stats()).toMatchObject({ delivered: 2, waiting: 0, trouble: null });
  });

  test("is also a sink that throws at once, or accounts for other entries than it was given", async () => {
    const { clock, spool, sink, drain } = setUp();
    const deliver = sink.deliver.bind(sink);
    let tries = 0;
    sink.deliver = (delivery) => {
      tries++;
      if (tries === 1) throw new Error("not even a promise");
      if (tries === 2) return Promise.resolve({ delivered: 1, ignored: 0, refused: 0 });
      return deliver(delivery);
    };
    putInto(spool, 2);
    drain.start();
    await clock.pass(100);
    expect(drain.stats().trouble).toBe("not even a promise");
    await clock.pass(250);
    expect(drain.stats().trouble).toContain("was given 2 entries");
    await clock.pass(1_000);
    expect(drain.stats()).toMatchObject({ delivered: 2, waiting: 0, trouble: null });
  });
});

describe("refusing", () => {
  test("makes the entry a dead letter with the downstream system's words before the cursor passes it", async () => {
    const { clock, spool, sink, drain } = setUp();
    sink.refusal = (entry) => (entry.seq === 2 ? "22P05 unsupported Unicode escape" : undefined);
    const putLetter = spool.deadLetters.put.bind(spool.deadLetters);
    const cursors: number[] = [];
    spool.deadLetters.put = (...letter) => {
      cursors.push(spool.cursorOf("memory").seq);
      putLetter(...letter);
    };
    putInto(spool, 3);
    drain.start();
    await clock.pass(10);
    expect(cursors).toEqual([0]);
    expect(drain.stats()).toMatchObject({ delivered: 2, refused: 1, waiting: 0 });
    expect(spool.deadLetters.list({ limit: 10 })).toMatchObject([
      { sink: "memory", why: "22P05 unsupported Unicode escape", entry: { seq: 2 } },
    ]);
  });

  test("twice, because the batch failed after it, makes one dead letter", async () => {
    const { clock, spool, sink, drain } = setUp();
    const deliver = sink.deliver.bind(sink);
    sink.deliver = async (delivery) => {
      const outcome = await deliver(delivery);
      if (sink.calls.length === 1) throw new Error("and then the connection broke");
      return outcome;
    };
    sink.refusal = (entry) => (entry.seq === 1 ? "never" : undefined);
    putInto(spool, 2);
    drain.start();
    await clock.pass(1_000);
    expect(spool.deadLetters.totals().count).toBe(1);
    expect(drain.stats()).toMatchObject({ delivered: 1, refused: 1, waiting: 0 });
  });

  test("counts when an earlier try did it and only the answer was lost", async () => {
    const { clock, spool, sink, drain } = setUp();
    sink.deliver = () => Promise.resolve({ delivered: 1, ignored: 0, refused: 1 });
    putInto(spool, 2);
    drain.start();
    await clock.pass(10);
    expect(drain.stats()).toMatchObject({ delivered: 1, refused: 1, waiting: 0, trouble: null });
  });

  test("that cannot be written is an outage: the entry is not passed", async () => {
    const { clock, spool, sink, drain } = setUp();
    sink.refusal = () => "never";
    const putLetter = spool.deadLetters.put.bind(spool.deadLetters);
    spool.deadLetters.put = () => {
      throw new Error("database or disk is full");
    };
    putInto(spool, 1);
    drain.start();
    await clock.pass(10);
    const trouble = "the spool cannot be written (database or disk is full)";
    expect(drain.stats()).toMatchObject({ refused: 0, waiting: 1, trouble });
    spool.deadLetters.put = putLetter;
    await clock.pass(1_000);
    expect(drain.stats()).toMatchObject({ refused: 1, waiting: 0, trouble: null });
  });
});

describe("a spool that cannot be read", () => {
  test("is shown as trouble, retried with pauses, and nothing is passed over", async () => {
    const { clock, spool, sink, drain } = setUp();
    putInto(spool, 2);
    putInto(spool, 2);
    const read = spool.read.bind(spool);
    let tries = 0;
    spool.read = (seq) => {
      if (seq < 3) return read(seq);
      tries++;
      throw new Error("the spool's group 3 to 4 is damaged");
    };
    drain.start();
    await clock.pass(60_000);
    expect(sink.taken.get("")).toEqual([1, 2]);
    expect(drain.stats()).toMatchObject({
      delivered: 2,
      waiting: 2,
      trouble: "the spool's group 3 to 4 is damaged",
    });
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(20);
    spool.read = read;
    await clock.pass(40_000);
    expect(drain.stats()).toMatchObject({ delivered: 4, waiting: 0, trouble: null });
  });

  test("what the spool trimmed is skipped, and counted so once what was read before is settled", async () => {
    const { clock, spool, sink, drain } = setUp();
    putInto(spool, 5);
    const read = spool.read.bind(spool);
    spool.read = (seq) => read(seq === 1 || seq > 8 ? seq : 9);
    putInto(spool, 3);
    putInto(spool, 2);
    drain.start();
    await clock.pass(50);
    expect(sink.taken.get("")).toEqual([1, 2, 3, 4, 5, 9, 10]);
    expect(drain.stats()).toMatchObject({ spooled: 10, delivered: 7, skipped: 3, waiting: 0 });
  });
});

test("a try that began before something was corrected, and fails, puts off none", async () => {
  const { clock, spool, sink, drain } = drainToMemory(kit);
  const deliver = sink.deliver.bind(sink);
  const { promise, reject } = Promise.withResolvers<never>();
  sink.deliver = () => promise;
  putInto(spool, 1);
  drain.start();
  await clock.pass(10);
  sink.deliver = deliver;
  drain.retryNow();
  reject(new Error("the old password"));
  await clock.pass(10);
  expect(drain.stats()).toMatchObject({ delivered: 1, trouble: null });
});
