/** The former cache service in this one executable: its environment as it was and two settings more, its topics, its keys in Redis. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { executable, sluice, startGateway, statsWhen, type GatewayProcess } from "../kit/gateway.ts";
import { sharedKafka } from "../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat } from "../kit/kafka/client.ts";
import { redisAvailable, startRedis, type RedisServer } from "../kit/redis.ts";

setDefaultTimeout(60_000);

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  kafkaTestable(),
  redisAvailable(),
].filter(Boolean);

let gateway: GatewayProcess | undefined;
let redis: RedisServer | undefined;
afterEach(async () => {
  await gateway?.kill9();
  await redis?.stop();
  if (gateway) rmSync(dirname(gateway.dataDir), { recursive: true, force: true });
});

/** As the first version of that pipeline wrote it, and as a later one did. */
const first = {
  request_id: "1b0f",
  timestamp: "2026-04-27T16:51:02.123000",
  device_id: "sensor-1",
  values: [21.5],
  label: ["temperature"],
  index: "",
  metadata: { datatype_id: "17", datatype_name: "Temperature", datatype_unit: "C", persist: true },
};
const later = {
  ...first,
  timestamp: "2026-07-01T08:00:00",
  device_id: "sensor-2",
  values: [55, 1],
  label: null,
  labels: ["humidity", "state"],
  display_names: ["Humidity", "State"],
  metadata: {
    datatype_id: ["18", "19"],
    datatype_name: ["Humidity", "State"],
    datatype_unit: ["%", ""],
    persist: [false, true],
    datatype_category: "climate",
  },
};

test.skipIf(absent.length > 0)(
  `serves the readers of its cache (skipped where: ${absent.join(", ")})`,
  async () => {
    const { bootstrap } = await sharedKafka();
    redis = await startRedis();
    const [validated, errors] = [await newTopic(bootstrap), await newTopic(bootstrap)];
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: bootstrap,
      KAFKA_VALIDATED_DATA_TOPIC: validated,
      KAFKA_ERROR_TOPIC: errors,
      KAFKA_CONSUMER_GROUP_ID: `cache_service_group-${validated}`,
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "1.0",
      REDIS_HOST: "127.0.0.1",
      REDIS_PORT: String(redis.port),
      REDIS_DB: "0",
      REDIS_METADATA_TTL: "86400",
      LOG_LEVEL: "INFO",
      KAFKA_VALIDATED_SOURCE: "1",
      REDIS_TENANT: "default",
    };
    const put = (topic: string, ...values: unknown[]) =>
      produceByKcat(
        bootstrap,
        topic,
        values.map((value) => ({ key: "k", value: JSON.stringify(value) })),
      );
    await put(
      validated,
      first,
      later,
      { ...first, values: [22], timestamp: "2026-04-27T16:52:00" },
      { no: "reading" },
    );
    await put(errors, { service: "dispatcher", error: "Unexpected Script Error: x" });
    gateway = await startGateway(env);
    const stats = await statsWhen(
      gateway,
      ({ ingest, sinks }) => ingest.rejected["BAD_TOPIC_FORMAT"] === 1 && sinks["redis"]?.delivered === 3,
    );
    expect(stats).toMatchObject({
      balanced: true,
      ingest: { accepted: 3, rejected: { BAD_TOPIC_FORMAT: 1 } },
    });
    await statsWhen(gateway, ({ source }) => (source as { errors_counted?: number }).errors_counted === 1);
    const hash = async (device: string) =>
      redis?.send("HGETALL", `device:${device}:metadata`) as Promise<Record<string, string>>;
    expect(await hash("sensor-1")).toMatchObject({
      datatype_id: "17",
      datatype_name: "Temperature",
      datatype_unit: "C",
      persist: "true",
      last_updated: expect.stringMatching(/^2026-04-27T16:52:00/),
    });
    expect(await hash("sensor-2")).toMatchObject({ datatype_id: "18", datatype_unit: "%", persist: "false" });
    expect(((await redis.send("SMEMBERS", "devices")) as string[]).sort()).toEqual(["sensor-1", "sensor-2"]);
    expect(Number(await redis.send("TTL", "device:sensor-1:metadata"))).toBeGreaterThan(86_000);
    const { code, out } = await sluice({ ...env, DATA_DIR: gateway.dataDir }, "check");
    expect([code, out]).toEqual([
      0,
      expect.stringContaining(`Kafka at ${bootstrap}: ${validated} (3 partitions), ${errors}`),
    ]);
  },
);
