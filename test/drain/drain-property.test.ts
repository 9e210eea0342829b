/** Lanes that take, fail and hang at random, across restarts and crashes: nothing is lost, everything is counted. */
import { afterEach, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import fc from "fast-check";
import type { Drain } from "../../src/drain/drain.ts";
import { drainTo, putInto } from "../kit/drain.ts";
import { byTenant, memorySink, type MemorySink } from "../kit/sink.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

function setUp(dataDir: string, sink: MemorySink) {
  const it = drainTo(kit, { dataDir, sink, entriesMax: 50 });
  it.spool.keepFor([sink.name]);
  return it;
}

const imbalance = (drain: Drain) => {
  const { spooled, delivered, ignored, refused, skipped, waiting } = drain.stats();
  return spooled - delivered - ignored - refused - skipped - waiting;
};

const lanes = ["a", "b", "c"] as const;
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ put: fc.constantFrom(...lanes, null), n: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      lane: fc.constantFrom(...lanes),
      conduct: fc.constantFrom("take", "take", "fail", "hang", "hang for ever"),
    }),
  },
  { weight: 6, arbitrary: fc.record({ passMs: fc.constantFrom(1, 5, 100, 1_000, 20_000) }) },
  { weight: 2, arbitrary: fc.constant({ release: true } as const) },
  { weight: 1, arbitrary: fc.record({ restart: fc.constantFrom("stop", "crash") }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("whatever happens to the lanes, every entry has one fate, sums are right, and each lane sees its entries in order", async () => {
  const seen = { detours: 0, restarts: 0, again: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const conduct = new Map<string, string>();
      const received = new Map<string, number[]>();
      let dataDir = kit.dir();
      const newSink = () => {
        const sink = memorySink({
          lane: byTenant,
          concurrency: 2,
          batchMax: 10,
          deadlineMs: 5_000,
          taken: received,
        } as object);
        sink.refusal = (entry) => (entry.seq % 17 === 0 ? "never" : undefined);
        sink.ignores = (entry) => entry.seq % 13 === 0;
        sink.conduct = (lane) => {
          const now = conduct.get(lane) ?? "take";
          if (now === "fail") return new Error(`${lane} is away`);
          return now === "hang" || now === "hang for ever" ? now : "take";
        };
        return sink;
      };
      let now = setUp(dataDir, newSink());
      now.drain.start();
      const meant: string[] = [""];

      const restart = async (how: string) => {
        seen.restarts++;
        if (how === "crash") {
          const copy = kit.dir();
          cpSync(dataDir, copy, { recursive: true });
          dataDir = copy;
        }
        const stopped = now.drain.stop(500);
        await now.clock.pass(1_000);
        await stopped;
        kit.close(now.spool);
        const exact = how === "stop" ? now.drain.stats() : undefined;
        now = setUp(dataDir, newSink());
        if (exact) {
          const { spooled, waiting } = now.drain.stats();
          expect({ spooled, total: spooled - waiting }).toMatchObject({ spooled: exact.spooled });
        }
        now.drain.start();
      };
      const run = async (s: Step) => {
        if ("put" in s) {
          putInto(now.spool, s.n, s.put);
          for (let i = 0; i < s.n; i++) meant.push(s.put ?? "");
        }
        if ("lane" in s) conduct.set(s.lane, s.conduct);
        if ("passMs" in s) await now.clock.pass(s.passMs);
        if ("release" in s) now.sink.release();
        if ("restart" in s) await restart(s.restart);
        expect(imbalance(now.drain)).toBe(0);
        if (now.spool.cursorOf("memory").detours.size > 0) seen.detours++;
      };
      for (const s of steps) await run(s);
      conduct.clear();
      now.sink.release();
      await now.clock.pass(120_000);
      await restart("stop");
      await now.clock.pass(1_000);

      const expected = { delivered: 0, ignored: 0, refused: 0, skipped: 0, waiting: 0, trouble: null };
      for (let seq = 1; seq < meant.length; seq++) {
        const tenant = meant[seq] ?? "";
        if (tenant === "" || seq % 13 === 0) expected.ignored++;
        else if (seq % 17 === 0) expected.refused++;
        else expected.delivered++;
      }
      expect(now.drain.stats()).toMatchObject({ spooled: meant.length - 1, ...expected });
      for (const lane of lanes) {
        const got = received.get(lane) ?? [];
        const once = [...new Set(got)];
        seen.again += got.length - once.length;
        expect(once).toEqual(once.toSorted((a, b) => a - b));
        const all = meant.flatMap((t, seq) => (t === lane && seq % 13 !== 0 && seq % 17 !== 0 ? [seq] : []));
        expect(once).toEqual(all);
      }
      kit.clear();
    }),
    { numRuns: 60 },
  );
  // The run was not trivial.
  expect(seen.detours).toBeGreaterThan(50);
  expect(seen.restarts).toBeGreaterThan(60);
}, 120_000);
