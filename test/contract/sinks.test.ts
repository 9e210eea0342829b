/** The promises of every sink (src/core/sink.ts), tested on each. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { explain, silentLog } from "../../src/core/log/log.ts";
import { sinkBatchBytesMax, type Delivery, type Sink, type SinkKind } from "../../src/core/sink.ts";
import { SINKS } from "../../src/sink/index.ts";
import { Drain } from "../../src/drain/drain.ts";
import { deferred, delivery, deliverAll, event, events, noTotals, plus, reject } from "./entries.ts";
import { emptyRecord, spoolKit } from "../kit/spool.ts";
import { until } from "../kit/until.ts";
import { fixtures, patientMs, type OpenSink, type SinkFixture } from "./fixtures.ts";

setDefaultTimeout(60_000);

for (const fixture of fixtures) {
  const { name, unavailable } = fixture;
  const title = unavailable === "" ? `the ${name} sink` : `the ${name} sink (skipped: ${unavailable})`;
  describe.skipIf(unavailable !== "")(title, () => suite(fixture));
}

function suite(fixture: SinkFixture): void {
  let open: OpenSink;
  /** Of what was stored, what is there in the end: all entries are of one device and metric. */
  const kept = (seqs: readonly number[]) => (fixture.latest ? seqs.slice(-1) : [...seqs]);
  beforeEach(async () => {
    open = await fixture.open(patientMs);
  });
  afterEach(() => open.stop());

  test("says its name and its bounds", () => {
    const { sink } = open;
    expect(sink.name).toBe(fixture.name);
    expect(sink.batchMax).toBeGreaterThan(0);
    expect(sink.batchBytesMax).toBeGreaterThan(0);
    expect(sink.lingerMs).toBeGreaterThanOrEqual(0);
    expect(sink.deadlineMs).toBeGreaterThan(0);
  });

  test("says in one sentence that its downstream system can be used", async () => {
    expect(await open.sink.probe()).toMatch(/\S/);
  });

  test("stores every event once and accounts for every entry", async () => {
    const entries = [...events(1, 20), reject(21), deferred(22), event(23), reject(24, { payload: "" })];
    const { outcome, refused } = await deliverAll(open.sink, entries);
    expect(outcome.delivered + outcome.ignored + outcome.refused).toBe(entries.length);
    expect(outcome.refused).toBe(0);
    expect(refused.size).toBe(0);
    expect(await open.stored()).toEqual(kept([...events(1, 20), event(23)].map((e) => e.seq)));
  });

  test("describes every field that only it has in /stats, and no other", () => {
    const kinds: readonly SinkKind[] = SINKS;
    const { counts = {} } = kinds.find(({ name }) => name === fixture.name) ?? {};
    expect(Object.keys(open.sink.stats?.() ?? {}).toSorted()).toEqual(Object.keys(counts).toSorted());
    expect(Object.keys(counts)).toEqual(expect.arrayContaining([...(open.sink.counters ?? [])]) as string[]);
  });

  test("requests no larger batches than the bounds of memory assume", () => {
    expect(open.sink.batchBytesMax).toBeLessThanOrEqual(sinkBatchBytesMax);
  });

  test("gets from a drain what is for it, and the rest counts as ignored", async () => {
    const kit = spoolKit();
    const spool = kit.spool({ clock: systemClock });
    const forAnother = { target: "another", quarantineId: null };
    const entries = [event(1), deferred(2), event(3, { returned: forAnother }), event(4), deferred(5)];
    spool.append(entries, emptyRecord);
    const seen: Entry[] = [];
    const deliver = (given: Delivery) => {
      seen.push(...given.entries);
      return open.sink.deliver(given);
    };
    const watched = Object.create(open.sink, { deliver: { value: deliver } }) as Sink;
    const drain = new Drain({ sink: watched, spool, clock: systemClock, log: silentLog });
    drain.start();
    await until(() => drain.stats().waiting === 0);
    expect(drain.stats()).toMatchObject({ delivered: 2, ignored: 3, refused: 0, trouble: null });
    expect(await open.stored()).toEqual(kept([1, 4]));
    if (!fixture.positions) expect(seen.map(({ seq }) => seq)).toEqual([1, 4]);
    await drain.stop(0);
    kit.clear();
  });

  test("takes any text in names and values, or refuses it by name", async () => {
    const hostile = [
      "\\",
      "\\N",
      "\\.",
      "tab\there",
      "new\nline",
      "\r",
      '"quoted"',
      "a,b=c d",
      "ünïcödé 🌊",
      "'",
    ];
    const entries = hostile.map((text, i) =>
      event(i + 1, {
        siteId: text,
        payload: JSON.stringify({ site_id: text, metrics: { n: i + 1, [`m${text}`]: text } }),
      }),
    );
    const { refused } = await deliverAll(open.sink, entries);
    const stored = await open.stored();
    // A database's columns take any text; line protocol cannot spell some names.
    if (fixture.positions) expect(refused.size).toBe(0);
    expect([...stored, ...refused.keys()].sort((a, b) => a - b)).toEqual(kept(entries.map((e) => e.seq)));
  });

  test("stores the same when the same entries come again", async () => {
    const first = await deliverAll(open.sink, events(1, 10));
    const again = await deliverAll(open.sink, events(1, 10));
    expect(again.outcome).toEqual(first.outcome);
    expect(await open.stored()).toEqual(kept(events(1, 10).map((e) => e.seq)));
  });

  test("continues after a restart", async () => {
    await deliverAll(open.sink, events(1, 10));
    const before = { ...noTotals, delivered: 10 };
    await deliverAll(await open.reopen(), events(11, 15), { before });
    expect(await open.stored()).toEqual(kept(events(1, 15).map((e) => e.seq)));
  });

  // Promises that a sink does not make are not tested.
  const withPositions = fixture.positions ? test : () => {};
  withPositions("tells its position with the totals, and none for an epoch it has not seen", async () => {
    await deliverAll(open.sink, [event(1), deferred(2), event(3)]);
    const totals = { delivered: 2, ignored: 1, refused: 0, skipped: 0 };
    const restarted = await open.reopen();
    expect(await restarted.positions?.(["another", "epoch-1"])).toEqual([
      { epoch: "epoch-1", seq: 3, totals },
    ]);
  });

  withPositions("writes only the rest when a part of the batch is in already", async () => {
    await deliverAll(open.sink, events(1, 6));
    const { outcome } = await deliverAll(await open.reopen(), events(1, 10));
    expect(outcome).toEqual({ delivered: 10, ignored: 0, refused: 0 });
    expect(await open.stored()).toEqual(events(1, 10).map((e) => e.seq));
  });

  withPositions("keeps the epochs of a spool apart", async () => {
    const first = await deliverAll(open.sink, events(1, 5), { epoch: "a" });
    const before = plus(noTotals, first.outcome);
    await deliverAll(open.sink, events(6, 8), { epoch: "b", before });
    const positions = await open.sink.positions?.(["a", "b"]);
    expect(positions?.map((p) => [p.epoch, p.seq, p.totals.delivered]).sort()).toEqual([
      ["a", 5, 5],
      ["b", 8, 8],
    ]);
  });

  withPositions("does not write where the totals do not fit what is stored", async () => {
    await deliverAll(open.sink, events(1, 5), { epoch: "a" });
    const wrong = delivery(events(1, 3), { epoch: "a", before: { ...noTotals, delivered: 9 } });
    expect(await open.sink.deliver(wrong).catch(explain)).toContain("does not fit");
    expect(await open.stored()).toEqual([1, 2, 3, 4, 5]);
  });

  for (const [what, seqs] of Object.entries({ fewer: 2, "as many": 4, more: 6 })) {
    withPositions(
      `stores nothing under the start that another gateway with the same memory went on with: ${what} entries than that`,
      async () => {
        await open.sink.positions?.(["a"]);
        const first = await deliverAll(open.sink, events(1, 5), { epoch: "a" });
        const before = plus(noTotals, first.outcome);
        await deliverAll(await open.reopen(), events(6, 9), { epoch: "a", before });
        const ours = events(6, 5 + seqs).map((entry) => ({ ...entry, payload: '{"metrics":{"n":99}}' }));
        expect(await open.sink.deliver(delivery(ours, { epoch: "a", before })).catch(explain)).toBeString();
        const [position] = (await open.sink.positions?.(["a"])) ?? [];
        expect(position).toMatchObject({ epoch: "a", seq: 9, isAnothers: true });
        const later = await deliverAll(open.sink, ours, { epoch: "b", before });
        expect(later.outcome.delivered).toBe(seqs);
        expect(await open.stored()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, ...ours.map(() => 99)]);
      },
    );
  }

  const withOutages = fixture.outages ? test : () => {};
  for (const mode of ["refuse", "hang"] as const) {
    withOutages(`is out while its downstream system would ${mode}, and continues by itself`, async () => {
      await open.stop();
      open = await fixture.open(2_000);
      await until(() => deliverAll(open.sink, events(1, 3)));
      open.far?.(mode);
      const before = { ...noTotals, delivered: 3 };
      const failed = await open.sink.deliver(delivery(events(4, 6), { before })).catch(explain);
      expect(failed).toBeString();
      await expect(open.sink.probe()).rejects.toThrow();
      open.far?.("pass");
      await until(() => deliverAll(open.sink, events(4, 6), { before }));
      expect(await open.stored()).toEqual(kept([1, 2, 3, 4, 5, 6]));
    });
  }

  const withPoison = fixture.poison ? test : () => {};
  withPoison("refuses what is never taken, with reasons, and stores the rest", async () => {
    const entries = [event(1), event(2, fixture.poison), event(3), event(4, fixture.poison), ...events(5, 9)];
    const { outcome, refused } = await deliverAll(open.sink, entries);
    expect(outcome).toEqual({ delivered: 7, ignored: 0, refused: 2 });
    expect([...refused.keys()].sort()).toEqual([2, 4]);
    expect([...refused.values()].join()).toMatch(/\w/);
    expect(await open.stored()).toEqual(kept([1, 3, 5, 6, 7, 8, 9]));
  });
}
