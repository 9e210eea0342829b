/** The Kafka source against a real broker: what it reads, what it leaves out, and where it continues. */
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import { explain } from "../../../src/core/log/log.ts";
import type { Source } from "../../../src/core/source.ts";
import { RecordBatch } from "../../../src/kafka/batch.ts";
import { valueFrom } from "../../kit/kafka/value.ts";
import { crc32c } from "../../../src/kafka/crc32c.ts";
import { readRecords, type ReadRecord } from "../../../src/kafka/read-batch.ts";
import { connectWire } from "../../../src/kafka/wire.ts";
import { topicOf } from "../../../src/source/kafka/message.ts";
import { kafka } from "../../../src/source/kafka/source.ts";
import { saidByValidated } from "../../../src/source/kafka/validated.ts";
import { delivery, event, reject } from "../../contract/entries.ts";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import {
  committed,
  deleteRecords,
  kafkaTestable,
  limit,
  newTopic,
  produceByKcat,
  proxied,
} from "../../kit/kafka/client.ts";
import { openKafka } from "../../kit/kafka/sink.ts";
import { kafkaSettingsOf, openSource } from "../../kit/kafka/source.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const numbered = (from: number, to: number, text = "") =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    key: `acme/d${(from + i) % 5}`,
    value: `${from + i}${text}`,
  }));
const upTo = (last: number) => Array.from({ length: last }, (_, i) => String(i + 1));
const inOrder = (texts: readonly string[]) => [...texts].sort((a, b) => Number(a) - Number(b));

describe("who speaks in a record", () => {
  const headers = (given: Record<string, string>) => new Map(Object.entries(given));
  test.each([
    ["tenant/acme/device/d1/heartbeat", undefined, "tenant/acme/device/d1/heartbeat"],
    ["acme/d1/status", undefined, "tenant/acme/device/d1/status"],
    ["acme/d1", undefined, "tenant/acme/device/d1/telemetry"],
    ["d1", undefined, "tenant/site/device/d1/telemetry"],
    ["", undefined, "here"],
    ["a/b/c/d", undefined, "here"],
    ["d1", { tenant_id: "acme" }, "tenant/acme/device/d1/telemetry"],
    ["x", { tenant: "acme", device: "d2", type: "heartbeat" }, "tenant/acme/device/d2/heartbeat"],
    ["x", { topic: "tenant/acme/device/d3/telemetry" }, "tenant/acme/device/d3/telemetry"],
    ["acme/d1", { traceparent: "00-1" }, "tenant/acme/device/d1/telemetry"],
  ] as const)("key %p, headers %p", (key, given, topic) => {
    const record = { key: key === "" ? null : Buffer.from(key), headers: given && headers(given) };
    expect(topicOf(record, { tenant: "site", key: "device" }, "here")).toBe(topic);
  });

  test.each([
    ["zigbee2mqtt/kitchen", undefined, "zigbee2mqtt/kitchen"],
    ["tenant/acme/device/d1/heartbeat", undefined, "tenant/acme/device/d1/heartbeat"],
    ["x", { topic: "a/b" }, "a/b"],
    ["x", { device: "d" }, "x"],
    ["", undefined, "here"],
  ] as const)("if the key is a topic: key %p, headers %p", (key, given, topic) => {
    const record = { key: key === "" ? null : Buffer.from(key), headers: given && headers(given) };
    expect(topicOf(record, { tenant: "site", key: "topic" }, "here")).toBe(topic);
  });
});

describe("a message that was judged elsewhere", () => {
  const said = (value: unknown) => {
    const found = saidByValidated(
      Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
      "site",
    );
    return found && { topic: found.topic, payload: Buffer.from(found.payload).toString() };
  };

  test("of the first pipeline, with digits as they are", () => {
    const value = `{"request_id":"r","timestamp":"2026-04-27T16:51:02.123000","device_id":"d1","values":[1.0,1152921504606846976,"on"],
      "label":["t","n","s"],"index":"","metadata":{"datatype_id":"7","datatype_name":"temp","datatype_unit":"C","persist":true,"other":null}}`;
    expect(said(value)).toEqual({
      topic: "tenant/site/device/d1/telemetry",
      payload: `{"ts":"2026-04-27T16:51:02.123000Z","site_id":"site","metrics":{"t":1.0,"n":1152921504606846976,"s":"on"},"metadata":{"datatype_id":"7","datatype_name":"temp","datatype_unit":"C","persist":true}}`,
    });
  });

  test.each([
    ["2026-07-01T00:00:00", '"2026-07-01T00:00:00Z"'],
    ["2026-07-01T00:00:00+02:00", '"2026-07-01T00:00:00+02:00"'],
    [1795690860.25, "1795690860.25"],
    [null, undefined],
  ])("with its time: %p", (timestamp, ts) => {
    const payload = said({ device_id: "d1", values: [1], timestamp })?.payload ?? "";
    expect(/"ts":([^,]*),/.exec(payload)?.[1]).toBe(ts);
  });

  test("of a later one, with metadata per value", () => {
    const metadata = {
      datatype_id: ["7", "8"],
      datatype_unit: ["C", "%"],
      persist: [false, true],
      datatype_category: "climate",
    };
    const value = {
      device_id: "d1",
      values: [1, 2, null],
      labels: ["t", "h", "x"],
      label: null,
      timestamp: "2026-07-01T00:00:00+02:00",
      metadata,
    };
    expect(JSON.parse(said(value)?.payload ?? "")).toEqual({
      ts: "2026-07-01T00:00:00+02:00",
      site_id: "site",
      metrics: { t: 1, h: 2 },
      metadata: { datatype_id: "7", datatype_unit: "C", persist: false, datatype_category: "climate" },
    });
  });

  test.each([
    [{ device_id: "d1", values: [5], metadata: { datatype_name: "temp" } }, { temp: 5 }],
    [
      { device_id: "d1", values: [5, 6], labels: ["a"] },
      { a: 5, value_1: 6 },
    ],
    [{ device_id: "d1", values: [5, 6], labels: ["a", "a"] }, { a: 6 }],
    [{ device_id: "d1", values: [5], labels: [], label: ["a"] }, { a: 5 }],
    [{ device_id: "d1", values: [] }, {}],
    [{ device_id: "d1", values: [[1], { a: 1 }, true] }, { value_2: true }],
  ])("names what has none: %p", (value, metrics) => {
    expect(JSON.parse(said(value)?.payload ?? "")).toMatchObject({ metrics });
  });

  test.each([
    ['{"device_id":"d1"}'],
    ['{"device_id":7,"values":[1]}'],
    ['{"device_id":"d1","values":5}'],
    ["[1]"],
    ["null"],
    ["{"],
    [""],
  ])("is not one: %s", (text) => expect(said(text)).toBeUndefined());
});

describe("a batch", () => {
  function made(count: number): Buffer {
    const batch = new RecordBatch();
    for (let i = 0; i < count; i++)
      batch.add(
        1_789_000_000_000 - i * 1e9,
        i % 3 === 0 ? null : Buffer.from(`k${i}`),
        valueFrom("x".repeat(i * 37)),
      );
    const bytes = Buffer.from(batch.finish({ id: 7n, epoch: 1 }, 0, "none"));
    bytes.writeBigInt64BE(1000n, 0);
    return bytes;
  }
  const fetched = (records: Buffer) => ({
    topic: "t",
    partition: 0,
    errorCode: 0,
    end: 0,
    stableOffset: 0,
    logStart: 0,
    aborted: [],
    records,
  });

  test("is read as it was written, from the requested offset, and a truncated part is left out", async () => {
    const [whole, half] = [made(50), made(3)];
    const read: ReadRecord[] = [];
    const from = { offset: 1010, epoch: -1 };
    const next = await readRecords(fetched(Buffer.concat([whole, half.subarray(0, 70)])), from, (record) =>
      read.push(record),
    );
    expect(next).toEqual({ offset: 1050, epoch: whole.readInt32BE(12) });
    expect(read.map(({ offset }) => offset)).toEqual(Array.from({ length: 40 }, (_, i) => 1010 + i));
    for (const { offset, timeMs, key, value } of read) {
      const i = offset - 1000;
      expect(timeMs).toBe(1_789_000_000_000 - i * 1e9);
      expect(key?.toString() ?? null).toBe(i % 3 === 0 ? null : `k${i}`);
      expect(value?.length).toBe(i * 37);
    }
  });

  test("whose mark of a transaction compaction took is passed over, as Java's client does", async () => {
    const emptied = made(1).subarray(0, 61);
    emptied.writeInt32BE(emptied.length - 12, 8);
    emptied.writeInt16BE(0x30, 21);
    emptied.writeInt32BE(0, 57);
    emptied.writeUInt32BE(crc32c(emptied, 21, emptied.length), 17);
    const behind = made(2);
    behind.writeBigInt64BE(1001n, 0);
    const read: number[] = [];
    const records = fetched(Buffer.concat([emptied, behind]));
    const next = await readRecords(records, { offset: 1000, epoch: -1 }, ({ offset }) => read.push(offset));
    expect(read).toEqual([1001, 1002]);
    expect(next.offset).toBe(1003);
  });

  test("for which there is no room once others are unpacked comes again, but not the mark of a transaction before it", async () => {
    const parts = [made(4), made(1), made(2)];
    for (const [i, [base, attributes]] of [
      [1000, 0],
      [1004, 0x30],
      [1005, 0],
    ].entries()) {
      const part = parts[i] ?? Buffer.alloc(0);
      part.writeBigInt64BE(BigInt(base ?? 0), 0);
      part.writeInt32BE(i, 12);
      part.writeInt16BE(attributes ?? 0, 21);
      part.writeUInt32BE(crc32c(part, 21, part.length), 17);
    }
    const answer = fetched(Buffer.concat(parts));
    const read: number[] = [];
    const take = ({ offset }: ReadRecord) => read.push(offset);
    const room = { left: 10, wasShort: false };
    const next = await readRecords(answer, { offset: 1000, epoch: -1 }, take, room);
    expect(next).toEqual({ offset: 1005, epoch: 1 });
    expect(room.wasShort).toBe(true);
    const again = { left: 10, wasShort: false };
    const rest = fetched(parts[2] ?? Buffer.alloc(0));
    expect(await readRecords(rest, next, take, again)).toEqual({ offset: 1007, epoch: 2 });
    expect(again.wasShort).toBe(false);
    expect(read).toEqual([1000, 1001, 1002, 1003, 1005, 1006]);
  });

  test("of the format before Kafka 0.11 is named, with what can be done", async () => {
    const old = made(1);
    old.writeInt8(1, 16);
    const failed = await readRecords(fetched(old), { offset: 0, epoch: -1 }, () => {}).catch(String);
    expect(failed).toContain("before Kafka 0.11 at t, partition 0, offset 1000");
    expect(failed).toContain("message.format.version");
  });

  test("that is damaged anywhere is not believed", async () => {
    const whole = made(20);
    for (let at = 21; at < whole.length; at += 97) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const failed = await readRecords(fetched(damaged), { offset: 0, epoch: -1 }, () => {}).catch(
        (error: unknown) => String(error),
      );
      expect(failed).toContain("damaged");
    }
  });
});

describe.skipIf(kafkaTestable() !== "")(`the Kafka source (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });
  function open(env: Record<string, string>, marks?: ReadonlyMap<string, string>): Source {
    const source = openSource(env, marks);
    opened.push(source);
    return source;
  }

  async function site(options: Parameters<typeof newTopic>[1] = {}) {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, options);
    const env = { KAFKA_BOOTSTRAP_SERVERS: bootstrap, KAFKA_SOURCE_TOPIC: topic };
    const put = (from: number, to: number, more: readonly string[] = [], text = "") =>
      produceByKcat(bootstrap, topic, numbered(from, to, text), more);
    return { bootstrap, topic, env, put };
  }

  /** Begins a transaction with these records. */
  async function transaction(env: Record<string, string>, topic: string, values: readonly string[]) {
    const wire = await connectWire(kafkaSettingsOf(env), "test", systemClock);
    const [to] = (await wire.topics([topic])).topics;
    if (to === undefined) throw new Error("no topic");
    const transactionalId = `tx-${topic}`;
    const node = await wire.coordinator("transaction", transactionalId);
    const producer = await wire.initProducer(node, transactionalId, 600_000);
    const batch = new RecordBatch();
    for (const value of values) batch.add(Date.now(), Buffer.from("acme/d1"), valueFrom(value));
    const sender = { transactionalId, producer };
    const sent = [{ topic: to, partition: 0, bytes: batch.finish(producer, 0, "none") }];
    expect(await wire.produce(to.leaders[0] ?? 0, sender, 2, sent, 0)).toEqual([]);
    const then = (ended: Promise<unknown>) => ended.then(() => wire.close());
    return {
      commit: () => then(wire.endTransaction(node, sender, 2)),
      /** The next user of the id aborts it. */
      abort: () => then(wire.initProducer(node, transactionalId, 10_000)),
    };
  }

  test.each(["none", "gzip", "snappy", "lz4", "zstd"])(
    "reads what another client compressed by %s",
    async (codec) => {
      const { env, put } = await site();
      await put(1, 2000, codec === "none" ? [] : ["-z", codec]);
      const intake = fakeIntake();
      await open(env).start(intake);
      await until("all", () => intake.messages.length === 2000);
      expect(inOrder(intake.texts())).toEqual(upTo(2000));
      expect(intake.messages[0]?.topic).toMatch(/^tenant\/acme\/device\/d\d\/telemetry$/);
    },
  );

  test.each(["alone", "in a group"])(
    "reads what holds a hundred times as much once it is unpacked in parts, each once: %s",
    async (how) => {
      const { topic, env, put } = await site({ partitions: 1 });
      const text = "x".repeat(2_000);
      await put(1, 20_000, ["-z", "zstd"], text);
      const group = how === "alone" ? {} : { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` };
      // Each answer is dated once.
      let wallMs = systemClock.wallMs();
      const clock = { ...systemClock, wallMs: () => ++wallMs };
      const settings = { ...env, ...group, KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1" };
      const source = openSource(settings, undefined, "g", clock);
      opened.push(source);
      const intake = fakeIntake(() => source);
      await source.start(intake);
      await until("all", () => intake.messages.length >= 20_000);
      expect(intake.texts().map((each) => each.replace(text, ""))).toEqual(upTo(20_000));
      // 4 MB of 40 at a time, and what is left of a batch.
      const parts = [...Map.groupBy(intake.messages, ({ receivedMs }) => receivedMs).values()];
      expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(10_000);
    },
    60_000,
  );

  test("leaves out what was aborted, and continues after it", async () => {
    const { bootstrap, topic, env, put } = await site({ partitions: 1 });
    await put(1, 3);
    const begun = await transaction(env, topic, Array<string>(5).fill("aborted"));
    await begun.abort();
    await produceByKcat(bootstrap, topic, numbered(4, 6));
    const intake = fakeIntake();
    await open(env).start(intake);
    await until("all", () => intake.messages.length === 6);
    expect(intake.texts()).toEqual(upTo(6));
    // Ten were written before it, and the mark of the abort.
    expect(intake.messages.at(-1)?.mark?.value).toBe("12");
  });

  test.each(["alone", "in a group"])(
    "says how much it has not read, also of a transaction that does not end, and names that: %s",
    async (how) => {
      const { topic, env, put } = await site({ partitions: 1 });
      await put(1, 10);
      let shiftMs = 0;
      const clock = { ...systemClock, monoMs: () => systemClock.monoMs() + shiftMs };
      const group = how === "alone" ? {} : { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` };
      const source = openSource(
        { ...env, ...group, KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1" },
        undefined,
        "g",
        clock,
      );
      opened.push(source);
      const lag = () => (source.status() as unknown as { readonly lag: number }).lag;
      const intake = fakeIntake(() => source);
      await source.start(intake);
      await until("all", () => intake.messages.length === 10);
      const begun = await transaction(env, topic, ["11", "12", "13", "14", "15"]);
      await until("the five are told", () => lag() === 5);
      expect(source.status().detail).not.toContain("transaction");
      shiftMs = 61_000;
      await until("it is named", () =>
        source
          .status()
          .detail.includes(`a transaction that was begun at offset 10 of partition 0 of ${topic}`),
      );
      await begun.commit();
      await until("the rest", () => intake.messages.length === 15);
      await until("nothing is left", () => lag() === 0);
      expect(source.status().detail).not.toContain("transaction");
    },
    60_000,
  );

  test("continues from the marks of what is durable, and by itself with a topic that was created anew", async () => {
    const { env, put } = await site();
    await put(1, 50);
    const intake = fakeIntake();
    await open(env).start(intake);
    await until("all", () => intake.messages.length === 50);
    const marks = new Map(intake.messages.map(({ mark }) => [mark?.key ?? "", mark?.value ?? ""]));
    await put(51, 60);
    const later = fakeIntake();
    await open(env, marks).start(later);
    await until("the rest", () => later.messages.length === 10);
    expect(inOrder(later.texts())).toEqual(upTo(60).slice(50));
    const keys = new Set([...intake.messages, ...later.messages].map((message) => message.redeliveryKey()));
    expect(keys.size).toBe(60);
    const other = await site();
    await other.put(1, 5);
    const anew = fakeIntake();
    await open(other.env, marks).start(anew);
    await until("those of the other", () => anew.messages.length === 5);
  });

  test("stops fetching while the intake is full or held", async () => {
    const { env, put } = await site({ partitions: 1 });
    const value = "x".repeat(10_000);
    const { bootstrap, topic } = await site({ partitions: 1 });
    await produceByKcat(
      bootstrap,
      topic,
      Array.from({ length: 2000 }, (_, i) => ({ key: "a/b", value: `${i}${value}` })),
    );
    const intake = fakeIntake();
    intake.held = "the disk is full";
    const source = open({ ...env, KAFKA_SOURCE_TOPIC: topic });
    await source.start(intake);
    await Bun.sleep(300);
    expect(intake.messages.length).toBe(0);
    expect(source.status().connected).toBe(true);
    intake.receive = ((receive) => (message) => {
      const isRead = receive(message);
      if (intake.messages.length === 100) intake.full = true;
      return isRead;
    })(intake.receive);
    intake.drain();
    await until("a hundred", () => intake.messages.length === 100);
    await Bun.sleep(300);
    expect(intake.messages.length).toBe(100);
    intake.drain();
    await until("all", () => intake.messages.length === 2000);
    void put;
  });

  test("says how many records retention removed before they were read, and continues at the first that is left", async () => {
    const { bootstrap, topic, env, put } = await site({ partitions: 1 });
    await put(1, 30);
    const first = fakeIntake();
    const before = open(env);
    await before.start(first);
    await until("all", () => first.messages.length === 30);
    await before.close();
    const mark = first.messages[4]?.mark;
    await deleteRecords(bootstrap, topic, 0, 20);
    const intake = fakeIntake();
    const source = open(env, new Map([[mark?.key ?? "", mark?.value ?? ""]]));
    await source.start(intake);
    await until("the rest", () => intake.messages.length === 10);
    expect(intake.texts()).toEqual(upTo(30).slice(20));
    expect(source.status()).toMatchObject({ lost: 15, connected: true });
  });

  test("calls nothing lost if retention took what was read, and the mark of its transaction", async () => {
    const { bootstrap, topic, env, put } = await site({ partitions: 1 });
    const begun = await transaction(env, topic, ["1", "2"]);
    await begun.commit();
    const first = fakeIntake();
    await open(env).start(first);
    await until("both", () => first.messages.length === 2);
    await deleteRecords(bootstrap, topic, 0, 3);
    const { key = "", value = "" } = first.messages.at(-1)?.mark ?? {};
    const later = fakeIntake();
    const source = open(env, new Map([[key, value]]));
    await source.start(later);
    await put(3, 3);
    await until("the next", () => later.messages.length === 1);
    expect(source.status()).toMatchObject({ lost: 0, connected: true });
  });

  test("waits as long as the broker says if it is over its quota, instead of running out of time", async () => {
    const { bootstrap, topic, env } = await site({ partitions: 1 });
    await limit(bootstrap, "consumer", "sluice-slow-source", 10_000);
    const large = upTo(130).map((n) => ({ key: "d", value: `${n} ${"x".repeat(1_000)}` }));
    await produceByKcat(bootstrap, topic, large, ["-X", "batch.num.messages=10"]);
    const source = openSource({ ...env, KAFKA_TIMEOUT_MS: "1000" }, new Map(), "slow");
    opened.push(source);
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await until("all", () => intake.messages.length >= 130);
    expect(intake.messages.length).toBe(130);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
  });

  test("leaves out a partition whose disk has damaged a record, says so, and reads the others", async () => {
    const { topic, env, put } = await site({ partitions: 2 });
    await put(1, 40);
    const [broker] = (await sharedKafka()).brokers;
    const segment = `${broker?.dataDir}/${topic}-0/00000000000000000000.log`;
    const bytes = readFileSync(segment);
    bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
    writeFileSync(segment, bytes);
    const intake = fakeIntake();
    const source = open(env);
    await source.start(intake);
    await until("it is told", () => source.status().detail.includes("damaged"));
    expect(source.status().detail).toContain(`${topic}, partition 0`);
    await until("the other", () => intake.messages.length > 0);
    const before = intake.messages.length;
    await put(41, 80);
    await until("more of the other", () => intake.messages.length > before);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
  });

  test("waits for a missing topic, and names it", async () => {
    const { bootstrap, env } = await site();
    const late = `late-${randomUUID()}`;
    const source = open({ ...env, KAFKA_SOURCE_TOPIC: late });
    const intake = fakeIntake();
    await source.start(intake);
    expect(source.status()).toMatchObject({ connected: false });
    expect(source.status().detail).toContain(`create the topic ${late}`);
    const asked = kafkaSettingsOf({ ...env, KAFKA_SOURCE_TOPIC: late });
    expect(await kafka.probe(asked).catch(explain)).toContain("create the topic");
    const topic = await newTopic(bootstrap, {}, late);
    await produceByKcat(bootstrap, topic, numbered(1, 3));
    await until("its messages", () => intake.messages.length === 3);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
  });

  test("reads the partitions that are its own", async () => {
    const { env, put } = await site({ partitions: 4 });
    await put(1, 200);
    const [a, b] = [fakeIntake(), fakeIntake()];
    await open({ ...env, KAFKA_SOURCE_PARTITIONS: "0,2" }).start(a);
    await open({ ...env, KAFKA_SOURCE_PARTITIONS: "1,3" }).start(b);
    await until("all", () => a.messages.length + b.messages.length === 200);
    expect(inOrder([...a.texts(), ...b.texts()])).toEqual(upTo(200));
  });

  test("says which of its own partitions there are not, when asked before and while it reads the others", async () => {
    const { env, put } = await site({ partitions: 2 });
    await put(1, 20);
    const typo = { ...env, KAFKA_SOURCE_PARTITIONS: "0,1,7" };
    const words = "(2 partitions); KAFKA_SOURCE_PARTITIONS names 7, and there is none";
    expect(await kafka.probe(kafkaSettingsOf(typo))).toEndWith(words);
    const intake = fakeIntake();
    const source = open(typo);
    await source.start(intake);
    expect(source.status()).toMatchObject({ connected: true, detail: expect.stringContaining(words) });
    await until("the others", () => intake.messages.length === 20);
  });

  test("gives back, as judged events, what a gateway's sink has written, and counts its errors", async () => {
    const { bootstrap } = await sharedKafka();
    const far = await openKafka(bootstrap);
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_VALIDATED_SOURCE: "1",
      KAFKA_VALIDATED_DATA_TOPIC: far.validated,
      KAFKA_ERROR_TOPIC: far.rejected,
      KAFKA_DEVICE_ID: "tenant/device",
    };
    const intake = fakeIntake();
    const source = open(env);
    await source.start(intake);
    const payload = '{"site_id":"lab-1","seq":7,"metrics":{"n":1.50,"on":true,"word":"a\\"b"}}';
    await far
      .open({ env: { KAFKA_DEVICE_ID: "tenant/device" } })
      .deliver(delivery([event(1, { payload }), reject(2), reject(3)]));
    await until(
      "both",
      () => intake.messages.length === 1 && source.status()["errors_counted" as never] === 2,
    );
    const [message] = intake.messages;
    expect(message).toMatchObject({ topic: "tenant/acme/device/d1/telemetry", isJudged: true });
    expect(JSON.parse(intake.texts()[0] ?? "")).toEqual({
      ts: "2026-09-10T00:26:40.001123Z",
      site_id: "lab-1",
      seq: 7,
      metrics: { n: 1.5, on: true, word: 'a"b' },
      metadata: {
        datatype_id: "telemetry",
        datatype_name: "telemetry",
        datatype_unit: "",
        datatype_category: "telemetry",
        persist: true,
      },
    });
    expect(intake.texts()[0]).toContain('"n":1.50');
    await far.close();
  });

  test("shares the partitions as a group; what is not durable is not committed, and a gateway that is back continues", async () => {
    const { bootstrap, topic, env, put } = await site({ partitions: 4 });
    const group = { ...env, KAFKA_CONSUMER_GROUP_ID: `group-${topic}`, KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1" };
    await put(1, 100);
    const silent = fakeIntake();
    const first = openSource(group, new Map(), "one");
    await first.start(silent);
    await until("all", () => silent.messages.length === 100);
    expect(await committed(bootstrap, `group-${topic}`, topic)).toBe(0);
    // Killed: nothing was durable, so all of it comes again.
    const again = fakeIntake(() => second);
    const second = openSource(group, new Map(), "one");
    opened.push(first, second);
    await second.start(again);
    await until("all again", () => again.messages.length === 100);
    await until("it is committed", async () => (await committed(bootstrap, `group-${topic}`, topic)) === 100);
    const other = fakeIntake(() => third);
    const third = openSource(group, new Map(), "two");
    opened.push(third);
    await third.start(other);
    await until("both", async () => {
      await put(101, 104);
      await Bun.sleep(300);
      return other.messages.length > 0 && again.messages.length > 104;
    });
    expect(new Set([...again.texts(), ...other.texts()]).size).toBe(104);
    expect([second.status().connected, third.status().connected]).toEqual([true, true]);
  });

  test("continues by itself after its broker was away", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap);
    const line = await proxied(bootstrap);
    const source = open({ KAFKA_BOOTSTRAP_SERVERS: line.bootstrap, KAFKA_SOURCE_TOPIC: topic });
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await produceByKcat(bootstrap, topic, numbered(1, 100));
    await until("the first", () => intake.messages.length === 100);
    line.mode("refuse");
    await until("it is told", () => !source.status().connected);
    await produceByKcat(bootstrap, topic, numbered(101, 200));
    line.mode("pass");
    await until("the others", () => intake.messages.length >= 200);
    expect(inOrder(intake.texts())).toEqual(upTo(200));
    expect(source.status()).toMatchObject({ connected: true, reconnects: 1 });
    await source.close();
    await line.stop();
  });
});
