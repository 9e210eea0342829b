/** The Kafka source where offsets begin anew: a log that lost its end, as by a power cut, and a topic that was created again. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import type { Source } from "../../../src/core/source.ts";
import { type Kafka, type KafkaBroker, sharedKafka, startKafka } from "../../kit/kafka/broker.ts";
import { deleteTopic, kafkaTestable, newTopic, produceByKcat } from "../../kit/kafka/client.ts";
import { openSource } from "../../kit/kafka/source.ts";
import { type FakeIntake, fakeIntake, until } from "../../kit/source.ts";

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const put = (bootstrap: string, topic: string, from: number, to: number) =>
  produceByKcat(
    bootstrap,
    topic,
    numbers(from, to).map((n) => ({ key: "acme/d1", value: String(n) })),
    // A broker that has just started may have a batch sent again behind the next.
    ["-X", "enable.idempotence=true"],
  );
const marksOf = ({ messages }: FakeIntake) =>
  new Map(
    messages.flatMap(({ mark }) => (mark ? [mark, ...(mark.beside ? [mark.beside] : [])] : [])).map(keyValue),
  );
const keyValue = ({ key, value }: { key: string; value: string }) => [key, value] as const;

/** Copies a topic's directory; what it returns puts it back, with the broker ended meanwhile, as a disk that never had what came since. */
function diskOf({ dataDir, end, start }: KafkaBroker, topic: string) {
  const kept = mkdtempSync(join(tmpdir(), "sluice-kafka-disk-"));
  cpSync(join(dataDir, `${topic}-0`), kept, { recursive: true });
  return async () => {
    await end("SIGKILL");
    rmSync(join(dataDir, `${topic}-0`), { recursive: true });
    cpSync(kept, join(dataDir, `${topic}-0`), { recursive: true });
    for (const name of readdirSync(dataDir)) if (name.includes("checkpoint")) rmSync(join(dataDir, name));
    rmSync(kept, { recursive: true });
    await start();
  };
}

describe.skipIf(kafkaTestable() !== "")(`the Kafka source (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  let own: Kafka | undefined;
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });
  afterAll(() => own?.stop());
  function open(...given: Parameters<typeof openSource>): Source {
    const source = openSource(...given);
    opened.push(source);
    return source;
  }

  /** A source that has read fifty messages of a new topic. */
  async function readFifty(partitions: number, isMember: boolean) {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions });
    await put(bootstrap, topic, 1, 50);
    const intake = fakeIntake(() => source);
    const source = open({
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
      ...(isMember && { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` }),
    });
    await source.start(intake);
    await until("all", () => intake.messages.length === 50);
    return { bootstrap, topic, intake, source };
  }

  test.each([
    ["the gateway runs", "runs", false],
    ["the gateway is off", "is off", false],
    ["a member of a group runs", "runs", true],
    ["a member of a group is off", "is off", true],
  ])(
    "reads what is new in a log that lost what was read, and nothing twice, if %s meanwhile",
    async (_, when, isMember) => {
      own ??= await startKafka();
      const { bootstrap, brokers } = own;
      const [broker] = brokers;
      if (broker === undefined) throw new Error("no broker");
      const topic = await newTopic(bootstrap, { partitions: 1 });
      const env = {
        KAFKA_BOOTSTRAP_SERVERS: bootstrap,
        KAFKA_SOURCE_TOPIC: topic,
        KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
        ...(isMember && { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` }),
      };
      await put(bootstrap, topic, 1, 30);
      await broker.end("SIGTERM");
      const lose = diskOf(broker, topic);
      await broker.start();
      await put(bootstrap, topic, 31, 40);
      const intake = fakeIntake(() => source);
      const source = open(env);
      await source.start(intake);
      await until("all", () => intake.messages.length === 40);
      if (when === "is off") await source.close();
      else intake.held = "until the log is longer than it was";
      await lose();
      await put(bootstrap, topic, 41, 60);
      const later = when === "is off" ? fakeIntake() : intake;
      if (when === "is off") await open(env, marksOf(intake)).start(later);
      else intake.drain();
      await until("what is new", () => later.texts().includes("60"));
      const all = new Set([...intake.messages, ...later.messages]);
      expect([...all].map(({ payload }) => Number(Buffer.from(payload)))).toEqual(numbers(1, 60));
      expect(new Set([...all].map((message) => message.redeliveryKey())).size).toBe(60);
    },
    90_000,
  );

  test("reads a topic that was created anew while nothing was fetched from its beginning, and nothing of it twice", async () => {
    const { bootstrap, topic, intake, source } = await readFifty(1, false);
    intake.held = "the disk is full";
    await Bun.sleep(1_000);
    await deleteTopic(bootstrap, topic);
    await newTopic(bootstrap, { partitions: 1 }, topic);
    await put(bootstrap, topic, 51, 70);
    intake.drain();
    await Bun.sleep(1_000);
    await put(bootstrap, topic, 71, 80);
    await until("those of the new one", () => intake.messages.length >= 80, 60_000);
    expect(intake.texts()).toEqual(numbers(1, 80).map(String));
    expect(source.status()).toMatchObject({ lost: 0 });
  }, 90_000);

  test.each([
    ["as many", 1],
    ["fewer", 4],
  ])(
    "reads a topic that was created anew from its beginning in a group, too, with %s partitions",
    async (_, before) => {
      const { bootstrap, topic, intake } = await readFifty(before, true);
      await deleteTopic(bootstrap, topic);
      await newTopic(bootstrap, { partitions: 1 }, topic);
      await put(bootstrap, topic, 51, 70);
      await until("those of the new one", () => intake.messages.length >= 70, 60_000);
      expect(intake.texts()).toEqual(numbers(1, 70).map(String));
    },
    90_000,
  );
});
