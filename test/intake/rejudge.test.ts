/** What was spooled unjudged: judged once the registry answers, in order, exactly once, whatever crashes in between. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "../../src/core/entry.ts";
import { incompressible, littleRoom, readAll, settledTo, spoolKit } from "../kit/spool.ts";
import { afterCrash, aRegistry, aDeviceMessage, intake, type FakeRegistry } from "../kit/intake.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const away = (): FakeRegistry => ({ ...aRegistry(["a", "b"]), available: false });

/** `count` messages of each device, spooled unjudged. */
function deferring(part: ReturnType<typeof intake>, count: number, devices = ["a", "b", "stranger"]): void {
  let n = 0;
  for (let i = 0; i < count; i++)
    for (const device of devices) part.port.receive(aDeviceMessage(++n, device));
  part.answer();
  part.ingest.flush();
}

describe("messages whose device could not be looked up", () => {
  test("are acknowledged, wait on disk, and are judged in order once the registry answers", async () => {
    const part = intake(kit, away());
    deferring(part, 3);
    expect(part.durable).toHaveLength(9);
    expect(part.books.awaiting).toBe(9);
    await part.clock.pass(60_000);
    expect(part.books.awaiting).toBe(9);
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(part.books.totals()).toMatchObject({
      received: 9,
      accepted: 6,
      rejected: { UNREGISTERED_DEVICE: 3 },
    });
    expect(part.books.awaiting).toBe(0);
    expect(part.decided()).toEqual(
      new Map([
        ["a", [1, 4, 7]],
        ["b", [2, 5, 8]],
        ["stranger", [3, 6, 9]],
      ]),
    );
    expect(part.balanced()).toBe(true);
  });

  test("are retried with pauses while the registry is away, and at once when it is back", async () => {
    const part = intake(kit, away());
    deferring(part, 1);
    await part.clock.pass(300_000);
    const { finds } = part.registry;
    expect(finds).toBeGreaterThan(5);
    expect(finds).toBeLessThan(1_000);
    part.registry.available = true;
    part.rejudge.nudge();
    await part.clock.pass(1);
    expect(part.books.awaiting).toBe(0);
    await part.clock.pass(60_000);
    expect(part.registry.finds).toBe(finds + 1);
  });

  test("are asked for at once if the registry seems to be back, and with pauses again if it is not", async () => {
    const part = intake(kit, { ...away(), findMs: 1 });
    deferring(part, 1);
    await part.clock.pass(60_000);
    const { finds } = part.registry;
    part.rejudge.nudge();
    await part.clock.pass(2);
    expect(part.registry.finds).toBe(finds + 1);
    await part.clock.pass(60_000);
    expect(part.registry.finds - finds).toBeWithin(3, 200);
  });

  test("are retried at once also if the registry is back while a try fails", async () => {
    const part = intake(kit, away());
    deferring(part, 1);
    await part.clock.pass(300_000);
    const { registry } = part;
    const { finds } = registry;
    Object.defineProperty(registry, "available", {
      get() {
        const isFirst = registry.finds === finds + 1;
        if (isFirst) part.rejudge.nudge();
        return !isFirst;
      },
    });
    while (registry.finds === finds) await part.clock.pass(100);
    await part.clock.pass(1);
    expect(part.books.awaiting).toBe(0);
  });

  test("make their device's later messages wait behind them", async () => {
    const part = intake(kit, away());
    deferring(part, 1, ["a"]);
    part.port.receive(aDeviceMessage(2, "a"));
    part.ingest.flush();
    expect(part.waiting).toEqual([]);
    expect(part.books.awaiting).toBe(2);
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(part.decided().get("a")).toEqual([1, 2]);
    part.port.receive(aDeviceMessage(3, "a"));
    expect(part.waiting).toHaveLength(1);
  });

  test("are not waited for if damage has taken them", async () => {
    const first = intake(kit, away());
    for (let n = 0; n < 3; n++) deferring(first, 1, ["a"]);
    const dataDir = kit.dir();
    cpSync(first.dataDir, dataDir, { recursive: true });
    const db = new Database(join(dataDir, "spool.db"));
    db.run("DELETE FROM groups WHERE last = 1");
    const part = intake(kit, aRegistry(), dataDir, littleRoom.bytesMax);
    // Not before: whoever closes it last takes the log away, and a spool that was not closed must have one.
    db.close();
    part.rejudge.start();
    await part.clock.pass(15_000);
    expect(part.decided().get("a")).toEqual([1, 1]);
    for (let n = 10; n < 20; n++) {
      part.port.receive(aDeviceMessage(n, "a", {}, true));
      part.ingest.flush();
    }
    part.spool.setCursor("sink", settledTo(part.spool.head));
    await part.clock.pass(5_000);
    expect(part.spool.first).toBeGreaterThan(5);
  });

  test("wait until the spool can be read where they are, and that is shown", async () => {
    const part = intake(kit, aRegistry());
    const reading = spyOn(part.spool, "read").mockImplementation(() => {
      throw new Error("the spool's group 1 to 1 is damaged");
    });
    part.port.receive(aDeviceMessage(1, "a"));
    part.ingest.giveUpLookups(0);
    part.ingest.flush();
    await part.clock.pass(5_000);
    expect([part.rejudge.unreadable, part.books.awaiting]).toEqual([
      "the spool's group 1 to 1 is damaged",
      1,
    ]);
    reading.mockRestore();
    await part.clock.pass(15_000);
    expect([part.rejudge.unreadable, part.books.awaiting]).toEqual([null, 0]);
  });

  test("hold nothing in the spool if damage has taken all of them", async () => {
    const first = intake(kit, away());
    deferring(first, 1, ["a"]);
    for (let n = 10; n < 14; n++) {
      first.port.receive(aDeviceMessage(n, "a", {}, true));
      first.ingest.flush();
    }
    const dataDir = kit.dir();
    cpSync(first.dataDir, dataDir, { recursive: true });
    const db = new Database(join(dataDir, "spool.db"));
    db.run("DELETE FROM groups WHERE last = 1");
    const part = intake(kit, aRegistry(), dataDir, littleRoom.bytesMax);
    db.close();
    part.rejudge.start();
    part.spool.setCursor("sink", settledTo(part.spool.head));
    await part.clock.pass(5_000);
    expect(part.spool.first).toBe(5);
    part.port.receive(aDeviceMessage(20, "a"));
    expect(part.waiting).toHaveLength(1);
  });

  test("are held in the spool though every sink has passed them", async () => {
    const part = intake(kit, away(), kit.dir(), littleRoom.bytesMax);
    deferring(part, 1);
    for (let n = 10; n < 20; n++) {
      part.port.receive(aDeviceMessage(n, "a", {}, true));
      part.ingest.flush();
    }
    part.spool.setCursor("sink", settledTo(part.spool.head));
    await part.clock.pass(5_000);
    expect(part.spool.first).toBe(1);
    part.registry.available = true;
    await part.clock.pass(15_000);
    part.spool.setCursor("sink", settledTo(part.spool.head));
    await part.clock.pass(2_000);
    expect(part.spool.first).toBeGreaterThan(10);
  });

  test("are all judged although their device sends more often than the registry answers", async () => {
    const part = intake(kit, { ...away(), findMs: 50 });
    deferring(part, 1, ["a"]);
    part.registry.available = true;
    for (let n = 2; n < 100; n++) {
      part.port.receive(aDeviceMessage(n, "a"));
      part.answer();
      await part.clock.pass(20);
    }
    expect(part.books.awaiting).toBe(0);
    expect(part.cached.has("a")).toBe(true);
    expect(part.registry.finds).toBeLessThan(10);
    expect(part.decided().get("a")).toEqual(Array.from({ length: 99 }, (_, i) => i + 1));
    expect(part.balanced()).toBe(true);
  });

  test("are all judged although their device sends meanwhile, behind thousands of others' messages", async () => {
    const part = intake(kit, { ...away(), findMs: 50 });
    deferring(part, 1, ["a"]);
    part.registry.available = true;
    part.cached.add("c");
    for (let n = 2; n < 12; n++) {
      for (let other = 1; other <= 3_000; other++) part.port.receive(aDeviceMessage(n * 3_000 + other, "c"));
      part.port.receive(aDeviceMessage(n, "a"));
      part.answer();
      await part.clock.pass(20);
    }
    expect(part.books.awaiting).toBe(0);
    part.ingest.flush();
    expect(part.decided().get("a")).toEqual(Array.from({ length: 11 }, (_, i) => i + 1));
  });

  test("are held in the spool while the registry is asked for them, whatever is deferred meanwhile", async () => {
    const part = intake(kit, { ...away(), findMs: 30_000 }, kit.dir(), littleRoom.bytesMax);
    deferring(part, 1, ["a"]);
    deferring(part, 1, ["b"]);
    await part.clock.pass(35_000);
    deferring(part, 1, ["stranger"]);
    part.spool.setCursor("sink", settledTo(part.spool.head));
    await part.clock.pass(2_000);
    expect(part.spool.first).toBe(1);
  });

  test("are looked for from the first of them on, not from where those before were", async () => {
    const part = intake(kit, away());
    deferring(part, 1);
    part.registry.available = true;
    await part.clock.pass(15_000);
    part.cached.add("c");
    for (let n = 10; n < 20; n++) part.port.receive(aDeviceMessage(n, "c"));
    part.ingest.flush();
    part.registry.available = false;
    const holding = spyOn(part.spool, "holdFrom");
    deferring(part, 1, ["stranger"]);
    expect(holding.mock.lastCall).toEqual([part.spool.head]);
  });

  test("are judged a few at a time if they are large", async () => {
    const part = intake(kit, away());
    const x = "x".repeat(1_000_000);
    for (let n = 1; n <= 40; n++) {
      part.port.receive(aDeviceMessage(n, "a", { payload: Buffer.from(JSON.stringify({ n, x })) }));
      part.answer();
      part.ingest.flush();
    }
    expect(part.books.awaiting).toBe(40);
    let before = part.spool.head;
    const batches: number[] = [];
    part.spool.onAppend(() => {
      batches.push(part.spool.head - before);
      before = part.spool.head;
    });
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(part.decided().get("a")).toHaveLength(40);
    expect(batches).toEqual([9, 9, 9, 9, 4]);
  });

  test("are judged in batches if there are thousands, with one look-up per batch", async () => {
    const part = intake(kit, away());
    deferring(part, 1_700);
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(part.books.totals()).toMatchObject({ accepted: 3_400, rejected: { UNREGISTERED_DEVICE: 1_700 } });
    expect(part.registry.finds).toBeLessThan(10);
    const a = part.decided().get("a") ?? [];
    expect(a).toEqual(a.toSorted((x, y) => x - y));
  });
});

describe("a flood of strangers while the registry is away", () => {
  test("fills no more than its share of the disk, and messages of known devices can still wait there", async () => {
    const part = intake(kit, away(), kit.dir(), 400_000);
    for (let n = 1; n <= 2_000; n++) part.port.receive(aDeviceMessage(n, `stranger-${n}`));
    part.answer();
    part.ingest.flush();
    const turnedAway = part.books.totals().rejected["TOO_MANY_STRANGERS"] ?? 0;
    expect(turnedAway).toBeGreaterThan(1_000);
    expect(part.books.awaiting).toBe(2_000 - turnedAway);
    for (let n = 1; n <= 10; n++) part.port.receive(aDeviceMessage(n, "a"));
    part.answer();
    part.ingest.flush();
    expect(part.books.awaiting).toBe(2_010 - turnedAway);
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(part.books.totals()).toMatchObject({
      accepted: 10,
      rejected: { TOO_MANY_STRANGERS: turnedAway, UNREGISTERED_DEVICE: 2_000 - turnedAway },
    });
    expect(part.balanced()).toBe(true);
    // What is judged frees its space.
    part.port.receive(aDeviceMessage(1, "stranger-new"));
    part.registry.available = false;
    part.answer();
    part.ingest.flush();
    expect(part.books.awaiting).toBe(1);
  });
});

describe("a restart", () => {
  test("continues where the last run was, and loses and doubles nothing", async () => {
    const first = intake(kit, away());
    deferring(first, 2_500);
    first.registry.available = true;
    // Until one batch has been judged, and no further.
    first.spool.onAppend(() => (first.registry.available = false));
    await first.clock.pass(15_000);
    const part = afterCrash(kit, first);
    expect(part.books.awaiting).toBeGreaterThan(0);
    expect(part.books.awaiting).toBeLessThan(7_500);
    part.registry.available = true;
    part.rejudge.start();
    await part.clock.pass(15_000);
    expect(part.books.awaiting).toBe(0);
    expect(part.balanced()).toBe(true);
    for (const [at, device] of ["a", "b", "stranger"].entries())
      expect(part.decided().get(device)).toEqual(Array.from({ length: 2_500 }, (_, i) => i * 3 + at + 1));
  });

  test("holds what is still to be judged from the first moment, before any part is started", async () => {
    const first = intake(kit, away());
    deferring(first, 1);
    for (let n = 10; n < 14; n++) {
      first.port.receive(aDeviceMessage(n, "a", {}, true));
      first.ingest.flush();
    }
    first.spool.setCursor("sink", settledTo(first.spool.head));
    first.port.receive(aDeviceMessage(20, "a", {}, true));
    first.ingest.flush();
    const part = afterCrash(kit, first);
    await part.clock.pass(10_000);
    expect(part.spool.first).toBe(1);
    part.registry.available = true;
    part.rejudge.start();
    await part.clock.pass(1_000);
    expect(part.books.awaiting).toBe(0);
  });

  test("looks through the spool for them without keeping anybody waiting, and devices that must be looked up wait on the disk meanwhile", async () => {
    const first = intake(kit, away());
    deferring(first, 1, ["a"]);
    first.cached.add("c");
    for (let n = 1; n <= 20_000; n++) first.port.receive(aDeviceMessage(n, "c"));
    deferring(first, 1, ["b"]);
    const part = afterCrash(kit, first);
    const reading = spyOn(part.spool, "read");
    part.registry.available = true;
    part.rejudge.start();
    const read = reading.mock.results.reduce((sum, { value }) => sum + (value as Entry[]).length, 0);
    expect(read).toBeWithin(4_000, 10_000);
    part.port.receive(aDeviceMessage(2, "b"));
    part.port.receive(aDeviceMessage(1, "new"));
    part.ingest.flush();
    expect([part.waiting.length, part.books.awaiting]).toEqual([0, 4]);
    await part.clock.pass(1_000);
    expect(part.books.awaiting).toBe(0);
    expect([part.decided().get("a"), part.decided().get("b")]).toEqual([[1], [1, 2]]);
    expect(part.balanced()).toBe(true);
    part.port.receive(aDeviceMessage(2, "new"));
    expect(part.waiting.length).toBe(1);
  });

  test("judges what waited for the registry alone also while nobody knows the time", async () => {
    const first = intake(kit, away());
    deferring(first, 1);
    const part = afterCrash(kit, first);
    [part.registry.available, part.state.isTimeKnown] = [true, false];
    part.rejudge.start();
    await part.clock.pass(1_000);
    expect(part.books.awaiting).toBe(0);
  });

  test("makes a device's new messages wait behind those of the last run", () => {
    const first = intake(kit, away());
    deferring(first, 1, ["a"]);
    const part = afterCrash(kit, first);
    part.rejudge.start();
    part.port.receive(aDeviceMessage(2, "a"));
    part.ingest.flush();
    expect(part.waiting).toEqual([]);
    expect(part.books.awaiting).toBe(2);
  });
});

describe("a spool that is full", () => {
  test("full of entries for sinks makes the judgement wait; then it goes on", async () => {
    const part = intake(kit, away());
    deferring(part, 2);
    part.state.full = true;
    part.registry.available = true;
    await part.clock.pass(15_000);
    expect(readAll(part.spool).every((e) => e.kind === "deferred")).toBe(true);
    expect(part.balanced()).toBe(true);
    part.state.full = false;
    await part.clock.pass(1_000);
    expect(part.decided().get("a")).toEqual([1, 4]);
    expect(part.balanced()).toBe(true);
  });

  test("full of what waits to be judged and what came after it is no deadlock", async () => {
    const part = intake(kit, away(), kit.dir(), 300_000);
    const payload = (n: number) => new TextEncoder().encode(`{"n":${n},"x":${incompressible(5_000)}}`);
    let n = 0;
    deferring(part, 1, ["a"]);
    for (n = 2; part.ingest.held === null && n < 1_000; n++) {
      part.port.receive(aDeviceMessage(n, "b", { payload: payload(n) }));
      part.answer();
      part.ingest.flush();
      part.spool.setCursor("sink", settledTo(part.spool.head));
    }
    expect(part.ingest.held).toContain("SPOOL_MAX_BYTES");
    part.registry.available = true;
    await part.clock.pass(60_000);
    expect(part.ingest.held).toBeNull();
    expect(part.books.awaiting).toBe(0);
    expect(part.balanced()).toBe(true);
    expect(part.books.totals().accepted).toBe(n - 1);
  });
});

describe("stopping", () => {
  test("does not wait until the registry would be asked again", async () => {
    const part = intake(kit, away());
    deferring(part, 1);
    await part.clock.pass(60_000);
    await part.rejudge.stop();
    expect(part.books.awaiting).toBe(3);
  });

  test("does not wait for a registry that hangs, nor for a spool that cannot be written", async () => {
    const hanging = intake(kit, away());
    deferring(hanging, 1);
    hanging.registry.available = true;
    hanging.state.full = true;
    await hanging.clock.pass(15_000);
    await hanging.rejudge.stop();
    const again = afterCrash(kit, hanging);
    again.rejudge.start();
    await again.clock.pass(15_000);
    expect(again.decided().get("a")).toEqual([1]);
    expect(again.balanced()).toBe(true);
  });
});

describe("messages without a time of their own, while the host's clock is not set", () => {
  /** Deferred as the judge does it, `n` ms after the moment 1,000. */
  function timeless(part: ReturnType<typeof intake>, ...ns: number[]): void {
    part.state.isTimeKnown = false;
    for (const n of ns) part.port.receive(aDeviceMessage(n, "clockless"));
    part.ingest.flush();
  }
  const timesOf = (part: ReturnType<typeof intake>) =>
    readAll(part.spool, part.spool.first).flatMap((e) =>
      e.kind === "event" ? [[e.receivedMs, e.eventMs]] : [],
    );

  test("wait on disk, whatever the registry answers, and get their time once it is known", async () => {
    const part = intake(kit, aRegistry(["clockless"]));
    timeless(part, 1, 2, 500);
    await part.clock.pass(3_600_000);
    expect(part.books.awaiting).toBe(3);
    expect(part.registry.finds).toBe(0);
    [part.state.isTimeKnown, part.state.correctionMs] = [true, 1_000_000];
    part.rejudge.nudge();
    await part.clock.pass(1_000);
    expect(timesOf(part)).toEqual([1, 2, 500].map((n) => [1_001_000 + n, 1_001_000 + n]));
    expect(part.balanced()).toBe(true);
  });

  test("are all found at a start, whether the time is known or not", async () => {
    const part = intake(kit, aRegistry(["clockless"]));
    timeless(part, 1);
    part.cached.add("c");
    for (let n = 10; n < 10_000; n++) part.port.receive(aDeviceMessage(n, "c"));
    timeless(part, 2);
    const second = afterCrash(kit, part);
    second.state.isTimeKnown = false;
    second.rejudge.start();
    await second.clock.pass(1_000);
    second.port.receive(aDeviceMessage(3, "unknown"));
    expect([second.books.awaiting, second.waiting.length]).toEqual([2, 1]);
  });

  test("survive a restart before the clock is set, and one after it: they then came no later than the start of this run", async () => {
    const part = intake(kit, aRegistry(["clockless"]));
    timeless(part, 1, 2, 500);
    const second = afterCrash(kit, part);
    second.state.isTimeKnown = false;
    second.rejudge.start();
    await second.clock.pass(60_000);
    expect(second.books.awaiting).toBe(3);
    const third = afterCrash(kit, second);
    third.rejudge.start();
    await third.clock.pass(1_000);
    const beganMs = third.clock.wallMs() - 1_000;
    expect(timesOf(third)).toEqual([499, 498, 0].map((ago) => [beganMs - ago, beganMs - ago]));
    expect(third.balanced()).toBe(true);
  });
});
