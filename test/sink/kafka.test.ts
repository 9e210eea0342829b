/** The Kafka sink against a real broker: what it does when Kafka refuses, forgets, or another gateway takes its name. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { explain } from "../../src/core/log/log.ts";
import { Outage } from "../../src/core/outage.ts";
import { connectWire } from "../../src/kafka/wire.ts";
import { delivery, event, events, noTotals, plus } from "../contract/entries.ts";
import { sharedKafka, startKafka } from "../kit/kafka/broker.ts";
import { addPartitions, configure, deleteGroup, kafkaTestable, limit, proxied } from "../kit/kafka/client.ts";
import { kafkaSettingsOf } from "../kit/kafka/source.ts";
import { until } from "../kit/until.ts";
import { numbersOf, openKafka, type OpenKafka } from "../kit/kafka/sink.ts";

const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);
const huge = (seq: number) =>
  event(seq, { payload: JSON.stringify({ metrics: { n: seq, text: "x".repeat(5_000) } }) });

describe.skipIf(kafkaTestable() !== "")(`the Kafka sink (${kafkaTestable() || "real"})`, () => {
  let bootstrap = "";
  let kafka: OpenKafka;
  beforeAll(async () => {
    ({ bootstrap } = await sharedKafka());
  });
  beforeEach(async () => {
    kafka = await openKafka(bootstrap);
  });
  afterEach(() => kafka.close());

  test("writes a burst of one device, larger than a batch, into one partition", async () => {
    const entries = Array.from({ length: 300 }, (_, i) =>
      event(i + 1, { payload: JSON.stringify({ metrics: { n: i + 1, text: "y".repeat(8_000) } }) }),
    );
    expect((await kafka.open().deliver(delivery(entries))).delivered).toBe(300);
    const read = await kafka.events();
    expect(read.map(({ json }) => json.values[0])).toEqual(upTo(300));
  });

  test("what is too much for a slow line is sent in smaller batches until it gets through, and in larger ones again", async () => {
    const line = await proxied(bootstrap);
    const slow = await openKafka(bootstrap, { partitions: 1 }, line.bootstrap);
    try {
      const sink = slow.open({ env: { KAFKA_TIMEOUT_MS: "1000" } });
      const most = sink.batchMax;
      line.throttle(200_000);
      let totals = noTotals;
      for (let done = 0; done < 3_000;) {
        const some = events(done + 1, Math.min(3_000, done + sink.batchMax));
        const outcome = await sink.deliver(delivery(some, { before: totals })).catch(() => undefined);
        if (outcome === undefined) continue;
        expect(some.length).toBeLessThan(3_000);
        totals = plus(totals, outcome);
        done += some.length;
        line.throttle(Number.POSITIVE_INFINITY);
      }
      expect(numbersOf(await slow.events())).toEqual(upTo(3_000));
      for (let done = 3_000; sink.batchMax < most;) {
        const some = events(done + 1, done + sink.batchMax);
        totals = plus(totals, await sink.deliver(delivery(some, { before: totals })));
        done += some.length;
      }
    } finally {
      await slow.close();
      await line.stop();
    }
  }, 60_000);

  test("two gateways with the same id are slow, but nothing is lost or doubled", async () => {
    const [a, b] = [kafka.open({ gatewayId: "twice" }), kafka.open({ gatewayId: "twice" })];
    let before = noTotals;
    let fenced = 0;
    for (let first = 1; first <= 200; first += 20) {
      const entries = events(first, first + 19);
      // Both get the same entries, like two that run on copies of one spool.
      const tries = [a, b].map(async (sink) => {
        for (;;) {
          try {
            return await sink.deliver(delivery(entries, { before }));
          } catch (error) {
            fenced++;
            expect(explain(error)).toMatch(/another gateway uses the transactional id|Kafka/);
            await sink.positions?.(["epoch-1"]);
          }
        }
      });
      const [outcome = { delivered: 0, ignored: 0, refused: 0 }] = await Promise.all(tries);
      before = plus(before, outcome);
    }
    expect(numbersOf(await kafka.events())).toEqual(upTo(200));
    expect(fenced).toBeGreaterThan(0);
  });

  test("continues where it was after Kafka has forgotten the position", async () => {
    await kafka.open({ gatewayId: "away" }).deliver(delivery(events(1, 10)));
    await deleteGroup(bootstrap, "sluice-away");
    const again = kafka.open({ gatewayId: "away" });
    expect((await again.positions?.(["epoch-1"]))?.map(({ seq }) => seq)).toEqual([10]);
    expect(
      (await again.deliver(delivery(events(6, 15), { before: { ...noTotals, delivered: 5 } }))).delivered,
    ).toBe(10);
    expect(numbersOf(await kafka.events())).toEqual(upTo(15));
  });

  test("continues where it was after somebody has reset the offsets of its group", async () => {
    await kafka.open({ gatewayId: "reset" }).deliver(delivery(events(1, 10)));
    const group = "sluice-reset";
    const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap });
    const wire = await connectWire(settings, "test", systemClock);
    const [topic] = (await wire.topics([kafka.validated])).topics;
    if (topic === undefined) throw new Error("no topic");
    // As kafka-consumer-groups.sh --reset-offsets does.
    const node = await wire.coordinator("group", group);
    await wire.tellOffsets(node, [{ group, topic, partition: 0, offset: 12, words: "" }]);
    await wire.close();
    const again = kafka.open({ gatewayId: "reset" });
    expect((await again.positions?.(["epoch-1"]))?.map(({ seq }) => seq)).toEqual([10]);
  });

  test("has no position in a topic that was created anew, whatever is kept", async () => {
    await kafka.open({ gatewayId: "moved" }).deliver(delivery(events(1, 5)));
    const other = await openKafka(bootstrap);
    expect(
      await other.open({ gatewayId: "moved-2", dataDir: kafka.dataDir }).positions?.(["epoch-1"]),
    ).toEqual([]);
    await other.close();
  });

  test("commits the position again each day, so that Kafka does not forget it, also if its connection is gone", async () => {
    const line = await proxied(bootstrap);
    const far = await openKafka(bootstrap, {}, line.bootstrap);
    let shiftMs = 0;
    let tick = () => {};
    const clock = {
      ...systemClock,
      monoMs: () => systemClock.monoMs() + shiftMs,
      every(_ms: number, run: () => void) {
        tick = run;
        return { cancel() {} };
      },
    };
    const sink = far.open({ clock });
    await sink.deliver(delivery(events(1, 3)));
    const transactions = () => Number(sink.stats?.()["transactions"]);
    const before = transactions();
    tick();
    await Bun.sleep(200);
    expect(transactions()).toBe(before);
    line.cut();
    shiftMs = 25 * 3_600_000;
    tick();
    await until(() => transactions() > before);
    expect((await sink.positions?.(["epoch-1"]))?.[0]?.totals.delivered).toBe(3);
    await far.close();
    await line.stop();
  });

  test("sees within five minutes that a topic has more partitions, however much there is to do", async () => {
    const one = await openKafka(bootstrap, { partitions: 1 });
    let shiftMs = 0;
    const sink = one.open({ clock: { ...systemClock, monoMs: () => systemClock.monoMs() + shiftMs } });
    let before = noTotals;
    const send = async (seq: number) => {
      const entries = [event(seq, { deviceId: `d${seq}` })];
      before = plus(before, await sink.deliver(delivery(entries, { before })));
    };
    await send(1);
    await addPartitions(bootstrap, one.validated, 8);
    for (let seq = 2; seq <= 40; seq++) {
      shiftMs += 60_000;
      await send(seq);
    }
    const read = await one.events();
    expect(read.length).toBe(40);
    expect(new Set(read.map(({ partition }) => partition)).size).toBeGreaterThan(3);
    await one.close();
  });

  test("keeps the positions of many starts, the newest above all", async () => {
    const sink = kafka.open();
    let before = noTotals;
    for (let i = 1; i <= 60; i++) {
      const outcome = await sink.deliver(
        delivery([event(i)], { epoch: `0191f8c0-0000-7000-8000-${String(i).padStart(12, "0")}`, before }),
      );
      before = plus(before, outcome);
    }
    const asked = upTo(60).map((i) => `0191f8c0-0000-7000-8000-${String(i).padStart(12, "0")}`);
    const held = await sink.positions?.(asked);
    expect(held?.at(-1)?.seq).toBe(60);
    expect(held?.length).toBeGreaterThan(30);
  });

  test("refuses nothing while it cannot tell the record from the topic", async () => {
    const small = await openKafka(bootstrap, { configs: { "max.message.bytes": "2000" } });
    const sink = small.open();
    const all = [huge(1), huge(2)];
    const failed = await sink.deliver(delivery(all)).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Outage);
    expect(explain(failed)).toContain("max.message.bytes");
    // An entry behind them that is taken is the proof.
    const later = (seq: number) => (seq === 3 ? [event(3)] : []);
    const given = delivery(all, { later });
    expect(await sink.deliver(given)).toEqual({ delivered: 0, ignored: 0, refused: 2 });
    expect([...given.refused.keys()]).toEqual([1, 2]);
    expect(await small.events()).toEqual([]);
    await small.close();
  });

  test("waits as long as the broker says if it is over its quota, instead of running out of time", async () => {
    await limit(bootstrap, "producer", "sluice-bounded", 3_000);
    const sink = kafka.open({ gatewayId: "bounded", env: { KAFKA_TIMEOUT_MS: "1000" } });
    expect(await sink.deliver(delivery(events(1, 130)))).toMatchObject({ delivered: 130 });
    expect(sink.stats?.()).toMatchObject({ sessions: 1, transactions: 1 });
  });

  test("sends less at a time if its quota wants a longer rest than a transaction may last, and blames nobody else", async () => {
    await limit(bootstrap, "producer", "sluice-starved", 2_000);
    const sink = kafka.open({ gatewayId: "starved", env: { KAFKA_TRANSACTION_TIMEOUT_MS: "5000" } });
    const most = sink.batchMax;
    const failed = await sink.deliver(delivery(events(1, 1_000))).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Outage);
    expect((failed as Outage).message).toContain("producer_byte_rate");
    expect((failed as Outage).message).not.toContain("another gateway");
    expect((failed as Outage).retryAfterMs).toBeGreaterThan(5_000);
    expect(sink.batchMax).toBe(500);
    expect(most).toBeGreaterThan(1_000);
    await limit(bootstrap, "producer", "sluice-starved", 100_000_000);
    expect(await sink.deliver(delivery(events(1, 500)))).toMatchObject({ delivered: 500 });
    expect(numbersOf(await kafka.events())).toEqual(upTo(500));
  }, 200_000);

  test("blames nobody else for a transaction that is over before it is committed, as on a machine that was paused", async () => {
    const own = await startKafka({
      properties: ["transaction.abort.timed.out.transaction.cleanup.interval.ms=200"],
    });
    const line = await proxied(own.bootstrap);
    const paused = await openKafka(own.bootstrap, {}, line.bootstrap);
    const sink = paused.open({ env: { KAFKA_TRANSACTION_TIMEOUT_MS: "5000", KAFKA_TIMEOUT_MS: "20000" } });
    const endTransaction = 26;
    line.onSend((request) => {
      if (request.readInt16BE(4) === endTransaction) line.delay(8_000);
    });
    const failed = await sink.deliver(delivery(events(1, 10))).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Outage);
    expect(failed).toMatchObject({
      alarm: false,
      message: expect.stringContaining("KAFKA_TRANSACTION_TIMEOUT_MS") as string,
      cause: expect.any(Error) as Error,
    });
    line.onSend(() => {});
    line.delay(0);
    expect(await sink.deliver(delivery(events(1, 10)))).toMatchObject({ delivered: 10 });
    expect(numbersOf(await paused.events())).toEqual(upTo(10));
    await paused.close();
    await line.stop();
    await own.stop();
  }, 120_000);

  test("check names what takes nothing, since too few replicas are in sync", async () => {
    const few = await openKafka(bootstrap, { partitions: 2, configs: { "min.insync.replicas": "2" } });
    expect(await few.open().probe().catch(explain)).toContain(
      `fewer replicas are in sync than min.insync.replicas of partition 0 of ${few.validated}, 1 of ${few.validated}`,
    );
    for (const topic of [few.validated, few.rejected])
      await configure(bootstrap, topic, "min.insync.replicas", "1");
    expect(await until(() => few.open().probe())).toContain(few.rejected);
    await few.close();
  });

  test("says what to do about a transaction that the broker cannot end", async () => {
    const own = await startKafka();
    const tiny = await openKafka(own.bootstrap, { configs: { "max.message.bytes": "60" } });
    const sink = tiny.open({ env: { KAFKA_TIMEOUT_MS: "1000" } });
    const deliver = () => sink.deliver(delivery([event(1)])).catch((error: unknown) => error);
    expect(await deliver()).toBeInstanceOf(Outage);
    const failed = (await deliver()) as Outage;
    expect(failed.alarm).toBe(true);
    expect(failed.message).toContain("restart the broker that coordinates the transaction");
    expect(failed.message).toContain("min.insync.replicas");
    await tiny.close();
    await own.stop();
  });

  test("takes what arrived while this host's clock was ahead once that is right", async () => {
    const sink = kafka.open();
    const nowMs = Date.now();
    const entries = events(1, 9).map((entry) => ({
      ...entry,
      receivedMs: entry.seq % 3 === 0 ? nowMs + 86_400_000 : nowMs,
    }));
    const given = delivery(entries);
    expect(await sink.deliver(given)).toEqual({ delivered: 9, ignored: 0, refused: 0 });
    for (const { timestampMs } of await kafka.events()) expect(timestampMs).toBeLessThanOrEqual(Date.now());
  });

  test("finds the few that are too large among many, in a bounded number of tries", async () => {
    const small = await openKafka(bootstrap, { configs: { "max.message.bytes": "4000" } });
    const entries = events(1, 400).map((entry) => (entry.seq % 97 === 0 ? huge(entry.seq) : entry));
    const sink = small.open();
    const given = delivery(entries);
    expect(await sink.deliver(given)).toEqual({ delivered: 396, ignored: 0, refused: 4 });
    expect([...given.refused.keys()]).toEqual([97, 194, 291, 388]);
    expect(Number(sink.stats?.()["split"])).toBeLessThan(20);
    expect(numbersOf(await small.events())).toEqual(upTo(400).filter((n) => n % 97 !== 0));
    await small.close();
  });

  test("a missing topic is an alarm that names it", async () => {
    const sink = kafka.open({ env: { KAFKA_ERROR_TOPIC: "nowhere" } });
    const failed = (await sink.deliver(delivery([event(1)])).catch((error: unknown) => error)) as Outage;
    expect(failed.alarm).toBe(true);
    expect(failed.message).toContain("create the topic nowhere");
    expect(failed.message).not.toContain(kafka.validated);
    expect(await sink.probe().catch(explain)).toContain("nowhere");
  });

  test("an older cluster gets the older transaction", async () => {
    const old = await startKafka({ format: ["--feature", "transaction.version=0"] });
    // As brokers from 2.8 to 3.7.
    const line = await proxied(old.bootstrap, 9);
    const topics = await openKafka(old.bootstrap, {}, line.bootstrap);
    let before = noTotals;
    const sink = topics.open();
    for (const [first, last] of [
      [1, 50],
      [51, 120],
      [121, 130],
    ] as const)
      before = plus(before, await sink.deliver(delivery(events(first, last), { before })));
    const again = topics.open();
    expect((await again.positions?.(["epoch-1"]))?.[0]?.seq).toBe(130);
    expect(
      (await again.deliver(delivery(events(121, 140), { before: { ...noTotals, delivered: 120 } })))
        .delivered,
    ).toBe(20);
    expect(numbersOf(await topics.events())).toEqual(upTo(140));
    await topics.close();
    await line.stop();
    await old.stop();
  });

  test("goes on while no broker leads a partition that it writes nothing to, and names one that it waits for", async () => {
    const two = await startKafka({ brokers: 2 });
    const topics = await openKafka(two.bootstrap, { partitions: 2 });
    const sink = topics.open();
    const waits = /no broker leads partition [01] of t/;
    const devices = ["d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8"];
    await sink.deliver(delivery(devices.map((deviceId, i) => event(i + 1, { deviceId }))));
    await two.brokers[1]?.end("SIGKILL");
    await until(async () => expect(await sink.probe().catch(explain)).toMatch(waits), 60_000);
    let seq = devices.length;
    const deliver = (deviceId: string) =>
      sink.deliver(delivery([event(seq + 1, { deviceId })], { before: { ...noTotals, delivered: seq } }));
    const left: string[] = [];
    for (const deviceId of devices)
      await until(async () => {
        const failed = await deliver(deviceId).then(() => "", explain);
        if (failed === "") seq++;
        else {
          expect(failed).toMatch(waits);
          left.push(deviceId);
        }
      }, 60_000);
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(devices.length);
    await two.brokers[1]?.start();
    for (const deviceId of left) {
      await until(() => deliver(deviceId), 60_000);
      seq++;
    }
    expect((await topics.events()).length).toBe(2 * devices.length);
    await topics.close();
    await two.stop();
  }, 180_000);
});
