/**
 * What a message costs as the site grows: devices, tenants, bytes of a payload, messages of a backlog, gateways in a share group (their
 * CPU and memory in one sum), sinks (PostgreSQL, InfluxDB, Redis, Kafka); and the way over Kafka. One thing grows at a time, all else is
 * as usual; each row is a cold and a warm backlog as in ingest.ts, beside the bare receiver with the same load: what grows there as
 * well, such as the bytes of a payload, is not the gateway's. All of it runs on this machine: more gateways than cores cannot be faster.
 */
import { kafkaAvailable, startKafka } from "../kit/kafka/broker.ts";
import { newTopic } from "../kit/kafka/client.ts";
import { influxdAvailable, startInfluxd } from "../kit/influxd.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import { chainSubject } from "./chain.ts";
import type { Figure } from "./figures.ts";
import { measure } from "./ingest.ts";
import { createLoad, usualLoad } from "./load.ts";
import { bareReceiver, type Base, sluiceSubject, type Subject } from "./subject.ts";

const axes = {
  devices: [100, 1_000, 10_000, 100_000, 1_000_000],
  tenants: [1, 100, 10_000],
  bytes: [100, 300, 1_000, 8_000],
  backlog: [10_000, 100_000, 1_000_000],
} as const;

const gatewaysMax = 3;
/** AUTH_CACHE_MAX_SIZE of a gateway that nobody set up. */
const fleetMax = 100_000;

export const scalingAxes: readonly string[] = [...Object.keys(axes), "gateways", "sinks", "chain"];

export interface ScalingOptions {
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  readonly messages: number;
  /** Of the sizes of an axis, there and back: what the machine does meanwhile is no size's alone. */
  readonly rounds: number;
  /** The largest size that is tried: a million takes minutes. */
  readonly sizeMax: number;
  /** What grows. */
  readonly axes: readonly string[];
}

export async function scaling(site: Base, options: ScalingOptions): Promise<Figure[]> {
  const { file, env, messages, rounds, axes: asked } = options;
  const figures: Figure[] = [];
  const usual = { subject: sluiceSubject({ file, env }), load: usualLoad, count: messages };
  const row = async (bench: string, changed: Partial<typeof usual>) => {
    const { subject, load, count } = { ...usual, ...changed };
    figures.push(
      ...(await measure({ ...site, load: createLoad(load) }, subject, count, bench)).filter(isOfInterest),
    );
  };
  const thereAndBack = async (sizes: readonly Size[]) => {
    for (let round = 0; round < rounds; round++)
      for (const { bench, ...changed } of round % 2 === 0 ? sizes : sizes.toReversed()) {
        await row(bench, { ...changed, subject: bareReceiver });
        await row(bench, changed);
      }
  };
  for (const axis of asked.filter((name) => name !== "sinks" && name !== "chain"))
    await thereAndBack(axis === "gateways" ? gatewaySizes(options) : sizesOf(axis, options));
  if (asked.includes("sinks")) {
    const { settings, stop } = await startSinks();
    await thereAndBack(sinkSizes(options, settings)).finally(stop);
  }
  if (asked.includes("chain") && kafkaAvailable() === "")
    await row("site → Kafka → centre", { subject: chainSubject(file) });
  return figures;
}

/** What is not as usual at this size of an axis. */
interface Size {
  readonly bench: string;
  readonly subject?: Subject;
  readonly load?: typeof usualLoad;
  readonly count?: number;
}

function sizesOf(axis: string, { file, env, messages, sizeMax }: ScalingOptions): Size[] {
  const sizes = axes[axis as keyof typeof axes].filter((size) => size <= sizeMax);
  return sizes.map((size) => {
    const bench = `${size.toLocaleString("en")} ${axis}`;
    if (axis === "backlog") return { bench, count: size };
    const devices = axis === "tenants" ? Math.max(usualLoad.devices, size) : usualLoad.devices;
    const load = { ...usualLoad, devices, [axis]: size };
    if (axis !== "devices") return { bench, load };
    const subject = sluiceSubject({ file, env: { ...env, ...fitFor(size) } });
    // Every device speaks in every backlog, or those of the warm one would be as new as those of the cold one.
    return { bench, load, count: Math.max(messages, size), subject };
  });
}

/** A fleet that the auth cache has no room for, or that takes longer than a row's time to speak, is set up as docs/sizing.md says. */
const fitFor = (devices: number): Record<string, string> =>
  devices <= fleetMax ? {} : { AUTH_CACHE_MAX_SIZE: String(devices), AUTH_CACHE_TTL_SECONDS: "3600" };

/** Each gateway has as many messages as one alone: what it has compiled by then tells more than how many there are. */
const gatewaySizes = ({ file, env, messages }: ScalingOptions): Size[] =>
  Array.from({ length: gatewaysMax }, (_, i) => ({
    bench: `${i + 1} gateways`,
    subject: sluiceSubject({ file, env, gateways: i + 1 }),
    count: (i + 1) * messages,
  }));

const sinkSizes = ({ file, env }: ScalingOptions, settings: readonly Record<string, string>[]): Size[] =>
  Array.from({ length: settings.length + 1 }, (_, i) => ({
    bench: `${i + 1} sinks`,
    subject: sluiceSubject({ file, env: Object.assign({}, env, ...settings.slice(0, i)) as typeof env }),
  }));

const isOfInterest = ({ name }: Figure) =>
  /^warm: (arrived|in every|gateway|first|lost)|^(up to PUBACK: )?peak/.test(name);

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
