/** A sink with a position that fails: how often it is queried, and what is shown once all is well again. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Position } from "../../src/core/sink.ts";
import { drainToMemory, putInto } from "../kit/drain.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function setUp() {
  const it = drainToMemory(kit);
  return { ...it, put: (n: number) => putInto(it.spool, n) };
}

describe("while the downstream system is away", () => {
  test("new entries do not make the sink query its position any sooner", async () => {
    const { clock, sink, drain, put } = setUp();
    let asked = 0;
    sink.positions = () => {
      asked++;
      return Promise.reject(new Error("away"));
    };
    drain.start();
    for (let i = 0; i < 1_000; i++) {
      put(1);
      await clock.pass(5);
    }
    // 0.25, 0.5, 1, 2 s … apart.
    expect(asked).toBeGreaterThan(2);
    expect(asked).toBeLessThan(10);
  });

  test("however long that lasts, it is queried every few seconds", async () => {
    const { clock, sink, drain, put } = setUp();
    let isAway = true;
    sink.positions = () => (isAway ? Promise.reject(new Error("away")) : Promise.resolve([]));
    put(1);
    drain.start();
    await clock.pass(600_000);
    isAway = false;
    await clock.pass(5_100);
    expect(drain.stats()).toMatchObject({ delivered: 1, trouble: null });
  });

  test("a stop does not wait for the next query", async () => {
    const { clock, sink, drain, put } = setUp();
    sink.positions = () => Promise.reject(new Error("away"));
    put(1);
    drain.start();
    await clock.pass(60_000);
    let stopped = false;
    void drain.stop(600_000).then(() => (stopped = true));
    await clock.pass(10);
    expect(stopped).toBe(true);
  });
});

describe("if only the answer was lost", () => {
  test("the trouble ends once the downstream system says that it has everything", async () => {
    const { clock, spool, sink, drain, put } = setUp();
    const held: Position[] = [];
    sink.positions = () => Promise.resolve(held);
    sink.deliver = ({ entries: batch, epoch, before }) => {
      const seq = batch.at(-1)?.seq ?? 0;
      held[0] = { epoch, seq, totals: { ...before, delivered: before.delivered + batch.length } };
      return Promise.reject(new Error("connection lost in COMMIT"));
    };
    put(5);
    drain.start();
    await clock.pass(10_000);
    expect(spool.head).toBe(5);
    expect(drain.stats()).toMatchObject({ delivered: 5, waiting: 0, trouble: null });
  });
});
