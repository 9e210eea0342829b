/** The intake under random messages, answers, outages and crashes. */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import type { Message } from "../../src/core/message.ts";
import { spoolKit, readAll } from "../kit/spool.ts";
import { aDeviceMessage, afterCrash, aRegistry, intake, numberOf } from "../kit/intake.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const devices = ["a", "b", "stranger"] as const;
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      receive: fc.constantFrom(...devices),
      bad: fc.boolean(),
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ reconnect: true } as const) },
  { weight: 5, arbitrary: fc.record({ answer: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 6, arbitrary: fc.record({ passMs: fc.constantFrom(1, 5, 300, 11_000) }) },
  { weight: 3, arbitrary: fc.record({ available: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ findMs: fc.constantFrom(0, 4, 400) }) },
  { weight: 2, arbitrary: fc.record({ isRegistered: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ full: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ forget: fc.constantFrom(...devices) }) },
  { weight: 2, arbitrary: fc.constant({ crash: true } as const) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("whatever happens, each message is decided once, in its device's order, acknowledged only when durable, and counted", async () => {
  const seen = { deferred: 0, duplicates: 0, crashes: 0, held: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 80 }), async (steps) => {
      const known = aRegistry(["a", "b"]);
      let part = intake(kit, known);
      let n = 0;
      /** What a broker keeps: messages sent and not acknowledged. */
      const unacknowledged = new Map<number, Message>();
      const bad = new Set<number>();
      const sent = new Map<string, number[]>(devices.map((device) => [device, []]));

      const watch = () => {
        part.state.onDurable = (messages) => {
          const onDisk = new Set(readAll(part.spool).map((e) => numberOf(e.payload)));
          for (const message of messages) {
            expect(onDisk).toContain(numberOf(message.payload));
            unacknowledged.delete(numberOf(message.payload));
          }
        };
      };
      watch();
      const redeliver = () => {
        for (const message of unacknowledged.values()) part.port.receive({ ...message, dup: true });
      };
      const run = async (s: Step) => {
        if ("receive" in s) {
          for (let i = 0; i < s.times; i++) {
            const message = aDeviceMessage(++n, s.receive, {}, s.bad);
            sent.get(s.receive)?.push(n);
            unacknowledged.set(n, message);
            if (s.bad) bad.add(n);
            part.port.receive(message);
          }
        }
        if ("reconnect" in s) redeliver();
        if ("answer" in s) part.answer(s.answer);
        if ("passMs" in s) await part.clock.pass(s.passMs);
        if ("available" in s) known.available = s.available;
        if ("findMs" in s) known.findMs = s.findMs;
        if ("isRegistered" in s) {
          // The cache is told of each change.
          part.cached.delete("b");
          if (s.isRegistered) known.devices.add("b");
          else known.devices.delete("b");
        }
        if ("full" in s) part.state.full = s.full;
        if ("forget" in s) part.cached.delete(s.forget);
        if ("crash" in s) {
          seen.crashes++;
          seen.duplicates += part.books.totals().duplicate;
          part = afterCrash(kit, part);
          watch();
          expect(part.balanced()).toBe(true);
          part.rejudge.start();
          redeliver();
        }
        if (part.ingest.held !== null) seen.held++;
        expect(part.balanced()).toBe(true);
        seen.deferred += part.books.awaiting;
      };
      for (const s of steps) await run(s);

      known.available = true;
      part.state.full = false;
      for (let i = 0; i < 5; i++) {
        part.answer();
        await part.clock.pass(20_000);
      }
      expect(unacknowledged.size).toBe(0);
      expect(part.books.awaiting).toBe(0);
      expect(part.balanced()).toBe(true);
      const decided = part.decided();
      for (const [device, all] of sent) {
        const got = decided.get(device) ?? [];
        expect(got.toSorted((a, b) => a - b)).toEqual(all);
        // A message that is bad whoever sent it does not wait behind messages that are on disk to be judged.
        expect(got.filter((each) => !bad.has(each))).toEqual(all.filter((each) => !bad.has(each)));
      }
      const crashed = afterCrash(kit, part);
      expect(crashed.balanced()).toBe(true);
      expect(crashed.books.totals()).toEqual(part.books.totals());
      kit.clear();
    }),
    { numRuns: 80 },
  );
  // The run was not trivial.
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(2);
}, 120_000);
