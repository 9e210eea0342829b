/** Requeued entries at the intake: they follow the open group, at once or not at all, and the books balance. */
import { afterEach, describe, expect, test } from "bun:test";
import { Books } from "../../../src/intake/books.ts";
import { aDeviceMessage, aRegistry, intake, numberOf } from "../../kit/intake.ts";
import { anEntry, readAll, spoolKit } from "../../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const registry = () => aRegistry(["d1"]);
const back = (n: number) => anEntry({ payload: `{"n":${n}}`, returned: { target: null, quarantineId: n } });
const replayed = (books: Books) => books.replay();
const acceptedAnew = (books: Books) => {
  books.receive();
  books.count(anEntry());
};

describe("a requeued entry", () => {
  test("follows the open group, whose messages are durable, and is counted with it", () => {
    const it = intake(kit, registry());
    it.cached.add("d1");
    it.port.receive(aDeviceMessage(1, "d1"));
    it.ingest.requeue([back(2)], acceptedAnew);
    expect(readAll(it.spool).map(({ payload }) => numberOf(payload))).toEqual([1, 2]);
    expect(it.durable).toHaveLength(1);
    expect(it.books.totals()).toMatchObject({ received: 2, accepted: 2 });
    expect(it.balanced()).toBe(true);
  });

  test("leaves messages that wait for a look-up out of the books on the disk", () => {
    const it = intake(kit, registry());
    it.port.receive(aDeviceMessage(1, "d1"));
    it.ingest.requeue([back(2)], replayed);
    expect(it.balanced()).toBe(true);
    const kept = new Books(it.spool.sidecar.books());
    expect(kept.totals().received).toBe(0);
    expect([kept.spooled, kept.balancedWith(0)]).toEqual([1, true]);
    it.answer();
    it.ingest.flush();
    expect(it.books.totals()).toMatchObject({ received: 1, accepted: 1 });
    expect(it.balanced()).toBe(true);
  });

  test("is an error while the intake is held, and nothing is changed or counted", () => {
    const it = intake(kit, registry());
    it.cached.add("d1");
    it.spool.deadLetters.put("influx", "e", anEntry({ seq: 1 }), "no");
    it.state.full = true;
    expect(() => it.ingest.requeue([back(1)], replayed, [1])).toThrow("the spool is full");
    expect(it.ingest.held).toBeNull();
    it.port.receive(aDeviceMessage(2, "d1"));
    expect(() => it.ingest.requeue([back(1)], replayed, [1])).toThrow("nothing can be replayed now");
    expect([it.books.spooled, it.spool.deadLetters.totals().count, it.balanced()]).toEqual([1, 1, true]);
    it.state.full = false;
    it.ingest.requeue([back(1)], replayed, [1]);
    expect([it.spool.head, it.spool.deadLetters.totals().count, it.balanced()]).toEqual([2, 0, true]);
  });

  test("whose dead letter is gone is an error as a whole", () => {
    const it = intake(kit, registry());
    expect(() => it.ingest.requeue([back(1)], replayed, [7])).toThrow("dead letter 7 is gone");
    expect([it.spool.head, it.books.spooled, it.balanced()]).toEqual([0, 0, true]);
  });

  test("is no more to the books than what is on the disk, also if a source speaks as soon as the group before is there", () => {
    const it = intake(kit, registry());
    it.cached.add("a");
    let n = 1;
    it.state.onDurable = () => {
      if (n < 3) it.port.receive(aDeviceMessage(++n, "a"));
    };
    it.port.receive(aDeviceMessage(n, "a"));
    it.ingest.requeue([back(1)], replayed);
    expect([it.spool.head, it.ingest.openEntries.length, it.balanced()]).toEqual([4, 0, true]);
    expect(it.spool.sidecar.books().get("accepted")).toBe(3);
  });

  test("survives a restart, books and all", () => {
    const it = intake(kit, registry());
    it.ingest.requeue([back(1), back(2)], (books) => {
      replayed(books);
      replayed(books);
    });
    kit.close(it.spool);
    const again = intake(kit, registry(), it.dataDir);
    expect([again.books.replayed, again.spool.head, again.balanced()]).toEqual([2, 2, true]);
    expect(readAll(again.spool)[1]?.returned).toEqual({ target: null, quarantineId: 2 });
  });
});
