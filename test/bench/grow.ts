/**
 * What it costs to grow past one machine, all of it on this one: one, two and three gateways in a share group at one broker and one
 * PostgreSQL, then a site's gateway that writes to Kafka and a central one that reads from it into PostgreSQL.
 *
 * The broker is loaded before the clock starts, as in ingest.ts. More gateways than cores cannot be faster: what is to be read is what a
 * message costs each, and that every message is stored once.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { registrySql } from "../../src/simulator/registration.ts";
import { localTables } from "../fault/tables.ts";
import { sluice, startGateway, statsWhen, type GatewayProcess } from "../kit/gateway.ts";
import { kafkaAvailable, startKafka } from "../kit/kafka/broker.ts";
import { newTopic } from "../kit/kafka/client.ts";
import { startMosquitto, type Mosquitto } from "../kit/mosquitto.ts";
import { startPostgres, type PostgresServer } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";
import { createLoad, type Load, usualLoad } from "./load.ts";
import { openPublisher } from "./publish.ts";
import { registered } from "./subject.ts";

const patienceMs = 300_000;

/** How many messages. */
export async function run([count = "60000"]: readonly string[]): Promise<void> {
  const messages = Number(count);
  const mosquitto = await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] });
  const server = await startPostgres({ fsync: true });
  const load = createLoad(usualLoad);
  console.log(`${messages} QoS 1 messages of 1,000 devices\n`);
  for (const gateways of [1, 2, 3]) await shared({ mosquitto, server, load, messages }, gateways);
  if (kafkaAvailable() === "") await chain({ mosquitto, server, load, messages });
  else console.log(kafkaAvailable());
  await mosquitto.dispose();
  await server.stop();
}

interface Bench {
  readonly mosquitto: Mosquitto;
  readonly server: PostgresServer;
  readonly load: Load;
  readonly messages: number;
}

async function shared(bench: Bench, count: number): Promise<void> {
  const { mosquitto, messages } = bench;
  const url = await registered(bench);
  const group = `group-${count}`;
  const env = (i: number) => ({
    MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`,
    MQTT_SHARE_GROUP: group,
    DATABASE_URL: url,
    GATEWAY_ID: `${group}-${i}`,
    RATE_LIMIT_RPS: "0",
  });
  const ids = Array.from({ length: count }, (_, i) => i);
  const dirs = ids.map(() => newDir());
  const before = await Promise.all(ids.map((i) => startGateway(env(i), dirs[i])));
  await Promise.all(before.map((gateway) => statsWhen(gateway, ({ source }) => isConnected(source))));
  // The sessions stay, and the broker keeps what comes for them.
  for (const gateway of before) await gateway.stop();
  await fill(bench);
  const from = performance.now();
  const gateways = await Promise.all(ids.map((i) => started(env(i), dirs[i])));
  await until(async () => (await stored(gateways, "postgres")) >= messages, patienceMs);
  report(`${count} in a share group`, performance.now() - from, messages, gateways);
  await complain(url, messages);
  for (const gateway of gateways) await gateway.stop();
}

async function chain(bench: Bench): Promise<void> {
  const { mosquitto, load, messages } = bench;
  const url = await registered(bench);
  const kafka = await startKafka({ java: ["-Xmx512m"] });
  for (const topic of ["iot_validated_data", "iot_errors"]) await newTopic(kafka.bootstrap, {}, topic);
  const [siteDir, centralDir] = [newDir(), newDir()];
  await sluice({ DATA_DIR: siteDir }, "migrate");
  await localTables(() => join(siteDir, "local.db")).run(registrySql(load.registry));
  const site = {
    MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`,
    KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap,
    GATEWAY_ID: "site",
    RATE_LIMIT_RPS: "0",
  };
  const central = {
    KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap,
    KAFKA_VALIDATED_SOURCE: "1",
    DATABASE_URL: url,
    GATEWAY_ID: "central",
  };
  const early = await startGateway(site, siteDir);
  await statsWhen(early, ({ source }) => isConnected(source));
  await early.stop();
  await fill(bench);
  const from = performance.now();
  const gateways = [await started(site, siteDir), await started(central, centralDir)];
  await until(async () => (await stored(gateways, "postgres")) >= messages, patienceMs);
  report("site → Kafka → central", performance.now() - from, messages, gateways);
  await complain(url, messages);
  for (const gateway of gateways) await gateway.stop();
  await kafka.stop();
}

/** Without what a start costs. */
function report(what: string, ms: number, messages: number, gateways: readonly Started[]): void {
  const rate = Math.round((messages / ms) * 1000).toLocaleString("en");
  const cpu = gateways.map((gateway) => (spent(gateway) / messages).toFixed(1));
  const all = gateways.reduce((sum, gateway) => sum + spent(gateway), 0) / messages;
  console.log(
    `${what.padEnd(28)} ${rate.padStart(8)} msg/s stored in PostgreSQL; µs CPU a message: ${cpu.join(" + ")} = ${all.toFixed(1)}`,
  );
}

type Started = GatewayProcess & { readonly startMicros: number };
const spent = ({ cpuMicros, startMicros }: Started) => cpuMicros() - startMicros;

async function started(env: Record<string, string>, dataDir: string | undefined): Promise<Started> {
  const gateway = await startGateway(env, dataDir);
  return { ...gateway, startMicros: gateway.cpuMicros() };
}

/** Every message once. */
async function complain(url: string, messages: number): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  const [row] = await sql<{ rows: number; different: number }[]>`
    select count(*)::int as rows, count(distinct (tenant_id, device_id, payload ->> 'seq', event_ts))::int as different from raw_events`;
  await sql.end();
  if (row?.rows !== messages) console.log(`  but ${row?.rows} rows are stored (${row?.different} different)`);
}

async function fill({ mosquitto, load, messages }: Bench): Promise<void> {
  const publisher = await openPublisher(mosquitto.port);
  await publisher.send(load, 0, messages);
  publisher.close();
}

async function stored(gateways: readonly GatewayProcess[], sink: string): Promise<number> {
  const stats = await Promise.all(gateways.map((gateway) => gateway.stats()));
  return stats.reduce((sum, { sinks }) => sum + (sinks[sink]?.delivered ?? 0), 0);
}

const isConnected = (source: unknown) => (source as { connected: boolean }).connected;
const newDir = () => join(mkdtempSync(join(tmpdir(), "sluice-bench-")), "data");
