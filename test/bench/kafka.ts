/**
 * How fast events go into a real Kafka, exactly once, and messages come out of it onto the disk.
 *
 * Sink: beside the bare encoder, which has the values as text and does nothing but encode, send, and commit with a position, over the
 * same wire; below it the encoder alone. Source: a gateway (the executable, with its local store) that reads a full topic, beside a bare
 * reader that fetches and decodes it and throws it away. The broker runs on the same cores.
 */
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { RecordBatch } from "../../src/kafka/batch.ts";
import { readRecords } from "../../src/kafka/read-batch.ts";
import type { Topic } from "../../src/kafka/requests.ts";
import { connectWire } from "../../src/kafka/wire.ts";
import { createKeptPosition } from "../../src/sink/kafka/kept.ts";
import { createEncoder } from "../../src/sink/kafka/record.ts";
import { Session, type Load } from "../../src/sink/kafka/session.ts";
import { createFleet } from "../../src/simulator/fleet.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { delivery, event, noTotals } from "../contract/entries.ts";
import { localTables } from "../fault/tables.ts";
import { sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { kafkaAvailable, startKafka } from "../kit/kafka/broker.ts";
import { newTopic } from "../kit/kafka/client.ts";
import { valueFrom } from "../kit/kafka/value.ts";
import { openKafka } from "../kit/kafka/sink.ts";
import { kafkaSettingsOf } from "../kit/kafka/source.ts";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readingText } from "./reading.ts";

const sizes = [500, 2_000, 5_000];
const warmUp = 100_000;

/** How many messages. */
export async function run([count = "200000"]: readonly string[]): Promise<void> {
  if (kafkaAvailable() !== "") return console.log(kafkaAvailable());
  const kafka = await startKafka({ java: ["-Xmx512m"] });
  for (const size of sizes) await compare(kafka.bootstrap, Number(count), size);
  await sources(kafka.bootstrap, Number(count) * 2);
  await kafka.stop();
}

interface Cost {
  ms: number;
  cpuMicros: number;
  messages: number;
}

async function compare(bootstrap: string, messages: number, size: number): Promise<void> {
  const alone = await timed(messages, size, encoderAlone());
  report(`${size} a batch: the encoder alone`, alone);
  const bare = await bareSender(bootstrap);
  const floor = await timed(messages, size, bare.send);
  bare.close();
  report(`${size} a batch: bare encoder, transaction and position`, floor);
  const far = await openKafka(bootstrap);
  const sink = far.open();
  let before = noTotals;
  const cost = await timed(messages, size, (entries) => async () => {
    const outcome = await sink.deliver(delivery(entries, { before }));
    before = { ...before, delivered: before.delivered + outcome.delivered };
  });
  await far.close();
  const rate = rateOf(cost) / rateOf(floor);
  report(`${size} a batch: sluice`, cost, ` = ${rate.toFixed(2)} of the bare encoder's rate`);
}

const rateOf = ({ messages, ms }: Cost) => (messages / ms) * 1000;

function report(what: string, cost: Cost, more = ""): void {
  const rate = Math.round(rateOf(cost)).toLocaleString("en");
  console.log(
    `${what.padEnd(56)} ${rate.padStart(9)}/s  ${(cost.cpuMicros / cost.messages).toFixed(2)} µs CPU a message${more}`,
  );
}

async function timed(
  messages: number,
  size: number,
  work: (entries: Entry[]) => () => unknown,
): Promise<Cost> {
  const cost = { ms: 0, cpuMicros: 0, messages };
  for (let first = 1; first <= warmUp + messages; first += size) {
    const entries = batchOf(first, size);
    const send = work(entries);
    Bun.gc(true);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    await send();
    const used = process.cpuUsage(cpu);
    if (first <= warmUp) continue;
    cost.ms += performance.now() - began;
    cost.cpuMicros += used.user + used.system;
  }
  return cost;
}

/** Values and keys ready, sorted to their partitions. */
function ready(entries: readonly Entry[]) {
  const encoder = createEncoder("bench", "device");
  encoder.begin("epoch");
  return entries.map((entry) => {
    const { bytes, hash } = encoder.keyOf(entry);
    return {
      atMs: entry.receivedMs,
      key: bytes,
      partition: hash % 3,
      value: valueFrom(encoder.valueOf(entry).toString()),
    };
  });
}

function encoderAlone(): (entries: Entry[]) => () => unknown {
  const batches = [0, 1, 2].map(() => new RecordBatch());
  return (entries) => {
    const records = ready(entries);
    return () => {
      for (const batch of batches) batch.clear();
      for (const { atMs, key, partition, value } of records) batches[partition]?.add(atMs, key, value);
      for (const batch of batches) batch.finish({ id: 1n, epoch: 1 }, 0, "none");
    };
  };
}

async function bareSender(bootstrap: string) {
  const [validated, rejected] = [await newTopic(bootstrap), await newTopic(bootstrap)];
  const settings = kafkaSettingsOf({
    KAFKA_BOOTSTRAP_SERVERS: bootstrap,
    KAFKA_VALIDATED_DATA_TOPIC: validated,
    KAFKA_ERROR_TOPIC: rejected,
  });
  const name = `bare-${validated}`;
  const session = await Session.open({
    settings,
    names: { transactionalId: name, group: name },
    kept: createKeptPosition(mkdtempSync(join(tmpdir(), "sluice-bench-"))),
    clock: systemClock,
    gone() {},
  });
  const batches = [0, 1, 2].map(() => new RecordBatch());
  let seq = 0;
  return {
    close: () => session.close(),
    send: (entries: Entry[]) => {
      const records = ready(entries);
      return async () => {
        for (const batch of batches) batch.clear();
        for (const { atMs, key, partition, value } of records) batches[partition]?.add(atMs, key, value);
        const loads: Load[] = batches.flatMap((batch, partition) =>
          batch.count > 0 ? [{ topic: session.validated, partition, batches: [batch] }] : [],
        );
        await session.produce(loads, "none");
        session.positions.set("epoch", { epoch: "epoch", seq: (seq += records.length), totals: noTotals });
        await session.commit();
      };
    },
  };
}

async function sources(bootstrap: string, messages: number): Promise<void> {
  const topic = await newTopic(bootstrap);
  const fleet = createFleet({ seed: 1, devices: 1_000, tenants: ["acme"], faults: {} });
  const bytes = await fill(bootstrap, topic, fleet, messages);
  console.log(`\n${messages.toLocaleString("en")} messages of ${bytes} bytes in a topic of 3 partitions`);
  report("bare reader", await read(bootstrap, topic, messages));
  report("sluice: judged and on the disk", await gateway(bootstrap, topic, fleet, messages));
}

/** Without a transaction, which the client adds; by the same encoder. @returns bytes per message */
async function fill(
  bootstrap: string,
  name: string,
  fleet: ReturnType<typeof createFleet>,
  messages: number,
): Promise<number> {
  const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap });
  const wire = await connectWire(settings, "fill", systemClock);
  const { topics } = await wire.topics([name]);
  const [topic] = topics as [Topic];
  const node = await wire.coordinator("transaction", name);
  let producer = await wire.initProducer(node, name, 60_000);
  let sum = 0;
  const batches = [0, 1, 2].map(() => new RecordBatch());
  for (let sent = 0; sent < messages; sent += 6_000) {
    for (const [partition, batch] of batches.entries()) {
      batch.clear();
      for (let i = 0; i < 2_000; i++) {
        const { topic: place, payload } = fleet.next(Date.now());
        sum += payload.length;
        batch.add(Date.now(), Buffer.from(place), valueFrom(payload.toString()));
      }
      const sender = { transactionalId: name, producer };
      const request = [{ topic, partition, bytes: batch.finish(producer, 0, "none") }];
      await wire.produce(topic.leaders[partition] ?? 0, sender, 2, request, 0);
    }
    producer = await wire.endTransaction(node, { transactionalId: name, producer }, 2);
  }
  await wire.close();
  return Math.round(sum / messages);
}

async function read(bootstrap: string, name: string, messages: number): Promise<Cost> {
  const wire = await connectWire(
    kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap }),
    "read",
    systemClock,
  );
  const next = [0, 0, 0].map((offset) => ({ offset, epoch: -1 }));
  const { topics } = await wire.topics([name]);
  const node = topics[0]?.leaders[0] ?? 0;
  const seen = { count: 0 };
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  while (seen.count < messages) {
    const wanted = next.map((place, partition) => ({
      topic: name,
      topicId: topics[0]?.id ?? "",
      partition,
      ...place,
    }));
    for (const fetched of await wire.fetch(node, { wanted, waitMs: 100, bytesMax: 4 << 20 }))
      next[fetched.partition] = await readRecords(
        fetched,
        next[fetched.partition] ?? { offset: 0, epoch: -1 },
        () => seen.count++,
      );
  }
  const used = process.cpuUsage(cpu);
  await wire.close();
  return { ms: performance.now() - began, cpuMicros: used.user + used.system, messages: seen.count };
}

async function gateway(
  bootstrap: string,
  topic: string,
  fleet: ReturnType<typeof createFleet>,
  messages: number,
): Promise<Cost> {
  const dataDir = join(mkdtempSync(join(tmpdir(), "sluice-bench-")), "data");
  await sluice({ DATA_DIR: dataDir }, "migrate");
  await localTables(() => join(dataDir, "local.db")).run(registrySql(fleet.devices));
  const env = {
    KAFKA_BOOTSTRAP_SERVERS: bootstrap,
    KAFKA_SOURCE_TOPIC: topic,
    KAFKA_SINK_ENABLED: "0",
    RATE_LIMIT_RPS: "0",
  };
  const began = performance.now();
  const running = await startGateway(env, dataDir);
  const isRead = ({ ingest, source }: Awaited<ReturnType<typeof running.stats>>) =>
    ingest.received >= messages && (source as { unacknowledged: number }).unacknowledged === 0;
  await statsWhen(running, isRead, 300_000);
  const ms = performance.now() - began;
  const cpuMicros = running.cpuMicros();
  await running.kill9();
  return { ms, cpuMicros, messages };
}

function batchOf(first: number, size: number): Entry[] {
  return Array.from({ length: size }, (_, i) => {
    const seq = first + i;
    const payload = readingText(seq);
    // A whole string, as it is once the entry was spooled.
    return event(seq, { deviceId: JSON.parse(`"sensor-${seq % 1_000}"`) as string, payload });
  });
}
