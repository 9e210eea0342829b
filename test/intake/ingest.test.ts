/** A message's way to the disk: order, acknowledgement, redelivery, a full spool, and books that balance throughout. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Message } from "../../src/core/message.ts";
import { finish } from "../../src/intake/finish.ts";
import { parkedMax } from "../../src/intake/ingest.ts";
import { spoolKit } from "../kit/spool.ts";
import { aDeviceMessage, afterCrash, aRegistry, intake, numbers } from "../kit/intake.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

describe("a stop", () => {
  test("waits for look-ups, for what came behind them is acknowledged only after them", async () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.port.receive(aDeviceMessage(1, "b"));
    part.port.receive(aDeviceMessage(2, "a"));
    part.clock.after(20, () => part.answer());
    const stopped = finish(part.ingest, part.clock).then(() => numbers(part.durable).sort());
    await part.clock.pass(100);
    expect(await stopped).toEqual([1, 2]);
  });

  test("leaves to the next start what waits for a registry that is away", async () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.port.receive(aDeviceMessage(1, "b"));
    const stopped = finish(part.ingest, part.clock);
    part.port.receive(aDeviceMessage(2, "a"));
    await part.clock.pass(1_100);
    await stopped;
    expect(numbers(part.durable)).toEqual([2]);
    expect(part.ingest.inMemory).toBe(1);
  });
});

describe("a message of a known device", () => {
  test("is durable once its group is on disk, not before", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.port.receive(aDeviceMessage(1, "a"));
    part.port.receive(aDeviceMessage(2, "a"));
    expect(part.durable).toEqual([]);
    part.clock.advance(30);
    expect(numbers(part.durable)).toEqual([1, 2]);
    expect(afterCrash(kit, part).decided().get("a")).toEqual([1, 2]);
  });

  test("is acknowledged at the source that it came from, even if it waited for a look-up", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    const durable: Message[] = [];
    const other = part.ingest.port((messages) => void durable.push(...messages));
    part.port.receive(aDeviceMessage(1, "a"));
    other.receive(aDeviceMessage(2, "a", { sender: "other" }));
    other.receive(aDeviceMessage(3, "b", { sender: "other" }));
    part.port.receive(aDeviceMessage(4, "b"));
    part.clock.advance(30);
    part.answer();
    part.clock.advance(30);
    expect([numbers(part.durable), numbers(durable)]).toEqual([
      [1, 4],
      [2, 3],
    ]);
  });

  test("closes the group at its bound without waiting for the linger", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    for (let n = 1; n <= 1_001; n++) part.port.receive(aDeviceMessage(n, "a"));
    expect(part.durable).toHaveLength(1_000);
    expect(part.ingest.openEntries).toHaveLength(1);
  });

  describe("is collected", () => {
    /** Messages come `every` so many ms, for `ms`. @returns how many each group had */
    function groupsOf(part: ReturnType<typeof intake>, everyMs: number, ms: number): number[] {
      const groups: number[] = [];
      part.state.onDurable = (messages) => void groups.push(messages.length);
      for (let at = 0; at < ms; at += everyMs) {
        part.port.receive(aDeviceMessage(part.durable.length, "a"));
        part.clock.advance(everyMs);
      }
      return groups;
    }
    const known = () => {
      const part = intake(kit, aRegistry());
      part.cached.add("a");
      return part;
    };

    test.each([
      [0.1, 5],
      [0.25, 12],
      [0.5, 24],
      [1, 30],
      [10, 30],
    ])("with a message each %f ms for %f ms, and each ninth group for the usual 5", (everyMs, longMs) => {
      const groups = groupsOf(known(), everyMs, 1_000);
      const of = (ms: number) => Math.ceil(ms / everyMs);
      const usual = groups.filter((_, i) => i % 9 === 0);
      const long = groups.filter((_, i) => i % 9 !== 0);
      expect(long.length).toBeGreaterThan(20);
      for (const size of usual) expect(Math.abs(size - of(5))).toBeLessThanOrEqual(1);
      for (const size of long) expect(Math.abs(size - of(longMs))).toBeLessThanOrEqual(1);
    });

    test.each([1, 2, 4, 5, 10, 20, 31])(
      "for the usual time if a sender sends no more than %d without an answer",
      (window) => {
        const part = known();
        const send = () => {
          for (let n = 0; n < window; n++) part.port.receive(aDeviceMessage(n, "a"));
        };
        groupsOf(part, 1, 300);
        let groups = 0;
        part.state.onDurable = () => {
          groups++;
          part.clock.after(0, send);
        };
        send();
        part.clock.advance(1_000);
        expect(groups).toBeGreaterThan(130);
      },
    );

    test.each([
      ["nine at once", 9, 9, 0],
      ["one by one, and twenty more now and then", 1, 1, 37],
    ])("for longer, too, if they come %s", (_, everyMs, count, moreEveryMs) => {
      const part = known();
      let groups = 0;
      part.state.onDurable = () => groups++;
      const send = (messages: number) => {
        for (let n = 0; n < messages; n++) part.port.receive(aDeviceMessage(n, "a"));
      };
      for (let at = 0; at < 1_000; at++) {
        if (at % everyMs === 0) send(count);
        if (at % moreEveryMs === 0) send(20);
        part.clock.advance(1);
      }
      expect(groups).toBeLessThan(50);
    });

    test("for the usual time at once when many come after few", () => {
      const part = known();
      groupsOf(part, 1, 30);
      expect(
        groupsOf(part, 0.05, 60)
          .slice(1)
          .every((size) => Math.abs(size - 100) <= 1),
      ).toBe(true);
    });
  });

  test("is read with its group by a source that leaves unread what comes, at the last call", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    const read = (n: number) => part.port.receive(aDeviceMessage(n, "a"));
    expect(part.port.collects(() => {})).toBe(false);
    read(1);
    // A socket says what it has only behind the event loop's next turn.
    const lastCall = () => void part.clock.after(0, () => part.clock.after(0, () => read(2)));
    expect(part.port.collects(lastCall)).toBe(true);
    part.clock.advance(4);
    expect(numbers(part.durable)).toEqual([]);
    part.clock.advance(1);
    expect(numbers(part.durable)).toEqual([1, 2]);
  });

  test("of a group behind one of several is unread from the start, and no longer if nothing comes", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    let calls = 0;
    const lastCall = () => {
      calls += 1;
      part.port.collects(lastCall);
    };
    for (let n = 1; n <= 4; n++) part.port.receive(aDeviceMessage(n, "a"));
    part.port.collects(lastCall);
    part.clock.advance(5);
    expect([part.durable.length, calls]).toEqual([4, 1]);
    part.clock.advance(29);
    expect(calls).toBe(1);
    part.clock.advance(1);
    expect(calls).toBe(3);
    expect(part.port.collects(lastCall)).toBe(false);
    expect(part.clock.pending()).toBe(1);
  });

  test("leaves no source waiting if its group is written for another reason", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    let calls = 0;
    for (let n = 1; n <= 1_000; n++) {
      part.port.receive(aDeviceMessage(n, "a"));
      if (n < 3) part.port.collects(() => (calls += 1));
    }
    expect(calls).toBe(2);
    part.port.receive(aDeviceMessage(1_001, "a"));
    part.port.collects(() => (calls += 1));
    part.ingest.flush();
    expect(calls).toBe(3);
    part.clock.advance(100);
    expect(calls).toBe(3);
  });

  test("flush writes what is open, for an orderly stop", () => {
    const part = intake(kit, aRegistry());
    part.port.receive(aDeviceMessage(1, "a", {}, true));
    part.ingest.flush();
    expect(numbers(part.durable)).toEqual([1]);
    expect(part.clock.pending()).toBe(1);
  });
});

describe("a message whose device must be looked up", () => {
  test("waits with its device's later ones, in order, while others go on", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("b");
    for (const [n, device] of [
      [1, "a"],
      [2, "b"],
      [3, "a"],
      [4, "b"],
      [5, "a"],
    ] as const)
      part.port.receive(aDeviceMessage(n, device, {}, n === 3));
    part.clock.advance(30);
    expect(numbers(part.durable)).toEqual([2, 4]);
    expect(part.ingest.inMemory).toBe(3);
    expect(part.waiting).toHaveLength(1);
    part.answer();
    part.clock.advance(30);
    expect(numbers(part.durable)).toEqual([2, 4, 1, 3, 5]);
    expect(part.decided().get("a")).toEqual([1, 3, 5]);
    expect(part.balanced()).toBe(true);
  });

  test("keeps its device's order even if a group closes in the middle and the source goes on at once", () => {
    const part = intake(kit, aRegistry());
    for (let n = 1; n <= 2_500; n++) part.port.receive(aDeviceMessage(n, "a"));
    let more = 2_501;
    part.state.onDurable = () => {
      expect(part.balanced()).toBe(true);
      if (more <= 2_503) part.port.receive(aDeviceMessage(more++, "a"));
    };
    part.answer();
    part.clock.advance(30);
    expect(part.decided().get("a")).toEqual(Array.from({ length: 2_503 }, (_, i) => i + 1));
    expect(part.balanced()).toBe(true);
  });

  test("does not count as received in the books on disk, however many groups pass it", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("b");
    for (let n = 1; n <= 3; n++) part.port.receive(aDeviceMessage(n, "a"));
    part.port.receive(aDeviceMessage(4, "b"));
    part.clock.advance(30);
    const crashed = afterCrash(kit, part);
    expect(crashed.books.totals()).toMatchObject({ received: 1, accepted: 1 });
    expect(crashed.balanced()).toBe(true);
  });

  test("that closes a group half-way through its device's queue leaves true books on disk", () => {
    const part = intake(kit, aRegistry());
    for (let n = 1; n <= 1_500; n++) part.port.receive(aDeviceMessage(n, "a"));
    part.answer();
    const crashed = afterCrash(kit, part);
    expect(crashed.books.totals()).toMatchObject({ received: 1_000, accepted: 1_000 });
    expect(crashed.balanced()).toBe(true);
  });
});

describe("the bytes of a payload", () => {
  test("are read unless the message waits for a look-up, also behind another", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a").add("b");
    const receive = (n: number, device: string) => part.port.receive(aDeviceMessage(n, device));
    expect(["a", "c", "c", "a+b", "a+c"].map((device, i) => receive(i, device))).toEqual([
      true,
      false,
      false,
      true,
      false,
    ]);
  });
});

test("a message of a device that is not registered is one reject, and not first deferred", () => {
  const part = intake(kit, aRegistry([]));
  part.port.receive(aDeviceMessage(1, "stranger"));
  part.answer();
  part.clock.advance(30);
  expect([part.spool.head, part.books.totals().rejected]).toEqual([1, { UNREGISTERED_DEVICE: 1 }]);
});

describe("a packet delivered again", () => {
  const again = (message: Message): Message => ({ ...message, dup: true });

  test("is recognised, counted and acknowledged; without DUP it is another message", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    const message = aDeviceMessage(1, "a");
    for (const each of [message, again(message), message]) part.port.receive(each);
    part.clock.advance(30);
    expect(part.durable).toHaveLength(3);
    expect(part.books.totals()).toMatchObject({ received: 3, accepted: 2, duplicate: 1 });
    expect(part.spool.head).toBe(2);
  });

  test("is recognised after a restart too, but only with the same sender, packet, topic and bytes", () => {
    const first = intake(kit, aRegistry());
    first.cached.add("a");
    const message = aDeviceMessage(1, "a");
    first.port.receive(message);
    first.clock.advance(30);
    const part = afterCrash(kit, first);
    part.cached.add("a").add("b");
    part.port.receive(again(message));
    part.port.receive(again(aDeviceMessage(1, "a", { packetId: 2 })));
    part.port.receive(again(aDeviceMessage(1, "a", { sender: "x" })));
    part.port.receive(again(aDeviceMessage(1, "b", { packetId: 1 })));
    part.port.receive(again(aDeviceMessage(2, "a", { packetId: 1 })));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ received: 6, accepted: 5, duplicate: 1 });
    expect(part.durable).toHaveLength(5);
    expect(part.balanced()).toBe(true);
  });

  test("is recognised without DUP among the first of a session that goes on, if it says when", () => {
    const first = intake(kit, aRegistry());
    first.cached.add("a");
    const text = (body: object) => ({ payload: new TextEncoder().encode(JSON.stringify(body)) });
    const [timed, untimed] = [aDeviceMessage(1, "a", text({ ts: 1 })), aDeviceMessage(2, "a", text({}))];
    for (const each of [timed, untimed]) first.port.receive(each);
    first.clock.advance(30);
    const part = afterCrash(kit, first);
    part.cached.add("a");
    const early = { mayBeAgain: true };
    part.port.receive({ ...timed, ...early });
    part.port.receive({ ...untimed, ...early });
    part.port.receive(aDeviceMessage(3, "a", { ...text({ ts: 1 }), ...early }));
    part.port.receive(timed);
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ received: 6, accepted: 5, duplicate: 1 });
    expect(part.durable).toHaveLength(4);
  });

  test("of a device that may count anew is recognised without DUP by its time alone", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    const counted = { payload: new TextEncoder().encode('{"seq":1}'), mayBeAgain: true };
    for (const changes of [{}, { abandoned: () => false }, {}])
      part.port.receive(aDeviceMessage(1, "a", { ...counted, ...changes }));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 2, duplicate: 1 });
  });

  test("does not exist for QoS 0: it is always a message of its own", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    const message = aDeviceMessage(1, "a", { qos: 0, packetId: 0 });
    for (const each of [message, again(message)]) part.port.receive(each);
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 2, duplicate: 0 });
  });

  test("while the first still waits for its look-up is acknowledged after it, not before it is durable", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("b");
    const message = aDeviceMessage(1, "a");
    part.port.receive(message);
    part.port.receive(again(message));
    part.port.receive(aDeviceMessage(2, "b"));
    part.clock.advance(30);
    expect(numbers(part.durable)).toEqual([2]);
    part.answer();
    part.clock.advance(30);
    expect(part.durable.map((m) => m.dup)).toEqual([false, false, true]);
    expect(part.books.totals()).toMatchObject({ received: 3, accepted: 2, duplicate: 1 });
  });

  test("while the first is in the open group is acknowledged with it", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.state.full = true;
    const message = aDeviceMessage(1, "a");
    part.port.receive(message);
    part.port.receive(again(message));
    part.clock.advance(30);
    expect(part.durable).toEqual([]);
    part.state.full = false;
    part.clock.advance(1_000);
    expect(part.durable).toHaveLength(2);
  });

  test("after a crash that lost the first while it waited for its look-up is no duplicate: nothing of it was on disk", () => {
    const first = intake(kit, aRegistry());
    first.cached.add("b");
    const message = aDeviceMessage(1, "a");
    first.port.receive(message);
    first.port.receive(aDeviceMessage(2, "b"));
    first.clock.advance(30);
    const part = afterCrash(kit, first);
    part.cached.add("a");
    part.port.receive(again(message));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ received: 2, accepted: 2, duplicate: 0 });
    expect(part.decided().get("a")).toEqual([1]);
  });
});

describe("a flood between a message and its redelivery", () => {
  const flooded = (part: ReturnType<typeof intake>) => {
    part.cached.add("a").add("b");
    for (let n = 0; n < 6_000; n++)
      part.port.receive(aDeviceMessage(n, n % 2 === 0 ? "b" : `made-up-${n}`, {}, n % 2 !== 0));
    part.clock.advance(30);
  };

  test("of rejects and of another device's events does not make it forgotten, nor does a restart", () => {
    const first = intake(kit, aRegistry());
    first.cached.add("a");
    const message = aDeviceMessage(1, "a");
    first.port.receive(message);
    flooded(first);
    first.port.receive({ ...message, dup: true });
    first.clock.advance(30);
    expect(first.books.totals().duplicate).toBe(1);
    const part = afterCrash(kit, first);
    flooded(part);
    part.port.receive({ ...message, dup: true });
    part.clock.advance(30);
    expect(part.books.totals().duplicate).toBe(2);
    expect(part.balanced()).toBe(true);
  });
});

describe("a reading sent again on a new connection, without DUP", () => {
  /** A connection, and messages sent on it. */
  function connection() {
    const it = { isGone: false };
    const send = (n: number, body: object, packetId = n): Message =>
      aDeviceMessage(n, "a", {
        packetId,
        sender: "client-a",
        payload: new TextEncoder().encode(JSON.stringify({ n, ...body })),
        abandoned: () => it.isGone,
      });
    return { send, end: () => void (it.isGone = true) };
  }
  const withDevice = () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    return part;
  };

  test.each([{ seq: 5 }, { ts: "2026-11-21T00:00:00Z" }])(
    "twenty times during a hold (%j): stored once",
    (body) => {
      const part = withDevice();
      part.state.full = true;
      for (let tries = 1; tries < 20; tries++) {
        const { send, end } = connection();
        part.port.receive(send(1, body, tries));
        part.clock.advance(300);
        end();
      }
      part.port.receive(connection().send(1, body, 20));
      part.state.full = false;
      part.clock.advance(1_000);
      expect(part.durable).toHaveLength(20);
      expect(part.books.totals()).toMatchObject({ received: 20, accepted: 1, duplicate: 19 });
      expect(part.balanced()).toBe(true);
    },
  );

  test("is recognised while the first waits for its look-up", () => {
    const part = intake(kit, aRegistry());
    const { send, end } = connection();
    part.port.receive(send(1, { seq: 1 }));
    end();
    part.port.receive(connection().send(1, { seq: 1 }));
    part.answer();
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 1, duplicate: 1 });
  });

  test("is recognised even after the first was stored, if it was not acknowledged, and only once", () => {
    const part = withDevice();
    const { send, end } = connection();
    part.port.receive(send(1, { seq: 1 }));
    end();
    part.clock.advance(30);
    const second = connection();
    part.port.receive(second.send(1, { seq: 1 }));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 1, duplicate: 1 });
    part.port.receive(second.send(1, { seq: 1 }));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 2, duplicate: 1 });
  });

  test.each([
    ["without ts and seq", {}, {}],
    ["of another value", { seq: 1, v: 1 }, { seq: 1, v: 2 }],
    ["of another seq", { seq: 1 }, { seq: 2 }],
  ])("%s: is another message", (_, earlier, later) => {
    const part = withDevice();
    const { send, end } = connection();
    part.port.receive(send(1, earlier));
    end();
    part.port.receive(connection().send(1, later));
    part.clock.advance(30);
    expect(part.books.totals()).toMatchObject({ accepted: 2, duplicate: 0 });
  });

  test("is another message as long as the connection of the first stands, and from a broker that sets DUP", () => {
    const part = withDevice();
    part.state.full = true;
    const { send } = connection();
    for (const message of [send(1, { seq: 1 }), send(1, { seq: 1 })]) part.port.receive(message);
    for (let n = 0; n < 2; n++) part.port.receive(aDeviceMessage(2, "a"));
    part.state.full = false;
    part.clock.advance(1_000);
    expect(part.books.totals()).toMatchObject({ accepted: 4, duplicate: 0 });
  });
});

describe("a spool that cannot be written", () => {
  test("holds the intake: nothing is acknowledged, nothing lost, and all goes on when there is room", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.state.full = true;
    for (let n = 1; n <= 1_200; n++) part.port.receive(aDeviceMessage(n, "a"));
    // What comes meanwhile is no reason to try again.
    expect(part.state.refusals).toBe(1);
    part.clock.advance(2_000);
    expect(part.ingest.held).toBe("the spool is full");
    expect(part.durable).toEqual([]);
    expect(part.balanced()).toBe(true);
    part.state.full = false;
    part.clock.advance(250);
    expect(part.ingest.held).toBeNull();
    expect(numbers(part.durable)).toEqual(Array.from({ length: 1_200 }, (_, i) => i + 1));
    expect(part.balanced()).toBe(true);
  });

  test.each([
    [0, 41],
    [50, 10],
    [5_000, 2],
  ])(
    "is tried again four times a second, and less often if a try takes %d ms: %d times in 10 s",
    (ms, tries) => {
      const part = intake(kit, aRegistry());
      part.cached.add("a");
      Object.assign(part.state, { full: true, refusalMs: ms });
      part.port.receive(aDeviceMessage(1, "a"));
      const endMs = part.clock.monoMs() + 10_005;
      while (part.clock.monoMs() < endMs) part.clock.advance(5);
      expect(part.state.refusals).toBe(tries);
      part.state.full = false;
      part.clock.advance(2_000);
      expect(numbers(part.durable)).toEqual([1]);
    },
  );

  test("makes the intake full at its bounds, of messages or of bytes, and notifies when there is room", () => {
    for (const bytes of [1, 1_000_000]) {
      const part = intake(kit, aRegistry());
      part.cached.add("a");
      part.state.full = true;
      const padding = new TextEncoder().encode(JSON.stringify({ n: 1, x: "x".repeat(bytes) }));
      let n = 0;
      for (; n < 70_000 && !part.ingest.isFull(); n++) {
        const message = aDeviceMessage(n, "a", { qos: 0, payload: padding });
        // What its source does then, which is nothing to the bounds: the entry has those bytes.
        if (part.port.receive(message)) Object.assign(message, { payload: new Uint8Array() });
      }
      expect(n).toBe(bytes === 1 ? 70_000 : Math.ceil((64 * 1024 * 1024) / padding.length));
      let resumed = 0;
      part.port.whenRoom(() => resumed++);
      part.clock.advance(1_000);
      expect(resumed).toBe(0);
      part.state.full = false;
      part.clock.advance(1_000);
      expect([resumed, part.ingest.isFull()]).toEqual([1, false]);
      kit.clear();
    }
  });
});

test("a source goes on reading once there is room, not as soon as something else was written", () => {
  const part = intake(kit, aRegistry());
  part.cached.add("a");
  for (let n = 0; n < parkedMax; n++) part.port.receive(aDeviceMessage(n, `unknown-${n}`));
  let resumed = 0;
  part.port.whenRoom(() => resumed++);
  part.port.receive(aDeviceMessage(1, "a"));
  part.clock.advance(50);
  expect([part.ingest.isFull(), numbers(part.durable), resumed]).toEqual([true, [1], 0]);
  part.answer(1);
  part.clock.advance(50);
  expect([part.ingest.isFull(), resumed]).toEqual([false, 1]);
});

describe("the watchdog gives up a look-up", () => {
  test("the message is spooled unjudged and durable; younger ones go on waiting", () => {
    const part = intake(kit, aRegistry());
    part.port.receive(aDeviceMessage(1, "a"));
    part.clock.advance(60_000);
    part.port.receive(aDeviceMessage(2, "b"));
    expect(part.ingest.oldest()).toMatchObject({ stage: "look-up", waitedMs: 60_000 });
    part.ingest.giveUpLookups(60_000);
    part.ingest.flush();
    expect(numbers(part.durable)).toEqual([1]);
    expect(part.ingest.inMemory).toBe(1);
    expect(part.balanced()).toBe(true);
  });

  test("a group that waits does so since the first of it came", () => {
    const part = intake(kit, aRegistry());
    part.cached.add("a");
    part.clock.advance(100_000);
    part.state.full = true;
    part.port.receive(aDeviceMessage(1, "a"));
    part.clock.advance(5_000);
    part.port.receive(aDeviceMessage(2, "a"));
    part.clock.advance(3_000);
    expect(part.ingest.oldest()).toMatchObject({ stage: "group", waitedMs: 8_000 });
    part.state.full = false;
    part.clock.advance(5_000);
    expect(part.ingest.oldest()).toBeUndefined();
    part.port.receive(aDeviceMessage(3, "a"));
    expect(part.ingest.oldest()).toMatchObject({ stage: "group", waitedMs: 0 });
  });

  test("what was answered and only waits for its turn is not given up", () => {
    const part = intake(kit, aRegistry());
    for (let n = 1; n <= 10; n++) part.port.receive(aDeviceMessage(n, "a"));
    part.state.acceptMs = 4;
    part.answer();
    expect(part.ingest.inMemory).toBeWithin(1, 10);
    part.cached.delete("a");
    part.ingest.giveUpLookups(0);
    part.clock.advance(1_000);
    expect([part.ingest.inMemory, part.books.awaiting, part.durable.length]).toEqual([0, 0, 10]);
  });

  test("an answer that comes too late is not taken for that of the device's next message", async () => {
    const part = intake(kit, aRegistry());
    part.port.receive(aDeviceMessage(1, "a"));
    part.ingest.giveUpLookups(0);
    part.ingest.flush();
    await part.clock.pass(1_000);
    expect(part.decided().get("a")).toEqual([1]);
    part.port.receive(aDeviceMessage(2, "a"));
    expect(part.waiting).toHaveLength(2);
    part.answer(1);
    part.ingest.flush();
    expect(part.decided().get("a")).toEqual([1]);
    part.answer();
    part.ingest.flush();
    expect(part.decided().get("a")).toEqual([1, 2]);
    expect(part.balanced()).toBe(true);
  });
});
