/** A group in which others read as well. */
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import type { Source } from "../../../src/core/source.ts";
import { joinGroup } from "../../../src/kafka/group.ts";
import { createFetchPace } from "../../../src/kafka/paced.ts";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import {
  addPartitions,
  kafkaTestable,
  limit,
  newTopic,
  produceByKcat,
  proxied,
} from "../../kit/kafka/client.ts";
import { kafkaSettingsOf, openSource } from "../../kit/kafka/source.ts";
import { type FakeIntake, fakeIntake, until } from "../../kit/source.ts";

describe.skipIf(kafkaTestable() !== "")(`a group of Kafka (${kafkaTestable() || "real"})`, () => {
  const opened: Source[] = [];
  afterEach(async () => {
    for (const source of opened.splice(0)) await source.close();
  });

  test("says that other programs deal the group's partitions out in another way, and not that it reads", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap);
    const group = `group-${topic}`;
    await produceByKcat(bootstrap, topic, [{ key: "acme/d1", value: "1" }]);
    const others = Bun.spawn(
      ["kcat", "-u", "-b", bootstrap, "-X", "auto.offset.reset=earliest", "-G", group, topic],
      {
        stdout: "pipe",
        stderr: "ignore",
      },
    );
    // It has a part of the group once it reads.
    await others.stdout.getReader().read();
    const source = openSource({
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: group,
    });
    opened.push(source);
    await source.start(fakeIntake());
    expect(source.status()).toMatchObject({
      connected: false,
      detail: expect.stringContaining("a KAFKA_CONSUMER_GROUP_ID of their own") as string,
    });
    others.kill();
    await others.exited;
    await until("it reads", () => source.status().connected);
  });

  test("takes in nobody who reads other topics, and says so there: they would be nobody's", async () => {
    const { bootstrap } = await sharedKafka();
    const topics = [
      await newTopic(bootstrap, { partitions: 2 }),
      await newTopic(bootstrap, { partitions: 2 }),
    ];
    const members = topics.map((topic) => {
      const source = openSource(
        {
          KAFKA_BOOTSTRAP_SERVERS: bootstrap,
          KAFKA_SOURCE_TOPIC: topic,
          KAFKA_CONSUMER_GROUP_ID: `group-${topics[0]}`,
          KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
        },
        new Map(),
        `of-${topic}`,
      );
      const intake = fakeIntake(() => source);
      opened.push(source);
      return { source, intake };
    });
    const [first, other] = members as [(typeof members)[0], (typeof members)[0]];
    const put = (n: number) =>
      produceByKcat(
        bootstrap,
        topics[0] ?? "",
        [{ key: "acme/d1", value: String(n) }],
        ["-p", String(n % 2)],
      );
    await first.source.start(first.intake);
    await put(1);
    await until("it reads", () => first.intake.messages.length === 1);
    await other.source.start(other.intake);
    await until("it says so", () => other.source.status().detail.includes("gateways that read other topics"));
    expect(other.source.status().connected).toBe(false);
    await put(2);
    await put(3);
    await until("the first reads all of its own", () => first.intake.messages.length === 3);
    expect(first.source.status()).toMatchObject({ connected: true, reconnects: 0 });
  });

  test("says that the brokers are away, and goes on once they are back", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap);
    const proxy = await proxied(bootstrap);
    const source = openSource({
      KAFKA_BOOTSTRAP_SERVERS: proxy.bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: `group-${topic}`,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    });
    opened.push(source);
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await until("it reads", () => source.status().connected);
    proxy.mode("refuse");
    await until("it says so", () => !source.status().connected);
    expect(source.status().detail).toContain(`cannot connect to Kafka at ${proxy.bootstrap}`);
    proxy.mode("pass");
    await produceByKcat(bootstrap, topic, [{ key: "acme/d1", value: "1" }]);
    await until("it goes on", () => intake.messages.length === 1, 40_000);
    await source.close();
    await proxy.stop();
  });

  test("takes in partitions that the topic gets meanwhile, whoever of it they fall to", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 2 });
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: `group-${topic}`,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    };
    const put = (partition: number, n: number) =>
      produceByKcat(bootstrap, topic, [{ key: "acme/d1", value: String(n) }], ["-p", String(partition)]);
    const hurried = { ...systemClock, every: (_ms: number, run: () => void) => systemClock.every(500, run) };
    const members = ["one", "two"].map((name) => {
      const intake = fakeIntake(() => source);
      const source = openSource(env, new Map(), name, hurried);
      opened.push(source);
      return { source, intake };
    });
    const read = () => members.map(({ intake }) => intake.messages.length);
    for (const { source, intake } of members) await source.start(intake);
    await until("each has one", async () => {
      for (const partition of [0, 1]) await put(partition, partition);
      return read().every((count) => count > 0);
    });
    await addPartitions(bootstrap, topic, 4);
    for (const partition of [2, 3]) await put(partition, partition);
    const texts = () => members.map(({ intake }) => intake.texts().toSorted().at(-1));
    await until("each has another", () => texts().join() === "2,3" || texts().join() === "3,2", 40_000);
    expect(members.map(({ source }) => source.status().connected)).toEqual([true, true]);
  });

  test("commits what becomes durable while the partitions are about to be dealt out anew, so that nobody reads it again", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 4 });
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: `group-${topic}`,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    };
    const put = (from: number) =>
      produceByKcat(
        bootstrap,
        topic,
        Array.from({ length: 40 }, (_, n) => ({ key: `acme/d${n}`, value: String(from + n) })),
      );
    const [slow, other] = [fakeIntake(), fakeIntake(() => second)];
    const first = openSource(env, new Map(), "one");
    const second = openSource(env, new Map(), "two");
    opened.push(first, second);
    await put(1);
    await first.start(slow);
    await until("the first has all", () => slow.messages.length === 40);
    await second.start(other);
    // Heartbeats go out every three seconds: one tells that another has come.
    await Bun.sleep(5_000);
    const durable = (intake: FakeIntake) => first.durable(intake.messages);
    durable(slow);
    await put(101);
    await until("both have theirs", () => {
      durable(slow);
      return other.messages.length > 0 && other.messages.length + slow.messages.length >= 80;
    });
    const texts = [...slow.texts(), ...other.texts()].toSorted();
    expect(texts).toEqual([...new Set(texts)]);
  });

  test("does not call the group silent that deals out anew while its own intake is held", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 2 });
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: `group-${topic}`,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    };
    const put = (n: number) =>
      produceByKcat(bootstrap, topic, [{ key: "acme/d1", value: String(n) }], ["-p", String(n % 2)]);
    const hurried = {
      ...systemClock,
      every: (ms: number, run: () => void) => systemClock.every(ms / 6, run),
    };
    const [held, other] = [fakeIntake(() => first), fakeIntake(() => second)];
    const first = openSource(env, new Map(), "one", hurried);
    const second = openSource(env, new Map(), "two");
    opened.push(first, second);
    await first.start(held);
    await put(1);
    await until("it reads", () => held.messages.length === 1);
    held.held = "the disk is full";
    await put(2);
    await Bun.sleep(500);
    await second.start(other);
    await Bun.sleep(20_000);
    expect(first.status()).toMatchObject({ connected: true, reconnects: 0 });
    held.drain();
    await put(3);
    await put(4);
    // What moves to the other before it is committed comes there once more.
    const read = () => new Set([...held.texts(), ...other.texts()]);
    await until("both go on", () => read().size === 4, 30_000);
  });

  test("waits as long as the broker says if it is over its quota, by the same connections", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 1 });
    await limit(bootstrap, "consumer", "slow-member", 10_000);
    const large = Array.from({ length: 130 }, (_, n) => ({ key: "d", value: `${n} ${"x".repeat(1_000)}` }));
    await produceByKcat(bootstrap, topic, large, ["-X", "batch.num.messages=10"]);
    const proxy = await proxied(bootstrap);
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: proxy.bootstrap,
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_CONSUMER_GROUP_ID: `group-${topic}`,
      KAFKA_TIMEOUT_MS: "2000",
    };
    const source = openSource(env, new Map(), "slow-member");
    opened.push(source);
    const intake = fakeIntake(() => source);
    await source.start(intake);
    await until("the first", () => intake.messages.length > 0);
    const connections = proxy.accepted();
    await until("all", () => intake.messages.length >= 130, 40_000);
    expect(intake.messages.length).toBe(130);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
    expect(proxy.accepted()).toBe(connections);
    await source.close();
    await proxy.stop();
  });

  test("has nothing dealt out anew when the gateway that leads it starts again, but for partitions that are new", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 2 });
    const join = async () => {
      let deals = 0;
      const heard = Promise.withResolvers<void>();
      const group = await joinGroup({
        settings: kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap, KAFKA_SOURCE_TOPIC: topic }),
        ...{ clientId: "one", groupId: `group-${topic}`, instanceId: "one", topics: [topic], waitMs: 100 },
        pace: createFetchPace(),
        clock: { ...systemClock, every: (_ms, run) => systemClock.every(200, run) },
        take: async () => {},
        watch: { isPutOff: () => false, epochAt: () => -1, read() {}, outOfRange: async () => {} },
        leaderless() {},
        dealsAnew: () => void deals++,
        heard: heard.resolve,
        refused: heard.reject,
      });
      await heard.promise;
      return { group, deals: () => deals };
    };
    const first = await join();
    await first.group.leave();
    const again = await join();
    // It looks some ten times.
    await Bun.sleep(2_000);
    expect(again.deals()).toBe(0);
    await addPartitions(bootstrap, topic, 4);
    await until("they are dealt out", () => again.deals() > 0);
    // It may have looked once more before it joined again.
    await Bun.sleep(1_000);
    const deals = again.deals();
    await Bun.sleep(1_000);
    expect(again.deals()).toBe(deals);
    await again.group.leave();
  });
});
