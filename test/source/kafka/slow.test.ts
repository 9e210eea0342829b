/** A line that is too slow for all that a broker may give at once. */
import { describe, expect, test } from "bun:test";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat, proxied } from "../../kit/kafka/client.ts";
import { openSource } from "../../kit/kafka/source.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const ends = endsAfterEach();

/** A source that begins to read 800 KB behind such a line, which are in batches as kcat makes them. */
async function slow(how: string, bytesPerSecond: number, batches: string) {
  const { bootstrap } = await sharedKafka();
  const topic = await newTopic(bootstrap, { partitions: 1 });
  const values = Array.from({ length: 800 }, (_, i) => `${i} `.padEnd(1_000, "x"));
  const records = values.map((value) => ({ key: "acme/d1", value }));
  await produceByKcat(bootstrap, topic, records, ["-X", batches]);
  const line = await proxied(bootstrap);
  ends.push(() => line.stop());
  line.throttleAnswers(bytesPerSecond);
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
  return { line, source, intake, values };
}

describe.skipIf(kafkaTestable() !== "")(`a slow line (${kafkaTestable() || "real"})`, () => {
  test.each(["alone", "in a group"])(
    "a backlog that does not get through in time is asked for in smaller pieces: %s",
    async (how) => {
      const { intake, values } = await slow(how, 1_200_000, "batch.num.messages=20");
      await until("all", () => intake.messages.length === values.length, 50_000);
      expect(intake.texts()).toEqual(values);
    },
    60_000,
  );

  test.each(["alone", "in a group"])(
    "one batch that never gets through in time: the source is away and names the setting, until it does: %s",
    async (how) => {
      const { line, source, intake, values } = await slow(how, 200_000, "linger.ms=1000");
      await until("it is told", () => source.status().detail.includes("set KAFKA_TIMEOUT_MS higher"), 30_000);
      const first = line.accepted();
      await until("it is tried again", () => line.accepted() >= first + 6, 30_000);
      expect(source.status()).toMatchObject({ connected: false, reconnects: 1 });
      expect(source.status().detail).toContain("FETCH timed out: over a slow line");
      expect(source.status().detail).not.toContain("cannot be reached");
      line.throttleAnswers(Number.POSITIVE_INFINITY);
      await until("all", () => intake.messages.length === values.length, 30_000);
      await until("nothing is wrong", () => source.status().connected);
      expect(source.status().detail).not.toContain("timed out");
    },
    60_000,
  );
});
