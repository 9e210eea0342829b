/** A broker that cannot be reached from here: its address is wrong, or a firewall lets only the others be reached. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import type { Source } from "../../../src/core/source.ts";
import { connectWire } from "../../../src/kafka/wire.ts";
import { probe } from "../../../src/source/kafka/look.ts";
import { type Kafka, startKafka } from "../../kit/kafka/broker.ts";
import { addPartitions, kafkaTestable, newTopic, produceByKcat } from "../../kit/kafka/client.ts";
import { openKafka } from "../../kit/kafka/sink.ts";
import { kafkaSettingsOf, openSource } from "../../kit/kafka/source.ts";
import { freePort } from "../../kit/port.ts";
import { type Proxy, startProxy } from "../../kit/proxy.ts";
import { fakeIntake, until } from "../../kit/source.ts";

const host = "127.0.0.1";

/** What a broker says of addresses names this port instead. */
function renamed(answer: Buffer, from: number, to: number): void {
  for (let at = answer.indexOf(host); at >= 0; at = answer.indexOf(host, at + 1)) {
    const port = at + host.length;
    if (port + 4 <= answer.length && answer.readInt32BE(port) === from) answer.writeInt32BE(to, port);
  }
}

/** A group that this broker coordinates. */
async function groupOf(node: number, bootstrap: string): Promise<string> {
  const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap });
  const wire = await connectWire(settings, "test", systemClock);
  try {
    for (let i = 0; ; i++) if ((await wire.coordinator("group", `group-${i}`)) === node) return `group-${i}`;
  } finally {
    await wire.close();
  }
}

describe.skipIf(kafkaTestable() !== "")(`a broker out of reach (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  let kafka: Kafka;
  let proxy: Proxy;
  let isHidden = true;
  beforeAll(async () => {
    kafka = await startKafka({ brokers: 2 });
    const [first, second] = kafka.brokers.map(({ port }) => port) as [number, number];
    proxy = await startProxy({ port: first });
    const closed = await freePort();
    proxy.onAnswer((piece) => {
      renamed(piece, first, proxy.port);
      if (isHidden) renamed(piece, second, closed);
    });
  }, 60_000);
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });
  afterAll(async () => {
    await proxy?.stop();
    await kafka?.stop();
  });

  test("is named by the sink's check as well", async () => {
    isHidden = true;
    const topics = await openKafka(kafka.bootstrap, { partitions: 2 }, `${host}:${proxy.port}`);
    const check = () => topics.open({ env: { KAFKA_TIMEOUT_MS: "2000" } }).probe();
    expect(await check().catch(String)).toMatch(
      /the broker that leads partition [01] of t.* cannot be reached at the address that it advertises/,
    );
    isHidden = false;
    expect(await check()).toContain("(2 partitions)");
    await topics.close();
  }, 60_000);

  test("is named if it coordinates the group, and joined once it can be reached", async () => {
    isHidden = true;
    const topic = await newTopic(kafka.bootstrap, { partitions: 1 });
    await produceByKcat(kafka.bootstrap, topic, [{ key: "acme/d1", value: "1" }]);
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: `${host}:${proxy.port}`,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: await groupOf(2, kafka.bootstrap),
    };
    const source = openSource(env);
    opened.push(source);
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await until("it is named", () =>
      /the broker that coordinates the group group-\d+ cannot be reached at the address/.test(
        source.status().detail,
      ),
    );
    expect(source.status().connected).toBe(false);
    isHidden = false;
    await until("what is there", () => intake.messages.length === 1);
  }, 60_000);

  /** Its one partition is led by the second broker. */
  async function ledBySecond(): Promise<string> {
    const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap });
    const wire = await connectWire(settings, "test", systemClock);
    try {
      for (;;) {
        const topic = await newTopic(kafka.bootstrap, { partitions: 1 });
        if ((await wire.topics([topic])).topics[0]?.leaders[0] === 2) return topic;
      }
    } finally {
      await wire.close();
    }
  }

  test("is asked anew if the connection to it has ended while another's partitions are read", async () => {
    isHidden = false;
    const topic = await ledBySecond();
    const put = (value: number) =>
      produceByKcat(kafka.bootstrap, topic, [{ key: "acme/d1", value: `${value}` }], ["-p", `${value}`]);
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: `${host}:${proxy.port}`,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    };
    const hurried = { ...systemClock, every: (_ms: number, run: () => void) => systemClock.every(500, run) };
    const source = openSource(env, new Map(), "g", hurried);
    opened.push(source);
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await put(0);
    await until("the first", () => intake.messages.length === 1);
    proxy.cut();
    await addPartitions(kafka.bootstrap, topic, 2);
    await put(1);
    await until("what is in the new partition", () => intake.messages.length === 2);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
  }, 60_000);

  test.each(["alone", "in a group"])(
    "holds up no partition of another, is named, and is read once it can be reached: %s",
    async (how) => {
      isHidden = true;
      const topic = await newTopic(kafka.bootstrap, { partitions: 2 });
      for (const partition of [0, 1])
        await produceByKcat(
          kafka.bootstrap,
          topic,
          [{ key: "acme/d1", value: `${partition}` }],
          ["-p", `${partition}`],
        );
      const env = {
        KAFKA_BOOTSTRAP_SERVERS: `${host}:${proxy.port}`,
        KAFKA_SOURCE_TOPIC: topic,
        KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
        ...(how === "alone" ? {} : { KAFKA_CONSUMER_GROUP_ID: await groupOf(1, kafka.bootstrap) }),
      };
      const source = openSource(env);
      opened.push(source);
      const intake = fakeIntake(() => source);
      await source.start(intake);
      await until("the other broker's", () => intake.messages.length === 1);
      await until("it is named", () => source.status().detail.includes("cannot be reached"));
      expect(source.status().connected).toBe(true);
      const said = await probe(kafkaSettingsOf(env)).catch(String);
      expect(said).toContain("cannot be reached at the address that it advertises");
      isHidden = false;
      await until("all", () => intake.messages.length === 2, 30_000);
      await until("nothing is wrong", () => !source.status().detail.includes("cannot"));
      expect(intake.texts().toSorted()).toEqual(["0", "1"]);
    },
    60_000,
  );
});
