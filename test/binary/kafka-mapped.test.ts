/** Messages of a foreign form in a Kafka topic, their MQTT topic as the key, read by a mapping; killed in between, each once. */
import { Database } from "bun:sqlite";
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { executable, sluice, startGateway, statsWhen, type GatewayProcess } from "../kit/gateway.ts";
import { sharedKafka } from "../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat } from "../kit/kafka/client.ts";

setDefaultTimeout(60_000);

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  kafkaTestable(),
].filter(Boolean);

let gateway: GatewayProcess | undefined;
afterEach(async () => {
  await gateway?.kill9();
  if (gateway) rmSync(dirname(gateway.dataDir), { recursive: true, force: true });
});

const mapping = `tenant = "acme"

[[mapping]]
topic = "zigbee2mqtt/{device}"
proof = "broker"
drop = "/linkquality"
`;

test.skipIf(absent.length > 0)(`a bridge's messages (skipped where: ${absent.join(", ")})`, async () => {
  const { bootstrap } = await sharedKafka();
  const topic = await newTopic(bootstrap);
  const send = (from: number, to: number) =>
    produceByKcat(
      bootstrap,
      topic,
      Array.from({ length: to - from + 1 }, (_, i) => ({
        key: `zigbee2mqtt/hall-${(from + i) % 3}`,
        value: JSON.stringify({ temperature: from + i, linkquality: 90 }),
      })),
    );
  gateway = await startGateway({});
  const { dataDir } = gateway;
  const file = join(dirname(dataDir), "mappings.toml");
  writeFileSync(file, mapping);
  for (const device of ["hall-0", "hall-1", "hall-2"])
    expect(
      (await sluice({ DATA_DIR: dataDir }, "devices", "add", "acme", device, "--site", "hall")).code,
    ).toBe(0);
  await gateway.stop();
  const env = {
    KAFKA_BOOTSTRAP_SERVERS: bootstrap,
    KAFKA_SOURCE_TOPIC: topic,
    KAFKA_SOURCE_KEY: "topic",
    KAFKA_SINK_ENABLED: "0",
    MAPPINGS_FILE: file,
    RATE_LIMIT_RPS: "0",
  };
  await send(1, 300);
  gateway = await startGateway(env, dataDir);
  await statsWhen(gateway, ({ ingest }) => ingest.accepted > 0);
  await gateway.kill9();
  gateway = await startGateway(env, dataDir);
  await send(301, 400);
  const stats = await statsWhen(
    gateway,
    ({ ingest, sinks }) => ingest.accepted >= 400 && sinks["local"]?.waiting === 0,
  );
  expect(stats).toMatchObject({ balanced: true, ingest: { accepted: 400, rejected: {} } });
  const db = new Database(join(dataDir, "local.db"), { readonly: true });
  const rows = db
    .query<{ payload: string; topic: string }, []>("SELECT payload, topic FROM raw_events")
    .all();
  db.close();
  const numbers = rows.map(
    ({ payload }) => (JSON.parse(payload) as { metrics: { temperature: number } }).metrics.temperature,
  );
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  expect(new Set(rows.map((row) => row.topic))).toEqual(
    new Set([0, 1, 2].map((n) => `zigbee2mqtt/hall-${n}`)),
  );
});
