/** How far a sink is, entry by entry, and from where on something waits for it. */
import { afterEach, expect, test } from "bun:test";
import { drainTo, putInto } from "../kit/drain.ts";
import { byTenant, memorySink } from "../kit/sink.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

test("is told of each lane by itself: of one that fails, of those that go on, and of what is for none", async () => {
  const sink = memorySink({ lane: byTenant, concurrency: 2 });
  const { clock, spool, drain } = drainTo(kit, { sink });
  let well = false;
  sink.conduct = (lane) => (lane === "bad" && !well ? new Error("away") : "take");
  putInto(spool, 1, "good");
  putInto(spool, 1, "bad");
  putInto(spool, 1, null);
  putInto(spool, 1, "good");
  putInto(spool, 1, "bad");
  const entries = [1, 2, 3, 4, 5].flatMap((seq) => spool.read(seq));
  const settled = entries.map((entry) => drain.progress.settles(entry));
  const now = () => settled.map((isSettled) => isSettled?.());
  expect([now(), drain.progress.waitsFrom]).toEqual([[false, false, undefined, false, false], 1]);
  drain.start();
  await clock.pass(100);
  expect([now(), drain.progress.waitsFrom]).toEqual([[true, false, undefined, true, false], 2]);
  well = true;
  await clock.pass(60_000);
  expect([now(), drain.progress.waitsFrom]).toEqual([[true, true, undefined, true, true], 6]);
  await drain.stop(1_000);
});

test("is told of a batch once the sink has all of it", async () => {
  const sink = memorySink({ lane: byTenant });
  const { clock, spool, drain } = drainTo(kit, { sink });
  sink.conduct = () => "hang";
  putInto(spool, 2);
  const settled = spool.read(1).map((entry) => drain.progress.settles(entry));
  drain.start();
  await clock.pass(100);
  putInto(spool, 3, null);
  await clock.pass(100);
  expect(settled.map((isSettled) => isSettled?.())).toEqual([false, false]);
  expect(drain.progress.waitsFrom).toBe(1);
  sink.release();
  await clock.pass(100);
  expect(settled.map((isSettled) => isSettled?.())).toEqual([true, true]);
  expect(drain.progress.waitsFrom).toBe(6);
  await drain.stop(1_000);
});
