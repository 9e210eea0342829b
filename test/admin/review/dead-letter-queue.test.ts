/** Replayed dead letters: to the sink that refused them and no other, once, whatever crashes. */
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Books } from "../../../src/intake/books.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { NotNow, type Selection } from "../../../src/admin/review/review-queue.ts";
import { createDeadLetterQueue } from "../../../src/admin/review/dead-letter-queue.ts";
import { Drain } from "../../../src/drain/drain.ts";
import type { Sink } from "../../../src/core/sink.ts";
import { lettersMax, open } from "../../kit/replay-writer.ts";
import { anEntry, entries, readAll, spoolKit } from "../../kit/spool.ts";
import { until } from "../../kit/until.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const all: Selection = { after: 0, dry_run: false };

/** A downstream system that refuses while `refuses` is set, and takes everything otherwise. */
function farSide(name: string) {
  const it = { refuses: true, got: [] as string[] };
  const sink: Sink = {
    name,
    batchMax: 10,
    batchBytesMax: 1_000_000,
    lingerMs: 0,
    deadlineMs: 5_000,
    whenFull: "hold",
    deliver({ entries: some, refuse }) {
      for (const entry of some) {
        if (it.refuses) refuse([{ entry, why: "not of a type that I take" }]);
        else it.got.push(entry.payload);
      }
      const n = some.length;
      return Promise.resolve({ delivered: it.refuses ? 0 : n, ignored: 0, refused: it.refuses ? n : 0 });
    },
    probe: () => Promise.resolve("ok"),
    close: () => Promise.resolve(),
  };
  return { it, sink };
}

function site() {
  const spool = kit.spool({ clock: systemClock });
  const books = new Books(new Map());
  const [picky, easy] = [farSide("picky"), farSide("easy")];
  easy.it.refuses = false;
  const drains = [picky, easy].map(
    ({ sink }) => new Drain({ sink, spool, clock: systemClock, log: silentLog }),
  );
  for (const drain of drains) drain.start();
  let isHeld = false;
  const queue = createDeadLetterQueue({
    deadLetters: spool.deadLetters,
    sinks: ["picky", "easy"],
    requeue(some, letters) {
      if (isHeld) throw new Error("the disk is full");
      for (const _ of some) books.replay();
      spool.append(some, { books: books.toKeep(0), deadLetterIds: letters });
    },
  });
  return {
    spool,
    books,
    picky: picky.it,
    easy: easy.it,
    drains,
    queue,
    hold: (held: boolean) => void (isHeld = held),
    accept(n: number) {
      const some = entries(n);
      for (const entry of some) {
        books.receive();
        books.count(entry);
      }
      spool.append(some, { books: books.toKeep(0) });
    },
    settled: () => until(() => drains.every((drain) => drain.stats().waiting === 0)),
    async stop() {
      for (const drain of drains) await drain.stop(1_000);
    },
  };
}

describe("replay", () => {
  test("delivers again what a sink refused, to that sink alone, and the books balance", async () => {
    const it = site();
    it.accept(5);
    await it.settled();
    expect((await it.queue.list({ after: 0, limit: 10 })).map(({ sink, why }) => [sink, why])).toEqual(
      Array.from({ length: 5 }, () => ["picky", "not of a type that I take"]),
    );
    it.picky.refuses = false;
    expect(await it.queue.replay({ ...all, dry_run: true })).toMatchObject({ matched: 5, done: 5 });
    expect(it.spool.head).toBe(5);
    expect(await it.queue.replay(all)).toMatchObject({ matched: 5, done: 5, kept: [], next: null });
    await it.settled();
    expect(it.picky.got.sort()).toEqual([1, 2, 3, 4, 5].map((n) => `{"n":${n}}`));
    expect(it.easy.got).toHaveLength(5);
    expect(it.drains[1]?.stats()).toMatchObject({ delivered: 5, ignored: 5, spooled: 10 });
    expect(it.drains[0]?.stats()).toMatchObject({ delivered: 5, refused: 5, spooled: 10 });
    expect([it.spool.deadLetters.totals().count, it.books.spooled, it.books.balancedWith(0)]).toEqual([
      0,
      10,
      true,
    ]);
    await it.stop();
  });

  test("of what is refused again makes a new dead letter, beyond `up_to`", async () => {
    const it = site();
    it.accept(2);
    await it.settled();
    const first = await it.queue.replay(all);
    await it.settled();
    expect(await it.queue.replay({ ...all, up_to: first.up_to })).toMatchObject({ matched: 0 });
    expect((await it.queue.list({ after: 0, limit: 10 })).map(({ id }) => id)).toEqual([3, 4]);
    await it.stop();
  });

  test("keeps dead letters of a sink that the settings do not name, and says so", async () => {
    const it = site();
    it.spool.deadLetters.put("kafka", "e", anEntry({ seq: 1 }), "too large");
    const outcome = await it.queue.replay(all);
    expect(outcome).toMatchObject({
      matched: 1,
      done: 0,
      kept: [{ id: 1, why: expect.stringContaining("kafka") }],
    });
    expect(it.spool.deadLetters.totals().count).toBe(1);
    await it.stop();
  });

  test("changes nothing while nothing can be spooled, and may be tried again", async () => {
    const it = site();
    it.accept(2);
    await it.settled();
    it.hold(true);
    expect(it.queue.replay(all)).rejects.toBeInstanceOf(NotNow);
    it.spool.deadLetters.remove = () => {
      throw new Error("the disk is full");
    };
    expect(await it.queue.discard(all).catch((error: unknown) => error)).toBeInstanceOf(NotNow);
    expect(it.spool.deadLetters.totals().count).toBe(2);
    it.hold(false);
    expect(await it.queue.replay(all)).toMatchObject({ done: 2 });
    await it.stop();
  });

  test("and discard go by sink, tenant, device, time and id, a batch at a time", async () => {
    const it = site();
    const put = (n: number, tenantId: string) =>
      it.spool.deadLetters.put("easy", "e", anEntry({ seq: n, tenantId, deviceId: `d${n % 2}` }), "no");
    for (let n = 1; n <= 150; n++) put(n, n <= 120 ? "a" : "b");
    const matched = async (filter: Partial<Selection>) =>
      (await it.queue.discard({ ...all, ...filter, dry_run: true })).matched;
    expect(await matched({ tenant: "b" })).toBe(30);
    expect(await matched({ tenant: "b", device: "d0" })).toBe(15);
    expect(await matched({ sink: "picky" })).toBe(0);
    expect(await matched({ ids: [3, 149, 1_000] })).toBe(2);
    expect(await matched({ since: "2100-01-01T00:00:00Z" })).toBe(0);
    const first = await it.queue.discard({ ...all, tenant: "a" });
    expect(first).toMatchObject({ matched: 100, done: 100, next: 100 });
    const rest = await it.queue.discard({ ...all, tenant: "a", after: first.next ?? 0, up_to: first.up_to });
    expect(rest).toMatchObject({ matched: 20, next: null });
    expect(it.spool.deadLetters.totals().count).toBe(30);
    await it.stop();
  });
});

test("killed with -9 at any moment: every dead letter is still there, or was replayed once", async () => {
  const dir = kit.dir();
  const script = join(import.meta.dir, "../../kit/replay-writer.ts");
  for (let kills = 0; kills < 4; kills++) {
    const child = Bun.spawn([process.execPath, script, dir], { stdio: ["ignore", "pipe", "inherit"] });
    const reader = child.stdout.getReader();
    let said = "";
    while (said.split("some").length < 40 * (kills + 1)) {
      const { value, done } = await reader.read();
      if (done) break;
      said += Buffer.from(value).toString();
    }
    child.kill("SIGKILL");
    await child.exited;
    const { spool } = open(dir);
    const letters = spool.deadLetters.list({ limit: lettersMax }).map(({ entry }) => entry.payload);
    const back = readAll(spool)
      .filter(({ returned }) => returned?.target === "influx")
      .map(({ payload }) => payload);
    expect([...letters, ...back].sort()).toEqual(
      entries(lettersMax)
        .map(({ payload }) => payload)
        .sort(),
    );
    expect(back.length).toBeGreaterThan(0);
    expect(new Books(spool.sidecar.books()).spooled).toBe(spool.head);
    spool.close();
  }
});
