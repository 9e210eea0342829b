/** A topic of a real Kafka, written by kcat, in the contract suite. */
import { kafka } from "../../../src/source/kafka/source.ts";
import { sharedKafka } from "../../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat } from "../../kit/kafka/client.ts";
import { kafkaSettingsOf, openSource } from "../../kit/kafka/source.ts";
import type { SourceFixture } from "../sources.test.ts";

export const fixture: SourceFixture = {
  name: "kafka",
  unavailable: kafkaTestable(),
  async open() {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap);
    const env = { KAFKA_BOOTSTRAP_SERVERS: bootstrap, KAFKA_SOURCE_TOPIC: topic };
    const source = openSource(env);
    return {
      source,
      probe: () => kafka.probe(kafkaSettingsOf(env)),
      send: (texts) =>
        produceByKcat(
          bootstrap,
          topic,
          texts.map((value) => ({ key: "acme/d1/telemetry", value })),
        ),
      // What was not durable is still in the log.
      sendAgain: () => Promise.resolve(),
      stop: () => source.close(),
    };
  },
};
