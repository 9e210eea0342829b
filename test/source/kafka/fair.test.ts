/** The Kafka source where one partition is far behind, or cannot be read at all: the others go on. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Source } from "../../../src/core/source.ts";
import { sharedKafka, startKafka } from "../../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat } from "../../kit/kafka/client.ts";
import { openSource } from "../../kit/kafka/source.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const put = (bootstrap: string, topic: string, partition: number, values: readonly string[]) =>
  produceByKcat(
    bootstrap,
    topic,
    values.map((value) => ({ key: "acme/d1", value })),
    ["-p", String(partition), "-X", "message.timeout.ms=5000"],
  );

describe.skipIf(kafkaTestable() !== "")(`the Kafka source (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });
  function open(env: Record<string, string>): Source {
    const source = openSource(env);
    opened.push(source);
    return source;
  }

  test("reads every partition by turns, so that none waits for the backlog of another", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 2 });
    const backlog = Array.from({ length: 3_000 }, (_, n) => `${n}${"x".repeat(8_000)}`);
    await put(bootstrap, topic, 0, backlog);
    await put(bootstrap, topic, 1, ["the other"]);
    const intake = fakeIntake(() => source);
    const source = open({ KAFKA_BOOTSTRAP_SERVERS: bootstrap, KAFKA_SOURCE_TOPIC: topic });
    await source.start(intake);
    await until("all", () => intake.messages.length === backlog.length + 1);
    expect(intake.texts().indexOf("the other")).toBeLessThan(backlog.length / 2);
  }, 60_000);

  test.each(["alone", "in a group"])(
    "reads the partitions of the brokers that are there, says which it cannot, and those too once they can be: %s",
    async (how) => {
      const kafka = await startKafka({ brokers: 2 });
      const { bootstrap, brokers } = kafka;
      const topic = await newTopic(bootstrap, { partitions: 2 });
      const envOf = (name: string) => ({
        KAFKA_BOOTSTRAP_SERVERS: bootstrap,
        KAFKA_SOURCE_TOPIC: topic,
        ...(how === "in a group" && { KAFKA_CONSUMER_GROUP_ID: `${name}-${topic}` }),
      });
      const intake = fakeIntake(() => source);
      const source = open(envOf("old"));
      await source.start(intake);
      for (const partition of [0, 1]) await put(bootstrap, topic, partition, ["before"]);
      await until("both", () => intake.messages.length === 2, 30_000);
      await brokers[1]?.end("SIGKILL");
      await until("it is told", () => source.status().detail.includes("no broker leads partition"), 60_000);
      expect(source.status()).toMatchObject({
        connected: true,
        unread: expect.stringContaining("no broker leads partition"),
      });
      const led = source.status().detail.includes("partition 0") ? 1 : 0;
      // Who begins now knows the beginning of the one partition, and not of the other.
      const later = fakeIntake(() => newcomer);
      const newcomer = open(envOf("new"));
      await newcomer.start(later);
      await put(bootstrap, topic, led, ["meanwhile"]);
      await until("that of the other", () => intake.texts().includes("meanwhile"), 60_000);
      await until("that of the newcomer", () => later.texts().includes("meanwhile"), 60_000);
      await brokers[1]?.start();
      await put(bootstrap, topic, 1 - led, ["after"]);
      for (const { texts } of [intake, later])
        await until("that of the one", () => texts().includes("after"), 60_000);
      await until("all is well", () => !source.status().detail.includes("no broker leads"));
      expect(intake.texts().toSorted()).toEqual(["after", "before", "before", "meanwhile"]);
      expect(later.texts().toSorted()).toEqual(["after", "before", "before", "meanwhile"]);
      for (const each of opened.splice(0)) await each.close();
      await kafka.stop();
    },
    180_000,
  );
});
