/**
 * The system behind a sink with many lanes is away for all of them: one lane tries for all, and all go on when it
 * succeeds.
 */
import { afterEach, expect, test } from "bun:test";
import { Outage } from "../../src/core/outage.ts";
import { drainToMemory, putInto } from "../kit/drain.ts";
import { byTenant } from "../kit/sink.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const gone = (retryAfterMs = 0) => new Outage("connection refused", { scope: "sink", retryAfterMs });
const tenants = Array.from({ length: 20 }, (_, n) => `t${n}`);

function setUp() {
  const it = drainToMemory(kit, { lane: byTenant, concurrency: 4 });
  const putEach = (names: readonly string[], n = 5) => {
    for (const tenantId of names) putInto(it.spool, n, tenantId);
  };
  return { ...it, put: putEach };
}

test("twenty lanes try no more often than one would, and all go on at once when one succeeds", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = () => gone();
  put(tenants);
  drain.start();
  await clock.pass(120_000);
  // Four at once before it is known, then pauses of 1, 2, 4 … 30 s.
  expect(sink.calls.length).toBeLessThan(15);
  expect(drain.stats()).toMatchObject({ delivered: 0, waiting: 100, trouble: "connection refused" });
  sink.conduct = () => "take";
  await clock.pass(31_000);
  expect(drain.stats()).toMatchObject({ delivered: 100, waiting: 0, trouble: null });
});

test("while one lane tries, no other does", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = () => gone();
  put(tenants);
  drain.start();
  await clock.pass(10_000);
  sink.conduct = () => "hang";
  const before = sink.calls.length;
  await clock.pass(9_000);
  expect(sink.calls.length - before).toBe(1);
  sink.release();
  sink.conduct = () => "take";
  await clock.pass(100);
  expect(drain.stats().waiting).toBe(0);
});

test("the pause that the downstream system requested is a minimum", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = () => gone(60_000);
  put(tenants);
  drain.start();
  await clock.pass(59_000);
  expect(sink.calls.length).toBe(4);
});

test("a lane that fails as if all were away does not stop the others", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = (lane) => (lane === "t0" ? gone() : "take");
  put(["t0"]);
  drain.start();
  await clock.pass(20_000);
  put(tenants.slice(1));
  await clock.pass(31_000);
  expect(drain.stats()).toMatchObject({ delivered: 95, waiting: 5 });
});

test("a lane's own trouble counts as an answer: the others do not wait for it", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = (lane) => (lane === "t0" ? new Outage("its database is full", { alarm: true }) : gone());
  put(tenants.slice(0, 2));
  drain.start();
  await clock.pass(60_000);
  const asked = (lane: string) => sink.calls.filter((call) => call.lane === lane).length;
  // Each lane uses its own back-off, because the system is there.
  expect(asked("t1")).toBeGreaterThan(5);
  put(["t2"]);
  sink.conduct = (lane) => (lane === "t2" ? "take" : gone());
  await clock.pass(31_000);
  expect(sink.taken.get("t2")).toHaveLength(5);
});

test("once an operator corrected something it is tried at once, whatever pause there is, and a try that began before is no measure", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = () => gone(600_000);
  put(tenants);
  drain.start();
  await clock.pass(1_000);
  expect(sink.calls.length).toBe(4);
  drain.retryNow();
  await clock.pass(100);
  expect(sink.calls.length).toBe(5);
  // This one is on its way with the old password.
  const { deliver } = sink;
  sink.deliver = () => new Promise((_, reject) => void clock.after(1_000, () => reject(gone(600_000))));
  drain.retryNow();
  await clock.pass(10);
  sink.deliver = deliver;
  sink.conduct = () => "take";
  drain.retryNow();
  await clock.pass(2_000);
  expect(drain.stats()).toMatchObject({ delivered: 100, waiting: 0, trouble: null });
});

test("nor do those that an operator corrected keep a lane from being asked that did not fail", async () => {
  const { clock, sink, drain, put } = setUp();
  sink.conduct = (lane) => (lane === "t0" ? "take" : gone());
  put(tenants.slice(1));
  drain.start();
  await clock.pass(600_000);
  drain.retryNow();
  await clock.pass(100);
  put(["t0"]);
  await clock.pass(31_000);
  expect(sink.taken.get("t0")).toHaveLength(5);
});
