/** Requeued entries at the sinks with tables: for one sink alone, and in place of a quarantined row. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { delivery, event, reject } from "./entries.ts";
import { fixtures, patientMs, type OpenSink } from "./fixtures.ts";

for (const fixture of fixtures.filter(({ name }) => ["local", "postgres"].includes(name))) {
  const title = fixture.unavailable ? `${fixture.name} (skipped: ${fixture.unavailable})` : fixture.name;
  describe.skipIf(fixture.unavailable !== "")(title, () => {
    let it: OpenSink;
    beforeEach(async () => {
      it = await fixture.open(patientMs);
    });
    afterEach(() => it.stop());

    const receivedMs = 1_789_000_000_777;
    const inPlaceOf = (seq: number, quarantineId: number, ms = receivedMs) =>
      event(seq, { receivedMs: ms, returned: { target: null, quarantineId } });

    test("an entry for another sink alone is ignored, one for this sink is stored", async () => {
      const entries = [
        event(1, { returned: { target: "elsewhere", quarantineId: null } }),
        event(2, { returned: { target: fixture.name, quarantineId: null } }),
        reject(3, { returned: { target: "elsewhere", quarantineId: null } }),
      ];
      expect(await it.sink.deliver(delivery(entries))).toEqual({ delivered: 1, ignored: 2, refused: 0 });
      expect(await it.stored()).toEqual([2]);
    });

    test("an event in place of a quarantined row is stored once, however often it is replayed", async () => {
      const first = delivery([reject(1, { receivedMs }), event(2)]);
      expect((await it.sink.deliver(first)).delivered).toBe(2);
      const before = { delivered: 2, ignored: 0, refused: 0, skipped: 0 };
      const twice = delivery([inPlaceOf(3, 1), inPlaceOf(4, 1), event(5)], { before });
      expect(await it.sink.deliver(twice)).toEqual({ delivered: 2, ignored: 1, refused: 0 });
      // The answer was lost and the same batch comes again.
      expect(await it.sink.deliver(twice)).toEqual({ delivered: 2, ignored: 1, refused: 0 });
      const again = delivery([inPlaceOf(6, 1)], { before: { ...before, delivered: 4, ignored: 1 } });
      expect(await it.sink.deliver(again)).toEqual({ delivered: 0, ignored: 1, refused: 0 });
      expect(await it.stored()).toEqual([2, 3, 5]);
    });

    test("two gateways that replay the same row store it once", async () => {
      await it.sink.deliver(delivery([reject(1, { receivedMs })]));
      const other = await it.reopen();
      const outcomes = await Promise.all([
        it.sink.deliver(delivery([inPlaceOf(1, 1)], { epoch: "a" })),
        other.deliver(delivery([inPlaceOf(1, 1)], { epoch: "b" })),
      ]);
      expect(outcomes.map(({ delivered }) => delivered).sort()).toEqual([0, 1]);
      expect(await it.stored()).toEqual([1]);
    });

    test("a row of the same id that came at another time is another message, and stays", async () => {
      await it.sink.deliver(delivery([reject(1, { receivedMs })]));
      const before = { delivered: 1, ignored: 0, refused: 0, skipped: 0 };
      const wrong = delivery([inPlaceOf(2, 1, receivedMs + 1)], { before });
      expect(await it.sink.deliver(wrong)).toEqual({ delivered: 0, ignored: 1, refused: 0 });
      const right = delivery([inPlaceOf(3, 1)], { before: { ...before, ignored: 1 } });
      expect((await it.sink.deliver(right)).delivered).toBe(1);
    });
  });
}
