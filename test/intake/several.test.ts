/**
 * A message that makes several events: one group, one acknowledgement, the order of every device, and books that show
 * it.
 */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { readAll, spoolKit } from "../kit/spool.ts";
import { aRegistry, afterCrash, numbers, aDeviceMessage, intake, numberOf } from "../kit/intake.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

test("goes to the disk as a whole, and is durable once", () => {
  const part = intake(kit, aRegistry());
  for (const device of ["a", "b"]) part.cached.add(device);
  part.port.receive(aDeviceMessage(1, "a+b"));
  part.clock.advance(30);
  expect(numbers(part.durable)).toEqual([1]);
  expect(part.spool.head).toBe(2);
  expect(part.books.totals()).toMatchObject({ received: 2, accepted: 2 });
  expect([part.books.furtherEvents, part.balanced()]).toEqual([1, true]);
});

test("counts each of its events, also those that are rejected or cannot be judged yet", () => {
  const part = intake(kit, aRegistry(["a", "b"]));
  part.cached.add("a");
  part.port.receive(aDeviceMessage(1, "a+b+unknown"));
  expect([part.ingest.inMemory, part.books.totals().received, part.balanced()]).toEqual([1, 1, true]);
  part.answer();
  part.clock.advance(30);
  expect(part.books.totals()).toMatchObject({
    received: 3,
    accepted: 2,
    rejected: { UNREGISTERED_DEVICE: 1 },
  });
  part.registry.available = false;
  part.port.receive(aDeviceMessage(2, "a+c"));
  part.answer();
  part.clock.advance(30);
  expect(part.books.totals()).toMatchObject({ received: 5, accepted: 3 });
  expect([part.books.awaiting, part.balanced(), numbers(part.durable)]).toEqual([1, true, [1, 2]]);
});

test("is on the disk with all of its events or none, whenever the gateway dies; then it is one duplicate", () => {
  const part = intake(kit, aRegistry());
  for (const device of ["a", "b"]) part.cached.add(device);
  const message = aDeviceMessage(1, "a+b");
  part.port.receive(message);
  const crash = () => {
    const next = afterCrash(kit, part);
    for (const device of ["a", "b"]) next.cached.add(device);
    next.port.receive({ ...message, dup: true });
    next.clock.advance(30);
    return next;
  };
  expect(crash().books.totals()).toMatchObject({ received: 2, accepted: 2, duplicate: 0 });
  part.clock.advance(30);
  const after = crash();
  expect(after.books.totals()).toMatchObject({ received: 3, accepted: 2, duplicate: 1 });
  expect([after.spool.head, after.books.furtherEvents, after.balanced()]).toEqual([2, 1, true]);
});

test("waits for every look-up, and holds up the later messages of all its devices and no others", () => {
  const part = intake(kit, aRegistry());
  for (const device of ["a", "c"]) part.cached.add(device);
  part.port.receive(aDeviceMessage(1, "a+b"));
  part.port.receive(aDeviceMessage(2, "a"));
  part.port.receive(aDeviceMessage(3, "c"));
  part.clock.advance(30);
  expect(numbers(part.durable)).toEqual([3]);
  part.answer();
  part.clock.advance(30);
  expect(numbers(part.durable)).toEqual([3, 1, 2]);
  expect(part.decided().get("a")).toEqual([1, 2]);
});

test("waits since the look-up began that it needs, whatever of it is known", () => {
  const part = intake(kit, aRegistry());
  part.cached.add("a");
  part.port.receive(aDeviceMessage(1, "a+b"));
  part.clock.advance(1_000);
  expect(part.ingest.oldest()).toMatchObject({ stage: "look-up", waitedMs: 1_000 });
});

test("is judged once, however many look-ups it waits for", () => {
  const part = intake(kit, aRegistry());
  part.cached.add("a");
  part.state.acceptMs = 1;
  const beganMs = part.clock.monoMs();
  part.port.receive(aDeviceMessage(1, "a+b+c"));
  part.answer(1);
  expect([part.ingest.inMemory, part.clock.monoMs() - beganMs]).toEqual([1, 1]);
  part.answer();
  expect([part.ingest.inMemory, part.clock.monoMs() - beganMs]).toEqual([0, 3]);
});

test("a look-up that never answers is given up for everything that it holds up", () => {
  const part = intake(kit, aRegistry());
  part.port.receive(aDeviceMessage(1, "a+b"));
  part.port.receive(aDeviceMessage(2, "b+c"));
  part.port.receive(aDeviceMessage(3, "c"));
  expect(part.ingest.oldest()?.stage).toBe("look-up");
  for (let tries = 0; tries < 3; tries++) {
    part.clock.advance(1_000);
    part.ingest.giveUpLookups(500);
  }
  part.clock.advance(30);
  expect(numbers(part.durable)).toEqual([1, 2, 3]);
  expect([part.ingest.inMemory, part.books.awaiting, part.balanced()]).toEqual([0, 5, true]);
});

test("a group closes at its bound of entries, too", () => {
  const part = intake(kit, aRegistry());
  const many = Array.from({ length: 100 }, (_, i) => `d${i}`);
  for (const device of many) part.cached.add(device);
  for (let n = 1; n <= 10; n++) part.port.receive(aDeviceMessage(n, many.join("+")));
  expect([part.durable.length, part.spool.head]).toEqual([10, 1_000]);
});

test("whatever comes in whatever order, every device keeps its own and nothing waits for ever", () => {
  const devices = ["a", "b", "c", "d"];
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.subarray(devices, { minLength: 1 }).map((some) => some.join("+")) },
    { weight: 1, arbitrary: fc.constant("answer") },
    { weight: 1, arbitrary: fc.constant("away") },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const part = intake(kit, aRegistry(["a", "b", "c"]));
      let n = 0;
      for (const what of steps) {
        if (what === "away") part.registry.available = !part.registry.available;
        else if (what === "answer") part.answer(1);
        else part.port.receive(aDeviceMessage(++n, what));
        expect(part.balanced()).toBe(true);
      }
      while (part.waiting.length > 0) part.answer();
      part.clock.advance(30);
      expect([part.ingest.inMemory, numbers(part.durable).toSorted((x, y) => x - y)]).toEqual([
        0,
        Array.from({ length: n }, (_, i) => i + 1),
      ]);
      for (const device of devices) {
        // A deferred entry comes again; what must be kept is the order in which a device's messages reached the disk.
        const order = [...readAll(part.spool, part.spool.first)].filter((entry) => entry.deviceId === device);
        const first = order
          .map(({ payload }) => numberOf(payload))
          .filter((one, i, all) => all.indexOf(one) === i);
        expect(first).toEqual(first.toSorted((x, y) => x - y));
      }
      kit.clear();
    }),
    { numRuns: 25 },
  );
});
