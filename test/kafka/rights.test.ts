/** What `check` asks for beside a gateway that runs does nothing to its transaction, nor to a group. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import type { Topic } from "../../src/kafka/requests.ts";
import { provedGroup, provedTransaction } from "../../src/kafka/rights.ts";
import { connectWire } from "../../src/kafka/wire.ts";
import { sharedKafka } from "../kit/kafka/broker.ts";
import { kafkaTestable, newTopic } from "../kit/kafka/client.ts";
import { kafkaSettingsOf } from "../kit/kafka/source.ts";

setDefaultTimeout(60_000);

test.skipIf(kafkaTestable() !== "")(
  `an open transaction goes on after a check of its rights (${kafkaTestable() || "real"})`,
  async () => {
    const { bootstrap } = await sharedKafka();
    const name = await newTopic(bootstrap);
    const id = `sluice-${name}`;
    const wire = await connectWire(kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap }), id, systemClock);
    const [topic] = (await wire.topics([name])).topics as [Topic];
    const node = await wire.coordinator("transaction", id);
    const groupNode = await wire.coordinator("group", id);
    const prove = async () => {
      await provedTransaction(wire, id, id);
      await provedGroup(wire, id);
    };
    // Nobody has used the id and the group yet.
    await prove();
    const sender = { transactionalId: id, producer: await wire.initProducer(node, id, 10_000) };
    await prove();
    await wire.announce(node, sender, [{ topic, partition: 0 }]);
    await wire.announceGroup(node, sender, id);
    await prove();
    await wire.commitOffset(groupNode, sender, 1, { group: id, topic, partition: 0, offset: 7, words: "it" });
    await prove();
    await wire.endTransaction(node, sender, 1);
    await prove();
    expect(await wire.offset(groupNode, { group: id, topic, partition: 0 })).toEqual({
      offset: 7,
      words: "it",
    });
    await wire.close();
  },
);
