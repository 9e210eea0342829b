/** The redelivery window in memory, and the dead letters beside the groups. */
import { afterEach, describe, expect, test } from "bun:test";
import { fingerprint, RedeliveryWindow } from "../../src/spool/redelivery.ts";
import { simulatedClock } from "../kit/clock.ts";
import { aDeviceMessage } from "../kit/intake.ts";
import { anEntry, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

describe("the redelivery window", () => {
  test("knows the last `size` packets and no more", () => {
    const window = new RedeliveryWindow(3);
    for (const print of [1, 2, 3, 4]) window.add(print);
    expect([1, 2, 3, 4].map((print) => window.has(print))).toEqual([false, true, true, true]);
  });

  test("knows a packet that is in it twice until both have left", () => {
    const window = new RedeliveryWindow(3);
    for (const print of [1, 1, 2]) window.add(print);
    window.add(3);
    expect(window.has(1)).toBe(true);
    window.add(4);
    expect(window.has(1)).toBe(false);
  });

  test("a fingerprint is a safe integer that changes with sender, packet, topic and every byte", () => {
    const message = aDeviceMessage(1, "a");
    const others = [
      { ...message, sender: "x" },
      { ...message, packetId: 2 },
      { ...message, topic: `${message.topic}x` },
      { ...message, payload: new TextEncoder().encode('{"n":2}') },
    ];
    expect(Number.isSafeInteger(fingerprint(message))).toBe(true);
    expect(fingerprint({ ...message, dup: true, receivedMs: 5 })).toBe(fingerprint(message));
    expect(new Set([message, ...others].map(fingerprint)).size).toBe(5);
  });
});

describe("dead letters", () => {
  test("keep the entry and the far side's words over a restart, once for each sink, start and seq", () => {
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
