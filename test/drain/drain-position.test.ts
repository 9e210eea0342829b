/**
 * Sinks that keep their own position: the downstream position counts, whatever happened to the spool or to its
 * tables.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Position, Sink } from "../../src/core/sink.ts";
import { Drain } from "../../src/drain/drain.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { drainTo, putInto } from "../kit/drain.ts";
import { memorySink } from "../kit/sink.ts";
import { recordingLog } from "../kit/source.ts";
import { entries, emptyRecord, settledTo, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

/** A downstream system that stores rows and position together, and outlives gateways. */
function farSide() {
  const positions = new Map<string, Position>();
  const rows: string[] = [];
  let fault: "lost answer" | "away" | undefined;

  function sink(settings: Partial<Sink> = {}) {
    const memory = memorySink(settings);
    const deliver = memory.deliver.bind(memory);
    memory.positions = (epochs) => {
      if (fault === "away") return Promise.reject(new Error("database is away"));
      return Promise.resolve([...positions.values()].filter((p) => epochs.includes(p.epoch)));
    };
    memory.deliver = async (delivery) => {
      const { epoch, before, entries: batch } = delivery;
      const held = positions.get(epoch);
      if (held?.isAnothers === true) throw new Error("this position is another's");
      const fresh = batch.filter((e) => e.seq > (held?.seq ?? 0));
      await deliver(delivery);
      rows.push(...fresh.map((e) => e.payload));
      const from = held?.totals ?? before;
      const totals = { ...from, delivered: from.delivered + fresh.length, skipped: before.skipped };
      positions.set(epoch, { epoch, seq: batch.at(-1)?.seq ?? 0, totals });
      if (fault === "lost answer") throw new Error("connection lost in COMMIT");
      return { delivered: totals.delivered - before.delivered, ignored: 0, refused: 0 };
    };
    return memory;
  }

  return {
    positions,
    rows,
    sink,
    set fault(now: typeof fault) {
      fault = now;
    },
  };
}

function setUp(far: ReturnType<typeof farSide>, dataDir = kit.dir(), settings: Partial<Sink> = {}) {
  const { log, lines } = recordingLog();
  const it = drainTo(kit, { sink: far.sink(settings), dataDir, log });
  it.spool.keepFor([it.sink.name]);
  return { ...it, lines };
}
type Running = ReturnType<typeof setUp>;

/** One that has delivered so many. */
async function havingDelivered(far: ReturnType<typeof farSide>, count: number): Promise<Running> {
  const it = setUp(far);
  putInto(it.spool, count);
  it.drain.start();
  await it.clock.pass(10);
  return it;
}

async function stop({ clock, spool, drain }: Running): Promise<void> {
  const stopped = drain.stop(1_000);
  await clock.pass(2_000);
  await stopped;
  kit.close(spool);
}

const payloads = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `{"n":${from + i}}`);

describe("exactly once", () => {
  test("when the answer to a commit is lost", async () => {
    const far = farSide();
    const { clock, spool, drain } = setUp(far);
    far.fault = "lost answer";
    putInto(spool, 5);
    drain.start();
    await clock.pass(100);
    putInto(spool, 3);
    far.fault = undefined;
    await clock.pass(2_000);
    expect(far.rows).toEqual(payloads(1, 8));
    expect(drain.stats()).toMatchObject({ delivered: 8, waiting: 0 });
  });

  test("when the gateway dies between the downstream commit and its own note of it", async () => {
    const far = farSide();
    const first = setUp(far);
    putInto(first.spool, 5);
    const crashed = kit.dir();
    cpSync(first.dataDir, crashed, { recursive: true });
    first.drain.start();
    await first.clock.pass(10);
    expect(far.rows).toHaveLength(5);
    const { clock, spool, drain } = setUp(far, crashed);
    drain.start();
    putInto(spool, 2);
    await clock.pass(10);
    expect(far.rows).toEqual(payloads(1, 7));
    expect(drain.stats()).toMatchObject({ spooled: 7, delivered: 7, waiting: 0 });
  });

  test("when the spool was restored from a copy and numbers entries anew", async () => {
    const far = farSide();
    const first = await havingDelivered(far, 5);
    const copy = kit.dir();
    putInto(first.spool, 1);
    cpSync(first.dataDir, copy, { recursive: true });
    putInto(first.spool, 4);
    await first.clock.pass(10);
    expect(far.rows).toHaveLength(10);
    // The copy has 6 of the 10; what it takes now also gets the numbers 7 and 8, for other messages.
    const { clock, spool, drain } = setUp(far, copy);
    spool.append(entries(2, 101), emptyRecord);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual([...payloads(1, 10), ...payloads(101, 102)]);
    const { spooled, delivered, waiting, skipped } = drain.stats();
    expect([spooled - delivered, waiting, skipped]).toEqual([0, 0, 0]);
  });

  test("when a new disk starts a new spool", async () => {
    const far = farSide();
    await havingDelivered(far, 5);
    const { clock, spool, drain } = setUp(far);
    spool.append(entries(3, 101), emptyRecord);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual([...payloads(1, 5), ...payloads(101, 103)]);
    expect(drain.stats()).toMatchObject({ spooled: 3, delivered: 3, waiting: 0 });
  });

  test("across many restarts, some of which write nothing", async () => {
    const far = farSide();
    const dataDir = kit.dir();
    let n = 0;
    for (const size of [3, 0, 0, 4, 1, 0, 2]) {
      const running = setUp(far, dataDir);
      running.drain.start();
      if (size > 0) putInto(running.spool, size);
      n += size;
      await running.clock.pass(10);
      await stop(running);
    }
    expect(far.rows).toEqual(payloads(1, n));
    expect([...far.positions.values()].at(-1)?.totals.delivered).toBe(n);
  });
});

describe("a downstream system that was restored to an older state", () => {
  test("gets again what the spool still has; what it has no more is counted as skipped", async () => {
    const far = farSide();
    const first = setUp(far);
    first.drain.start();
    for (let i = 0; i < 90; i++) {
      putInto(first.spool, 1);
      await first.clock.pass(1_000);
    }
    await stop(first);
    // The tables are restored to a time when they had 15.
    const [epoch = ""] = far.positions.keys();
    far.rows.length = 15;
    far.positions.set(epoch, {
      epoch,
      seq: 15,
      totals: { delivered: 15, ignored: 0, refused: 0, skipped: 0 },
    });
    const { clock, spool, drain, lines } = setUp(far, first.dataDir);
    const held = spool.first;
    expect(held).toBeGreaterThan(16);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual([...payloads(1, 15), ...payloads(held, 90)]);
    expect(drain.stats()).toMatchObject({
      spooled: 90,
      delivered: 15 + 90 - held + 1,
      skipped: held - 16,
      waiting: 0,
    });
    expect(lines).toContainEqual(expect.objectContaining({ level: 40, from: 16, confirmed: 90 }));
  });

  test("that knows none of the spool's starts gets everything the spool has", async () => {
    const far = farSide();
    const first = await havingDelivered(far, 10);
    await stop(first);
    far.positions.clear();
    far.rows.length = 0;
    const { clock, drain } = setUp(far, first.dataDir);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual(payloads(1, 10));
    const { spooled, delivered, waiting } = drain.stats();
    expect([spooled - delivered, waiting]).toEqual([0, 0]);
  });
});

describe("another gateway that goes on under our start, from a copy of our memory", () => {
  /** It has settled entries of its own up to `seq`. */
  const anotherAt = (far: ReturnType<typeof farSide>, epoch: string, seq: number) => {
    const totals = { delivered: seq, ignored: 0, refused: 0, skipped: 0 };
    far.positions.set(epoch, { epoch, seq, totals, isAnothers: true });
  };
  const newest = (spool: Spool) => spool.epochs.at(-1)?.epoch ?? "";

  test("leaves what comes from then on to a new start, which counts on, also after a restart", async () => {
    const far = farSide();
    const first = await havingDelivered(far, 5);
    const [begun] = first.spool.epochs;
    anotherAt(far, newest(first.spool), 7);
    putInto(first.spool, 3);
    await first.clock.pass(2_000);
    expect(far.rows).toEqual(payloads(1, 8));
    expect(first.spool.epochs.map((it) => it.first)).toEqual([1, 6]);
    expect(far.positions.get(newest(first.spool))).toMatchObject({ seq: 8, totals: { delivered: 8 } });
    expect(first.drain.stats()).toMatchObject({ spooled: 8, delivered: 8, waiting: 0, trouble: null });
    anotherAt(far, begun?.epoch ?? "", 900);
    putInto(first.spool, 1);
    await stop(first);
    const { clock, spool, drain } = setUp(far, first.dataDir);
    putInto(spool, 2);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual(payloads(1, 11));
    expect(drain.stats()).toMatchObject({ spooled: 11, delivered: 11, waiting: 0 });
  });

  test("has what an earlier start wrote", async () => {
    const far = farSide();
    const first = setUp(far);
    putInto(first.spool, 3);
    const [earlier] = first.spool.epochs;
    kit.close(first.spool);
    const { clock, spool, drain } = setUp(far, first.dataDir);
    anotherAt(far, earlier?.epoch ?? "", 3);
    anotherAt(far, newest(spool), 9);
    putInto(spool, 2);
    drain.start();
    await clock.pass(10);
    expect(far.rows).toEqual(payloads(4, 5));
    expect(drain.stats()).toMatchObject({ waiting: 0, trouble: null });
  });

  test("parts from each of two sinks where that one is: the one that is further ahead is sent nothing anew", async () => {
    const [behind, ahead] = [farSide(), farSide()];
    const slow = setUp(behind);
    const { spool, clock } = slow;
    const fast = new Drain({ spool, clock, sink: ahead.sink({ name: "fast" }), log: recordingLog().log });
    const lostConnection = () => Promise.reject(new Error("connection lost"));
    putInto(spool, 5);
    slow.drain.start();
    await clock.pass(10);
    slow.sink.deliver = lostConnection;
    putInto(spool, 3);
    fast.start();
    await clock.pass(10);
    for (const far of [behind, ahead]) anotherAt(far, newest(spool), 20);
    // The slow one parts first.
    await clock.pass(5_000);
    expect(spool.epochs.map((it) => it.first)).toEqual([1, 6]);
    const { deliver } = fast.sink;
    fast.sink.deliver = lostConnection;
    putInto(spool, 1);
    await clock.pass(10);
    fast.sink.deliver = deliver;
    await clock.pass(5_000);
    expect(ahead.rows).toEqual(payloads(1, 9));
    expect(fast.stats()).toMatchObject({ delivered: 9, waiting: 0, trouble: null });
  });

  test("may have taken what was refused in a transaction that never ended: its dead letter is taken back", async () => {
    const far = farSide();
    const it = setUp(far);
    putInto(it.spool, 5);
    const { deliver } = it.sink;
    it.sink.deliver = (delivery) => {
      const [, second] = delivery.entries;
      if (second) delivery.refuse([{ entry: second, why: "no" }]);
      anotherAt(far, delivery.epoch, 9);
      return Promise.reject(new Error("connection lost before COMMIT"));
    };
    it.drain.start();
    await it.clock.pass(100);
    it.sink.deliver = deliver;
    await it.clock.pass(5_000);
    expect(far.rows).toEqual(payloads(1, 5));
    expect(it.spool.deadLetters.list({ limit: 9 })).toEqual([]);
  });

  test("leaves the spool ours: it takes entries, until yet another opens it", () => {
    const dataDir = kit.dir();
    const { spool } = setUp(farSide(), dataDir);
    putInto(spool, 3);
    spool.beginEpoch(2);
    putInto(spool, 3);
    expect(spool.epochs.map((it) => it.first)).toEqual([1, 2]);
    rmSync(join(dataDir, "spool.lock"));
    expect(kit.spool({ dataDir }).epochs.map((it) => it.first)).toEqual([1, 2, 7]);
    expect(() => putInto(spool, 1)).toThrow("another gateway has opened the spool");
  });
});

test("a batch never spans two starts of the spool, and says which one it is of", async () => {
  const far = farSide();
  const dataDir = kit.dir();
  const epochs: string[] = [];
  for (const size of [3, 4]) {
    const { spool } = setUp(far, dataDir);
    putInto(spool, size);
    epochs.push(spool.epochs.at(-1)?.epoch ?? "");
    kit.close(spool);
  }
  const { clock, spool, sink, drain } = setUp(far, dataDir);
  putInto(spool, 2);
  epochs.push(spool.epochs.at(-1)?.epoch ?? "");
  drain.start();
  await clock.pass(10);
  expect(sink.calls.map((call) => [call.delivery.epoch, call.seqs])).toEqual([
    [epochs[0] ?? "", [1, 2, 3]],
    [epochs[1] ?? "", [4, 5, 6, 7]],
    [epochs[2] ?? "", [8, 9]],
  ]);
  expect(sink.calls.map((call) => call.delivery.before.delivered)).toEqual([0, 3, 7]);
});

describe("the position", () => {
  test("is queried until the downstream system answers; until then nothing is delivered", async () => {
    const far = farSide();
    far.fault = "away";
    const { clock, spool, sink, drain } = setUp(far);
    putInto(spool, 2);
    drain.start();
    await clock.pass(10_000);
    expect(drain.stats()).toMatchObject({ waiting: 2, trouble: "database is away" });
    expect(sink.calls).toEqual([]);
    far.fault = undefined;
    await clock.pass(30_000);
    expect(drain.stats()).toMatchObject({ delivered: 2, waiting: 0, trouble: null });
  });

  test("is queried at once when an operator corrected something, also if a question from before is still open", async () => {
    const far = farSide();
    far.fault = "away";
    const { clock, spool, sink, drain } = setUp(far);
    const { positions } = sink;
    putInto(spool, 2);
    drain.start();
    await clock.pass(20_000);
    let asked = 0;
    sink.positions = () => {
      asked++;
      return new Promise((_, reject) => void clock.after(1_000, () => reject(new Error("of the old host"))));
    };
    drain.retryNow();
    await clock.pass(10);
    expect(asked).toBe(1);
    far.fault = undefined;
    sink.positions = positions!;
    drain.retryNow();
    await clock.pass(1_010);
    expect(drain.stats()).toMatchObject({ delivered: 2, waiting: 0, trouble: null });
  });

  test("that is never answered is an outage by the deadline, and does not hold up a stop", async () => {
    const far = farSide();
    const { clock, spool, sink, drain } = setUp(far, kit.dir(), { deadlineMs: 60_000 });
    sink.positions = () => new Promise(() => {});
    putInto(spool, 1);
    drain.start();
    await clock.pass(61_000);
    expect(drain.stats().trouble).toBe("memory position: no answer within 60000 ms");
    await clock.pass(5_000);
    const stopped = drain.stop(2_000);
    await clock.pass(2_100);
    await stopped;
    expect(sink.closed).toBe(true);
  });

  test("is not waited for at a stop while the downstream system is away", async () => {
    const far = farSide();
    far.fault = "away";
    const { clock, drain } = setUp(far);
    drain.start();
    await clock.pass(100);
    const stopped = drain.stop(60_000);
    await clock.pass(1_000);
    await stopped;
    expect(drain.stats().trouble).toBe("database is away");
  });
});

test("a sink whose entries were trimmed while it was away finds the gap at its next start", async () => {
  const far = farSide();
  const first = setUp(far);
  first.spool.keepFor(["other"], ["memory"]);
  first.spool.setCursor("other", settledTo(0));
  for (let i = 0; i < 5; i++) putInto(first.spool, 10);
  kit.close(first.spool);
  const { clock, spool, drain } = setUp(far, first.dataDir);
  const read = spool.read.bind(spool);
  spool.read = (seq) => read(Math.max(seq, 31));
  drain.start();
  await clock.pass(10);
  expect(far.rows).toEqual(payloads(31, 50));
  expect(drain.stats()).toMatchObject({ spooled: 50, delivered: 20, skipped: 30, waiting: 0 });
});

describe("an entry that was refused in a transaction that never ended", () => {
  const letters = (spool: Spool) => spool.deadLetters.list({ limit: 100 }).map(({ entry }) => entry.seq);

  /** Refuses entry 2, and loses the connection before that is settled, or gets no answer any more. */
  function refusing(far: ReturnType<typeof farSide>, then: "lost" | "silent") {
    const it = setUp(far);
    it.sink.deliver = (delivery) => {
      const [, second] = delivery.entries;
      if (second) delivery.refuse([{ entry: second, why: "no" }]);
      return then === "lost"
        ? Promise.reject(new Error("connection lost before COMMIT"))
        : new Promise(() => {});
    };
    return it;
  }

  test("leaves no dead letter if it is taken the next time", async () => {
    const far = farSide();
    const it = refusing(far, "lost");
    const takes = far.sink().deliver;
    putInto(it.spool, 3);
    it.drain.start();
    await it.clock.pass(100);
    it.sink.deliver = takes;
    await it.clock.pass(5_000);
    expect(it.drain.stats()).toMatchObject({ delivered: 3, refused: 0, waiting: 0 });
    expect(letters(it.spool)).toEqual([]);
  });

  test("nor after a crash; those of another sink stay", async () => {
    const far = farSide();
    const it = refusing(far, "silent");
    putInto(it.spool, 3);
    it.drain.start();
    await it.clock.pass(1);
    expect(letters(it.spool)).toEqual([2]);
    const copy = kit.dir();
    cpSync(it.dataDir, copy, { recursive: true });
    const again = setUp(far, copy);
    const [first] = again.spool.epochs;
    again.spool.deadLetters.put("other", first?.epoch ?? "", entries(1, 3)[0] as never, "another sink's");
    again.drain.start();
    await again.clock.pass(1_000);
    expect(again.drain.stats()).toMatchObject({ delivered: 3, refused: 0 });
    expect(again.spool.deadLetters.list({ limit: 9 }).map(({ sink }) => sink)).toEqual(["other"]);
  });
});

test("what is set aside is settled as soon as the position is behind it, also if the answer to that was lost", async () => {
  const far = farSide();
  const { clock, spool, sink, drain } = setUp(far);
  sink.conduct = () => new Error("column 9 is odd");
  putInto(spool, 3);
  drain.start();
  await clock.pass(10_000);
  let isDone = false;
  const stuck = drain.inTrouble(1);
  if (stuck !== undefined) void drain.setAside(stuck).then(() => (isDone = true));
  sink.conduct = () => "take";
  far.fault = "lost answer";
  await clock.pass(60_000);
  expect([stuck?.entries.length, isDone, drain.stats().waiting]).toEqual([1, true, 0]);
});

test("a spool that cannot be read is read again after a while, and not whenever something comes", async () => {
  const { clock, spool, drain } = setUp(farSide());
  let reads = 0;
  spool.read = () => {
    reads++;
    throw new Error("the spool's group 1 to 3 is damaged");
  };
  drain.start();
  for (let i = 0; i < 100; i++) {
    putInto(spool, 1);
    await clock.pass(10);
  }
  expect(drain.stats().trouble).toContain("damaged");
  expect(reads).toBeLessThan(10);
});
