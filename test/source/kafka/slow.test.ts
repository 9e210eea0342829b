/** A line that is too slow for all that a broker may give at once. */
import { describe, expect, test } from "bun:test";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat, proxied } from "../../kit/kafka/client.ts";
import { openSource } from "../../kit/kafka/source.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const ends = endsAfterEach();

describe.skipIf(kafkaTestable() !== "")(`a slow line (${kafkaTestable() || "real"})`, () => {
  test.each(["alone", "in a group"])(
    "a backlog that does not get through in time is asked for in smaller pieces: %s",
    async (how) => {
      const { bootstrap } = await sharedKafka();
      const topic = await newTopic(bootstrap, { partitions: 1 });
      const records = Array.from({ length: 800 }, (_, i) => ({
        key: "acme/d1",
        value: `${i} `.padEnd(1_000, "x"),
      }));
      await produceByKcat(bootstrap, topic, records, ["-X", "batch.num.messages=20"]);
      const line = await proxied(bootstrap);
      ends.push(() => line.stop());
      line.throttleAnswers(1_200_000);
      const source = openSource({
        KAFKA_BOOTSTRAP_SERVERS: line.bootstrap,
        KAFKA_SOURCE_TOPIC: topic,
        KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
        KAFKA_TIMEOUT_MS: "500",
        ...(how === "alone" ? {} : { KAFKA_CONSUMER_GROUP_ID: `${topic}-group` }),
      });
      ends.push(() => source.close());
      const intake = fakeIntake(() => source);
      await source.start(intake);
      await until("all", () => intake.messages.length === records.length, 50_000);
      expect(intake.texts()).toEqual(records.map(({ value }) => value));
    },
    60_000,
  );
});
