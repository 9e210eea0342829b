/**
 * What a message costs as the site grows: devices, tenants, bytes of a payload, messages of a backlog, sinks. One thing grows at a time, all
 * else is as usual; each row is a cold and a warm backlog as in ingest.ts. Gateways in a share group are in grow.ts.
 */
import { kafkaAvailable, startKafka } from "../kit/kafka/broker.ts";
import { newTopic } from "../kit/kafka/client.ts";
import { influxdAvailable, startInfluxd } from "../kit/influxd.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import type { Figure } from "./figures.ts";
import { measure } from "./ingest.ts";
import { createLoad, usualLoad } from "./load.ts";
import type { Base, Subject } from "./subject.ts";

const axes = {
  devices: [100, 1_000, 10_000, 100_000, 1_000_000],
  tenants: [1, 100, 10_000],
  bytes: [100, 300, 1_000, 8_000],
  backlog: [10_000, 100_000, 1_000_000],
} as const;

export interface ScalingOptions {
  /** Of ours: the settings are added to its own. */
  readonly subject: (env: Readonly<Record<string, string>>) => Subject;
  readonly messages: number;
  /** The largest size that is tried: a million takes minutes. */
  readonly sizeMax: number;
}

export async function scaling(site: Base, options: ScalingOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  const row = async (bench: string, load = usualLoad, messages = options.messages, env = {}) => {
    const at = { ...site, load: createLoad(load) };
    figures.push(...(await measure(at, options.subject(env), messages, bench)).filter(isOfInterest));
  };
  for (const [axis, sizes] of Object.entries(axes)) {
    for (const size of sizes.filter((value) => value <= options.sizeMax)) {
      const bench = `${size.toLocaleString("en")} ${axis}`;
      if (axis === "backlog") await row(bench, usualLoad, size);
      else await row(bench, { ...usualLoad, devices: Math.max(usualLoad.devices, size), [axis]: size });
    }
  }
  const { settings, stop } = await startSinks();
  for (let count = 0; count <= settings.length; count++)
    await row(
      `${count + 1} sinks`,
      usualLoad,
      options.messages,
      Object.assign({}, ...settings.slice(0, count)),
    );
  await stop();
  return figures;
}

const isOfInterest = ({ name }: Figure) => /^warm: (arrived|gateway|first)|^peak/.test(name);

/** Sinks beside PostgreSQL, of whom a server can be started: the settings of each. */
async function startSinks() {
  const settings: Record<string, string>[] = [];
  const servers: { stop(): Promise<void> }[] = [];
  if (influxdAvailable() === "") {
    const influxd = await startInfluxd();
    servers.push(influxd);
    settings.push({ INFLUXDB_URL: influxd.url, INFLUX_RETENTION: "forever" });
  } else console.error(influxdAvailable());
  if (redisAvailable() === "") {
    const redis = await startRedis();
    servers.push(redis);
    settings.push({ REDIS_URL: redis.url });
  } else console.error(redisAvailable());
  if (kafkaAvailable() === "") {
    const kafka = await startKafka({ java: ["-Xmx512m"] });
    servers.push(kafka);
    for (const topic of ["iot_validated_data", "iot_errors"]) await newTopic(kafka.bootstrap, {}, topic);
    settings.push({ KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap });
  } else console.error(kafkaAvailable());
  return { settings, stop: () => Promise.all(servers.map((server) => server.stop())) };
}
