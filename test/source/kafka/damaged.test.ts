/** The Kafka source where a disk gives back something else than was written: nothing of it is believed, and the others go on. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "bun:test";
import type { Source } from "../../../src/core/source.ts";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import { deleteRecords, kafkaTestable, newTopic, produceByKcat } from "../../kit/kafka/client.ts";
import { openSource } from "../../kit/kafka/source.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ key: "acme/d1", value: `number ${from + i}` }));
const texts = (from: number, to: number) => numbered(from, to).map(({ value }) => value);

const oneBatch = ["-X", "linger.ms=300"];
const ways = ["alone", "in a group"] as const;

describe.skipIf(kafkaTestable() !== "")(`the Kafka source (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });

  async function site(way: (typeof ways)[number]) {
    const { bootstrap, brokers } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 2 });
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
      ...(way === "in a group" && { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` }),
    };
    return {
      bootstrap,
      topic,
      put: (partition: number, from: number, to: number, ...more: readonly string[]) =>
        produceByKcat(bootstrap, topic, numbered(from, to), ["-p", String(partition), ...oneBatch, ...more]),
      /** In the second batch of partition 0. */
      damage(at: number): void {
        const path = join(brokers[0]?.dataDir ?? "", `${topic}-0/00000000000000000000.log`);
        const log = readFileSync(path);
        log.writeUInt16BE(0x7766, 12 + log.readInt32BE(8) + at);
        writeFileSync(path, log);
      },
      async started() {
        const intake = fakeIntake(() => source);
        const source = openSource(env);
        opened.push(source);
        await source.start(intake);
        return { source, intake };
      },
    };
  }

  test("believes no damaged batch in a group either, reads the others, and goes on once it is given up", async () => {
    const { bootstrap, topic, put, damage, started } = await site("in a group");
    await put(0, 1, 50);
    await put(0, 51, 90, "-z", "lz4");
    await put(1, 91, 100);
    damage(80);
    const { source, intake } = await started();
    await until("it is told", () => source.status().detail.includes("damaged"));
    expect(source.status().detail).toContain(`(CRC) at ${topic}, partition 0, offset 50`);
    await put(1, 101, 110);
    await until("the others", () => intake.messages.length >= 70);
    expect(intake.texts().toSorted()).toEqual([...texts(1, 50), ...texts(91, 110)].toSorted());
    await deleteRecords(bootstrap, topic, 0, 90);
    await put(0, 111, 120);
    await until("what is new", () => intake.messages.length >= 80, 60_000);
    expect(intake.texts()).toEqual(expect.arrayContaining(texts(111, 120)));
    expect(source.status().detail).not.toContain("damaged");
    expect(source.status()).toMatchObject({ lost: 40, lost_at: expect.stringMatching(/^20/), unread: null });
  }, 90_000);

  test.each(ways)(
    "says where a broker takes a damaged length for the end: %s",
    async (way) => {
      const { topic, put, damage, started } = await site(way);
      await put(0, 1, 50);
      await put(0, 51, 90);
      await put(1, 91, 100);
      damage(9);
      const { source, intake } = await started();
      await until("it is told", () => source.status().detail.includes("damaged"), 40_000);
      expect(source.status().detail).toContain(
        `${topic}, partition 0, offset 50, though its log goes on to 90`,
      );
      await put(1, 101, 110);
      await until("the others", () => intake.messages.length >= 70);
      expect(intake.texts().toSorted()).toEqual([...texts(1, 50), ...texts(91, 110)].toSorted());
    },
    90_000,
  );

  test.each(ways)("takes a payload as its bytes are: %s", async (way) => {
    const { bootstrap, topic, started } = await site(way);
    const binary = Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3]);
    const path = join((await sharedKafka()).brokers[0]?.dataDir ?? "", `${topic}.payload`);
    writeFileSync(path, binary);
    const child = Bun.spawn(["kcat", "-P", "-b", bootstrap, "-t", topic, "-k", "acme/d1", path]);
    expect(await child.exited).toBe(0);
    const { intake } = await started();
    await until("it", () => intake.messages.length === 1);
    expect(Buffer.from(intake.messages[0]?.payload ?? [])).toEqual(binary);
  });
});
