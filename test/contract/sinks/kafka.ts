/**
 * The Kafka sink in the contract suite: a real broker behind a proxy, read by kcat; it never takes a record that is
 * too large.
 */
import { sharedKafka } from "../../kit/kafka/broker.ts";
import { kafkaTestable, proxied } from "../../kit/kafka/client.ts";
import { numbersOf, openKafka } from "../../kit/kafka/sink.ts";
import type { SinkFixture } from "../fixtures.ts";

export const fixture: SinkFixture = {
  name: "kafka",
  unavailable: kafkaTestable(),
  positions: true,
  outages: true,
  poison: { payload: JSON.stringify({ metrics: { n: 1, text: "x".repeat(30_000) } }) },
  async open(timeoutMs) {
    const env = { KAFKA_TIMEOUT_MS: String(timeoutMs) };
    const { bootstrap } = await sharedKafka();
    const proxy = await proxied(bootstrap);
    const kafka = await openKafka(bootstrap, { configs: { "max.message.bytes": "20000" } }, proxy.bootstrap);
    return {
      sink: kafka.open({ env }),
      // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
      reopen: async () => kafka.open({ env }),
      stored: async () => numbersOf(await kafka.events()),
      far: (mode) => proxy.mode(mode === "hang" ? "blackhole" : mode),
      async stop() {
        await kafka.close();
        await proxy.stop();
      },
    };
  },
};
