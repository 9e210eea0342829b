/** Trouble that a person must end is an alarm, wherever it occurs, and the end of every trouble is logged. */
import { afterEach, describe, expect, test } from "bun:test";
import pino from "pino";
import { Outage } from "../../src/core/outage.ts";
import type { Sink } from "../../src/core/sink.ts";
import { drainTo, putInto } from "../kit/drain.ts";
import { memorySink } from "../kit/sink.ts";
import { recordingLog } from "../kit/source.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function setUp(settings: Partial<Sink> = {}) {
  const { log, lines } = recordingLog();
  const it = drainTo(kit, { sink: memorySink(settings), log });
  const said = () => lines.map(({ level, msg }) => [pino.levels.labels[Number(level)], msg]);
  putInto(it.spool, 5);
  return { ...it, said };
}

describe("an alarm", () => {
  test("is raised before the position is known, and its end is logged", async () => {
    let error: Error | undefined = new Outage("no right to read the position: grant it", { alarm: true });
    const positions = () => (error ? Promise.reject(error) : Promise.resolve([]));
    const { clock, drain, said } = setUp({ positions });
    drain.start();
    await clock.pass(20_000);
    expect(drain.stats().alarms).toEqual([
      { lane: "", why: "no right to read the position: grant it", scope: "lane" },
    ]);
    error = undefined;
    await clock.pass(5_100);
    expect(drain.stats()).toMatchObject({ delivered: 5, trouble: null, alarms: [] });
    expect(said()).toEqual([
      ["error", "sink cannot go on until somebody acts; what is for it waits"],
      ["info", "sink goes on"],
    ]);
  });

  test("is logged when trouble in the same words becomes an alarm, and only once", async () => {
    const { clock, sink, drain, said } = setUp();
    let tries = 0;
    let isOver = false;
    sink.conduct = () => (isOver ? "take" : new Outage("nothing passes", { alarm: ++tries > 3 }));
    drain.start();
    await clock.pass(60_000);
    expect(drain.stats().alarms).toEqual([{ lane: "", why: "nothing passes", scope: "lane" }]);
    isOver = true;
    await clock.pass(30_000);
    expect(drain.stats()).toMatchObject({ trouble: null, alarms: [] });
    expect(said()).toEqual([
      ["warn", "sink cannot deliver; waiting"],
      ["error", "sink cannot deliver until somebody acts; what is for it waits"],
      ["info", "sink delivers again"],
    ]);
  });
});

test("trouble whose words take turns is logged once in each of them, and anew after its end", async () => {
  const { clock, sink, drain, said } = setUp();
  let tries = 0;
  let isOver = false;
  sink.conduct = () => (isOver ? "take" : new Outage(tries++ % 2 === 0 ? "closed" : "reset"));
  drain.start();
  await clock.pass(120_000);
  expect(tries).toBeGreaterThan(6);
  isOver = true;
  await clock.pass(30_000);
  expect(said()).toEqual([
    ["warn", "sink cannot deliver; waiting"],
    ["warn", "sink cannot deliver; waiting"],
    ["info", "sink delivers again"],
  ]);
});

test("trouble at the start that ends by itself is logged at its end too", async () => {
  let isAway = true;
  const positions = () => (isAway ? Promise.reject(new Error("away")) : Promise.resolve([]));
  const { clock, drain, said } = setUp({ positions });
  drain.start();
  await clock.pass(3_000);
  isAway = false;
  await clock.pass(5_100);
  expect(said()).toEqual([
    ["warn", "sink cannot go on; waiting"],
    ["info", "sink goes on"],
  ]);
});

test("an outage with a maximum pause is retried at that pace, however long it lasts", async () => {
  const { clock, sink, drain } = setUp();
  sink.conduct = () => new Outage("may end with the next entry", { retryMaxMs: 2_000 });
  drain.start();
  await clock.pass(60_000);
  const before = sink.calls.length;
  await clock.pass(20_000);
  expect(sink.calls.length - before).toBe(10);
});
