/** The redelivery window in memory, and the dead letters beside the groups. */
import { afterEach, describe, expect, test } from "bun:test";
import { Address, addresses } from "../../src/core/address.ts";
import { redeliveryKey } from "../../src/core/redelivery-key.ts";
import type { TestMessage } from "../kit/builders.ts";
import { ownerOf, RedeliveryWindow, unproven } from "../../src/spool/redelivery.ts";
import { RetainedTopics, retainedTopicsMax } from "../../src/spool/retained.ts";
import { simulatedClock } from "../kit/clock.ts";
import { aDeviceMessage } from "../kit/intake.ts";
import { anEntry, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

describe("the redelivery window", () => {
  test("knows the last `size` packets and no more", () => {
    const window = new RedeliveryWindow(3);
    for (const print of [1, 2, 3, 4]) window.add(print, 1);
    expect([1, 2, 3, 4].map((print) => window.has(print))).toEqual([false, true, true, true]);
  });

  test("knows a packet that is in it twice until both have left", () => {
    const window = new RedeliveryWindow(3);
    for (const print of [1, 1, 2]) window.add(print, 1);
    window.add(3, 1);
    expect(window.has(1)).toBe(true);
    window.add(4, 1);
    expect(window.has(1)).toBe(false);
  });

  test("keeps the newest packets of a quiet device, whatever another device or an unproven sender sends", () => {
    const window = new RedeliveryWindow(1_000);
    const share = 166;
    for (let n = 0; n < share; n++) window.add(1_000_000 + n, 7);
    for (let n = 0; n < 101_000; n++) window.add(n, n % 2 === 0 ? 8 : unproven);
    const quiet = Array.from({ length: share }, (_, n) => window.has(1_000_000 + n));
    expect(quiet.every(Boolean)).toBe(true);
  });

  test("reserves for a device no more than its share of half the window, so that the last half-window is always known", () => {
    const window = new RedeliveryWindow(1_000);
    for (let n = 0; n < 900; n++) window.add(1_000_000 + n, n % 9);
    for (let n = 0; n < 3_000; n++) {
      window.add(n, 100);
      for (let back = 0; back < 400; back += 57) if (n >= back) expect(window.has(n - back)).toBe(true);
    }
  });

  test("forgets the oldest if there are more devices than it has room for", () => {
    const window = new RedeliveryWindow(100);
    for (let n = 0; n < 1_000; n++) window.add(n, n);
    expect([899, 900, 999].map((print) => window.has(print))).toEqual([false, true, true]);
  });

  test("answers the same however seldom it is asked", () => {
    const [asked, forgotten] = [new RedeliveryWindow(50), new RedeliveryWindow(50)];
    const printOf = (n: number) => ((n * 7_919) % 37) * 65_536 + (n % 3);
    for (let n = 0; n < 1_000; n++) {
      for (const window of [asked, forgotten])
        window.add(printOf(n) + (n % 11 === 0 ? n * 2 ** 30 : 0), n % 7);
      const known = Array.from({ length: 111 }, (_, print) => asked.has(printOf(print)));
      const contents = Array.from({ length: 37 }, (_, print) => asked.holdsContent(print * 65_536));
      if (n % 171 > 2) continue;
      expect(known.map((_, print) => forgotten.has(printOf(print)))).toEqual(known);
      expect(contents.map((_, print) => forgotten.holdsContent(print * 65_536))).toEqual(contents);
    }
  });

  test.each([37, 1_000, 1_037])(
    "is the same after a restart, and forgets the same next: %d packets",
    (count) => {
      const window = new RedeliveryWindow(100);
      for (let n = 0; n < count; n++) window.add(n, n % 100 === 0 ? 7 : 8);
      const again = new RedeliveryWindow(100, window.pairs());
      for (let n = count; n < count + 80; n++) {
        expect(again.pairs()).toEqual(window.pairs());
        expect(window.pairs().at(-2)).toBe(n - 1);
        for (const each of [window, again]) each.add(n, 8);
      }
    },
  );

  test("a fingerprint is a safe integer that changes with sender, packet, topic and every byte", () => {
    const message = aDeviceMessage(1, "a");
    const others = [
      { ...message, sender: "x" },
      { ...message, packetId: 2 },
      { ...message, topic: `${message.topic}x` },
      { ...message, payload: new TextEncoder().encode('{"n":2}') },
    ];
    expect(Number.isSafeInteger(redeliveryKey(message))).toBe(true);
    const again: TestMessage = { ...message, dup: true, receivedMs: 5 };
    expect(redeliveryKey(again)).toBe(redeliveryKey(message));
    expect(new Set([message, ...others].map(redeliveryKey)).size).toBe(5);
  });
});

describe("a sender whose address is kept", () => {
  /** Each asked twice: what the first finds is kept. */
  const twice = <T>(ask: () => T): T[] => [ask(), ask()];

  test("has the keys that it had before, so that the window of an earlier run knows them", () => {
    for (const deviceId of ["kept-1", "kept-2"]) {
      const message = { ...aDeviceMessage(1, deviceId), sender: "" };
      const before = redeliveryKey(message);
      addresses.keep(new Address(message.topic, "acme", deviceId, "telemetry", true));
      expect(twice(() => redeliveryKey(message))).toEqual([before, before]);
    }
  });

  test("has the share that it had before, each device its own, and what proved nothing the one of all such", () => {
    const owners = [anEntry(), anEntry({ deviceId: "other" }), anEntry({ tenantId: "other" })].map(
      (event) => {
        const address = new Address(event.topic, event.tenantId, event.deviceId, event.msgType, true);
        const before = ownerOf(event);
        expect(twice(() => ownerOf({ ...event, address }))).toEqual([before, before]);
        return before;
      },
    );
    owners.push(ownerOf(anEntry({ kind: "reject" })));
    expect(owners.at(-1)).toBe(unproven);
    expect(new Set(owners).size).toBe(4);
  });

  test("has no share that the window cannot note, nor that of what proved nothing", () => {
    const event = anEntry();
    const owners = new Set<number>();
    for (let n = 0; n < 300_000; n++) owners.add(ownerOf({ ...event, deviceId: `d${n}` }));
    const inOrder = [...owners].toSorted((a, b) => a - b);
    expect([inOrder.at(0), inOrder.at(-1)]).toEqual([1, 65_535]);
  });
});

describe("retained messages", () => {
  const copy = (n: number, deviceId = "a") => ({ ...aDeviceMessage(n, deviceId), retained: true });

  test("are known by topic and bytes, whatever the packet, and by the last live one of their topic", () => {
    const topics = new RetainedTopics([]);
    expect(topics.note(aDeviceMessage(1, "a"))).toEqual([]);
    expect(topics.holds(copy(1))).toBe(false);
    const kept = topics.note(copy(1));
    expect(kept).toHaveLength(1);
    const restarted = new RetainedTopics(kept.map(([topic, content]) => [topic, content ?? 0]));
    const again: TestMessage = { ...copy(1), packetId: 77 };
    expect(restarted.holds(again)).toBe(true);
    expect([copy(2), copy(1, "b")].map((message) => restarted.holds(message))).toEqual([false, false]);
    expect(restarted.note(aDeviceMessage(2, "a"))).toHaveLength(1);
    expect([1, 2].map((n) => restarted.holds(copy(n)))).toEqual([false, true]);
  });

  test("at our own broker are those with the flag, and no others", () => {
    const topics = new RetainedTopics([]);
    expect(topics.note({ ...aDeviceMessage(1, "a"), mayBeRetained: true })).toHaveLength(1);
    expect(topics.note({ ...aDeviceMessage(2, "a"), mayBeRetained: false })).toEqual([]);
    expect([1, 2].map((n) => topics.holds(aDeviceMessage(n, "a")))).toEqual([true, false]);
  });

  test("on a topic that all devices share are known of each device by itself", () => {
    const topics = new RetainedTopics([]);
    const from = (deviceId: string) => ({
      ...aDeviceMessage(1, "a"),
      topic: "v1/devices/me/telemetry",
      mayBeRetained: true,
      speaker: { tenantId: "acme", deviceId },
    });
    topics.note(from("d1"));
    expect(["d1", "d2"].map((deviceId) => topics.holds(from(deviceId)))).toEqual([true, false]);
    topics.note(from("d2"));
    expect(["d1", "d2"].map((deviceId) => topics.holds(from(deviceId)))).toEqual([true, true]);
  });

  test("are remembered for a bounded number of topics: the quietest is forgotten, on disk too", () => {
    const topics = new RetainedTopics([]);
    for (let n = 0; n < retainedTopicsMax; n++) topics.note(copy(1, `d${n}`));
    topics.note(aDeviceMessage(2, "d0"));
    const rows = topics.note(copy(1, "one more"));
    expect(rows.map(([, content]) => content === null)).toEqual([false, true]);
    expect(topics.holds(copy(2, "d0"))).toBe(true);
    expect(topics.holds(copy(1, "d1"))).toBe(false);
  });

  test("whose original came live are recognised by the window, as long as it holds the original", () => {
    const window = new RedeliveryWindow(2);
    const [heard, other] = [redeliveryKey(aDeviceMessage(1, "a")), redeliveryKey(aDeviceMessage(2, "a"))];
    const copied = redeliveryKey({ ...copy(1), packetId: 9 });
    window.add(heard, 1);
    expect(window.holdsContent(copied)).toBe(true);
    expect(window.holdsContent(other)).toBe(false);
    for (const print of [other, other]) window.add(print, 1);
    expect(window.holdsContent(copied)).toBe(false);
    expect(window.holdsContent(other)).toBe(true);
  });
});

describe("dead letters", () => {
  test("keep the entry and the downstream system's words across a restart, once per sink, start and seq", () => {
    const dataDir = kit.dir();
    const clock = simulatedClock(5_000);
    const first = kit.spool({ dataDir, clock });
    const entry = anEntry({ seq: 7, payload: '{"a":1.0}' });
    for (const sink of ["postgres", "influx", "influx"])
      first.deadLetters.put(sink, "epoch-1", entry, "w".repeat(5_000));
    first.deadLetters.put("influx", "epoch-2", entry, "again");
    kit.close(first);
    const { deadLetters } = kit.spool({ dataDir });
    expect(deadLetters.totals().count).toBe(3);
    const [letter] = deadLetters.list({ limit: 10, sink: "postgres" });
    expect(letter).toMatchObject({ sink: "postgres", refusedMs: 5_000, why: "w".repeat(2_000), entry });
  });

  test("are listed page by page and by device, and can be taken out", () => {
    const { deadLetters } = kit.spool();
    for (let seq = 1; seq <= 5; seq++)
      deadLetters.put("influx", "e", anEntry({ seq, deviceId: seq % 2 === 0 ? "even" : "odd" }), "no");
    const seqs = (filter: Parameters<typeof deadLetters.list>[0]) =>
      deadLetters.list(filter).map((letter) => letter.entry.seq);
    expect(seqs({ limit: 2 })).toEqual([1, 2]);
    expect(seqs({ limit: 2, after: deadLetters.list({ limit: 2 }).at(-1)?.id ?? 0 })).toEqual([3, 4]);
    expect(seqs({ limit: 9, deviceId: "odd" })).toEqual([1, 3, 5]);
    expect(seqs({ limit: 9, tenantId: "nobody" })).toEqual([]);
    const [first, second] = deadLetters.list({ limit: 2 });
    expect(deadLetters.get(first?.id ?? 0)?.entry.seq).toBe(1);
    deadLetters.remove([first?.id ?? 0, second?.id ?? 0]);
    expect(deadLetters.get(first?.id ?? 0)).toBeUndefined();
    expect(seqs({ limit: 9 })).toEqual([3, 4, 5]);
  });
});
