/**
 * Entries that an operator sets aside at a sink in trouble: only those become dead letters, once, with his decision
 * and the trouble.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { Aside } from "../../src/drain/aside.ts";
import { setAsideAt } from "../../src/admin/review/set-aside.ts";
import { drainToMemory } from "../kit/drain.ts";
import { localSink } from "../kit/stores.ts";
import { Outage } from "../../src/core/outage.ts";
import type { Sink } from "../../src/core/sink.ts";
import { simulatedClock } from "../kit/clock.ts";
import { byTenant } from "../kit/sink.ts";
import { anEntry, emptyRecord, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function setUp(settings: Partial<Sink> = {}) {
  const { clock, spool, sink, drain } = drainToMemory(kit, settings);
  const put = (...tenants: string[]) =>
    spool.append(
      tenants.map((tenantId) => anEntry({ tenantId })),
      emptyRecord,
    );
  const setAside = setAsideAt([drain], clock);
  const ask = async (asked: { lane?: string; count?: number; dry_run?: boolean } = {}) => {
    const answer = setAside({ sink: "memory", count: 1, dry_run: false, ...asked });
    await clock.pass(10_000);
    return answer;
  };
  const letters = () => spool.deadLetters.list({ limit: 100 });
  return { clock, spool, sink, drain, put, ask, letters };
}

const bad = (seqs: readonly number[]) => (_: string, entries: readonly { seq: number }[]) =>
  entries.some(({ seq }) => seqs.includes(seq)) ? new Error("column 9 is odd") : ("take" as const);

describe("at a sink without a position", () => {
  test("the oldest entry is set aside, with the reason, and the rest is delivered at once", async () => {
    const { clock, sink, drain, put, ask, letters } = setUp();
    sink.conduct = bad([1]);
    put("acme", "acme", "acme");
    drain.start();
    await clock.pass(60_000);
    expect(drain.stats()).toMatchObject({ delivered: 0, waiting: 3 });
    expect(await ask({ dry_run: true })).toMatchObject({ done: false, entries: [{ seq: 1 }] });
    expect(letters()).toEqual([]);
    expect(await ask()).toMatchObject({ lane: "", trouble: "column 9 is odd", done: true });
    expect(letters()).toMatchObject([
      { sink: "memory", why: "set aside by an operator: column 9 is odd", entry: { seq: 1 } },
    ]);
    expect(drain.stats()).toMatchObject({ delivered: 2, refused: 1, waiting: 0, trouble: null });
  });

  test("a lane on its detour is found by name, and others are left alone", async () => {
    const { clock, sink, drain, put, ask, letters } = setUp({ lane: byTenant, concurrency: 2 });
    sink.conduct = (lane) => (lane === "acme" ? "take" : new Error(`${lane} is away`));
    put("acme", "globex", "initech", "acme", "globex", "globex");
    drain.start();
    await clock.pass(60_000);
    expect(await ask({ lane: "globex", count: 2 })).toMatchObject({
      entries: [{ seq: 2 }, { seq: 5 }],
      done: true,
    });
    expect(letters().map(({ entry }) => entry.seq)).toEqual([2, 5]);
    expect(drain.stats()).toMatchObject({ delivered: 2, refused: 2, waiting: 2 });
    expect(await ask({ lane: "acme" })).toBeUndefined();
  });

  test("a lane is found as soon as it has failed, before it was read again for its next try", async () => {
    const { clock, sink, drain, put, ask } = setUp({ lane: byTenant });
    sink.conduct = () => new Error("away");
    put("acme", "acme");
    drain.start();
    await clock.pass(1);
    expect(await ask({ lane: "acme", count: 9, dry_run: true })).toMatchObject({
      entries: [{ seq: 1 }, { seq: 2 }],
    });
  });

  test.each([0, 1, 2, 3])(
    "nor is a server waited for that has been away for long (%d s after a try)",
    async (seconds) => {
      const { clock, sink, drain, put, ask, letters } = setUp();
      sink.conduct = () => new Outage("nothing listens there", { scope: "sink" });
      put("acme");
      drain.start();
      await clock.pass(600_000 + seconds * 1_000);
      expect(await ask()).toMatchObject({ done: true });
      expect(letters()).toHaveLength(1);
    },
  );

  test.each(["t0", "t1", "t2", "t3", "t4"])(
    "nor are the other lanes of such a server, whose failures set its pause anew: %s of five",
    async (lane) => {
      const { clock, sink, drain, put, ask, letters } = setUp({ lane: byTenant, concurrency: 4 });
      sink.conduct = () => new Outage("nothing listens there", { scope: "sink" });
      put("t0", "t1", "t2", "t3", "t4");
      drain.start();
      await clock.pass(600_000);
      expect(await ask({ lane })).toMatchObject({ lane, done: true });
      expect(letters().map(({ entry }) => entry.tenantId)).toEqual([lane]);
    },
  );

  test("all of a batch may be set aside", async () => {
    const { clock, sink, drain, put, ask } = setUp();
    sink.conduct = () => new Error("away");
    put("acme", "acme");
    drain.start();
    await clock.pass(1_000);
    expect(await ask({ count: 5_000 })).toMatchObject({ done: true });
    expect(drain.stats()).toMatchObject({ refused: 2, waiting: 0, trouble: null, alarms: [] });
  });
});

test("a sink that is not in trouble, or does not exist, has nothing to set aside", async () => {
  const { clock, drain, put, ask } = setUp();
  put("acme");
  drain.start();
  await clock.pass(1_000);
  expect(await ask()).toBeUndefined();
  const none = setAsideAt([drain], clock);
  expect(await none({ sink: "kafka", count: 1, dry_run: false })).toBeUndefined();
});

test("entries that come meanwhile are not mistaken for those that were named", async () => {
  const { clock, sink, drain, put, ask, letters } = setUp({ batchMax: 1 });
  let isAway = true;
  sink.conduct = () => (isAway ? "hang" : "take");
  put("acme", "acme");
  drain.start();
  await clock.pass(11_000);
  // The oldest entry is under way again, and is delivered while the operator decides.
  isAway = false;
  sink.release();
  await clock.pass(1);
  put("acme", "acme");
  await ask();
  expect(letters()).toEqual([]);
  expect(drain.stats()).toMatchObject({ delivered: 4, refused: 0, waiting: 0 });
});

test("the local store counts what is set aside as refused, in its position too", async () => {
  const clock = simulatedClock();
  const spool = kit.spool({ clock });
  const sink = localSink({ path: `${kit.dir()}/local.db`, clock });
  spool.append([anEntry(), anEntry(), anEntry()], emptyRecord);
  const refused: number[] = [];
  const outcome = await sink.deliver({
    entries: spool.read(1),
    epoch: "e",
    before: { delivered: 0, ignored: 0, refused: 0, skipped: 0 },
    aside: new Map([[2, "set aside"]]),
    later: () => [],
    signal: new AbortController().signal,
    refuse: (refusals) => refused.push(...refusals.map(({ entry }) => entry.seq)),
  });
  expect(outcome).toEqual({ delivered: 2, ignored: 0, refused: 1 });
  expect(refused).toEqual([2]);
  expect(await sink.positions?.(["e"])).toMatchObject([{ seq: 3, totals: { delivered: 2, refused: 1 } }]);
  await sink.close();
});

test("whoever set entries aside is told when the last of them is settled, also by a position that says so, and waits for no other", async () => {
  const aside = new Aside();
  const told: string[] = [];
  const [first, second, third] = [anEntry({ seq: 1 }), anEntry({ seq: 2 }), anEntry({ seq: 3 })];
  void aside.put([first, second], "why").then(() => told.push("one"));
  void aside.put([third], "why").then(() => told.push("another"));
  const after = async (settle: () => void) => {
    settle();
    await Promise.resolve();
    return told.join();
  };
  expect(await after(() => aside.settled([first]))).toBe("");
  expect(await after(() => aside.settledTo(2))).toBe("one");
  expect([...aside.whys.keys()]).toEqual([3]);
  expect(await after(() => aside.settledTo(3))).toBe("one,another");
});
