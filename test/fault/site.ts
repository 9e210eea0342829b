/**
 * A site for one fault: publisher → Mosquitto → (proxy) → gateway → (proxy) → PostgreSQL, and an oracle that watches.
 * The publisher talks to the broker directly: if its line were cut, its own repeats would arrive as new messages, and
 * a duplicate could be anybody's. The gateway works as a role that is not a superuser, as it should in the field.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type postgres from "postgres";
import type { Stats } from "../../src/admin/measurements.ts";
import type { Login } from "../../src/simulator/connection.ts";
import type { FleetDevice } from "../../src/simulator/device.ts";
import { publishFleet, type PublishResult } from "../../src/simulator/publisher.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { startInflux3, type Influx3 } from "../kit/influx3.ts";
import { sluice, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { startMosquitto, type Mosquitto } from "../kit/mosquitto.ts";
import { createOracle, type Oracle, type StoredRow } from "../kit/oracle.ts";
import { freePort } from "../kit/port.ts";
import { type PostgresServer } from "../kit/postgres.ts";
import { startProxy, type Proxy } from "../kit/proxy.ts";
import { openRedisBeside, type RedisBeside } from "./redis-beside.ts";
import type { KafkaOptions } from "../kit/kafka/broker.ts";
import { openKafkaSide, type KafkaSide } from "./kafka-side.ts";
import { ask, localTables, postgresTables, type Tables } from "./tables.ts";

/** What a site needs from a gateway: the executable's process, or a gateway inside this process. */
export type Gateway = Pick<GatewayProcess, "pid" | "stats" | "stop" | "kill9" | "log" | "exitCode">;

export interface SiteOptions {
  /** Lines of mosquitto.conf. Absent: a broker that keeps whatever comes while the gateway is away. */
  readonly brokerLines?: readonly string[];
  readonly protocolVersion?: 4 | 5;
  /** Messages per second while the fault happens; 0: the fault publishes itself. */
  readonly rate?: number;
  readonly devices?: number;
  /** Shares of the fleet's own faults; absent: three per cent rejects. */
  readonly faults?: Parameters<typeof createOracle>[0]["faults"];
  readonly spoil?: Parameters<typeof createOracle>[1];
  readonly env?: Readonly<Record<string, string>>;
  readonly dataDir?: string;
  /** Others send too; their messages have no "n". */
  readonly strangers?: boolean;
  /** The gateway is the broker itself, and the publisher talks to it. */
  readonly embedded?: boolean;
  /** The publisher POSTs to HTTP ingest. */
  readonly http?: boolean;
  /** The database's encoding; absent: UTF8. */
  readonly encoding?: string;
  /** No PostgreSQL: the tables are in the gateway's local store. */
  readonly local?: boolean;
  /** An InfluxDB (the fake of version 3) beside PostgreSQL, behind a proxy of its own. */
  readonly influx?: boolean;
  /** A Redis beside the tables, behind a proxy of its own; or a master and a replica behind a sentinel. */
  readonly redis?: "alone" | "sentinel";
  /** A real Kafka beside PostgreSQL, of its own, behind a proxy if it is one broker. */
  readonly kafka?: KafkaOptions;
  readonly launch?: (env: Record<string, string>, dataDir: string) => Promise<Gateway>;
}

/** `logins`: one connection per device, which proves itself. */
interface Limit {
  readonly count?: number;
  readonly rate?: number;
  readonly signal?: AbortSignal;
  readonly logins?: readonly Login[];
  readonly connections?: number;
}

export interface Load {
  /** Sends no more, waits for the answers. */
  stop(): Promise<void>;
}

/**
 * Keeps everything that comes while the gateway is away: the default keeps a thousand messages and discards the rest.
 */
export const tuned = ["max_queued_messages 0"];

const influxToken = "apiv3_of-the-fault-suite";
const fewRejects = { "bad-token": 0.01, "unknown-device": 0.01, "revoked-device": 0.01 };

export class Site {
  readonly options: SiteOptions;
  readonly server: PostgresServer;
  readonly broker: Mosquitto;
  readonly oracle: Oracle;
  readonly brokerLine: Proxy;
  readonly databaseLine: Proxy;
  readonly databaseUrl: string;
  readonly influx: { readonly server: Influx3; readonly line: Proxy } | undefined;
  readonly redis: RedisBeside | undefined;
  readonly kafka: KafkaSide | undefined;
  /** Rows that a fault took out of the tables, to be counted with them. */
  readonly aside: string[] = [];
  /** Where the gateway listens when it is the broker itself. */
  readonly embeddedPort: number;
  dataDir: string;
  readonly #tables: Tables;
  readonly #dirs: string[] = [];
  #gateways: Gateway[] = [];
  #loads = 0;

  /** Use `openSite`. */
  constructor(parts: {
    options: SiteOptions;
    server: PostgresServer;
    broker: Mosquitto;
    oracle: Oracle;
    brokerLine: Proxy;
    databaseLine: Proxy;
    databaseUrl: string;
    influx: { server: Influx3; line: Proxy } | undefined;
    redis: RedisBeside | undefined;
    kafka: KafkaSide | undefined;
    embeddedPort: number;
  }) {
    this.options = parts.options;
    this.server = parts.server;
    this.broker = parts.broker;
    this.oracle = parts.oracle;
    this.brokerLine = parts.brokerLine;
    this.databaseLine = parts.databaseLine;
    this.databaseUrl = parts.databaseUrl;
    this.influx = parts.influx;
    this.redis = parts.redis;
    this.kafka = parts.kafka;
    this.embeddedPort = parts.embeddedPort;
    this.#tables = this.options.local
      ? localTables(() => join(this.dataDir, "local.db"))
      : postgresTables(this.databaseUrl);
    this.dataDir = parts.options.dataDir ?? this.newDataDir();
  }

  get env(): Record<string, string> {
    const url = new URL(this.databaseUrl);
    return {
      ...(this.options.embedded
        ? { BROKER_LISTEN: `127.0.0.1:${this.embeddedPort}` }
        : {
            MQTT_URL: `mqtt://127.0.0.1:${this.brokerLine.port}`,
            MQTT_VERSION: this.options.protocolVersion === 4 ? "3.1.1" : "5",
          }),
      ...(!this.options.local && {
        DATABASE_URL: `postgres://sluice@127.0.0.1:${this.databaseLine.port}${url.pathname}`,
        PG_TIMEOUT_MS: "2000",
      }),
      ...(this.options.http && { INGEST_LISTEN: `127.0.0.1:${this.embeddedPort}` }),
      MODE: "DEV",
      STORE_REJECTS: "1",
      ...(this.influx && {
        INFLUXDB_URL: `http://127.0.0.1:${this.influx.line.port}`,
        INFLUXDB_TOKEN: influxToken,
        INFLUX_FLUSH_INTERVAL_MS: "100",
      }),
      ...this.redis?.env,
      ...this.kafka?.env,
      ...this.options.env,
    };
  }

  /** One that goes with the site, as does what stands beside it. */
  newDataDir(): string {
    const dir = mkdtempSync(join(tmpdir(), "sluice-fault-"));
    this.#dirs.push(dir);
    return join(dir, "data");
  }

  /** The last one started. */
  get gateway(): Gateway {
    const last = this.#gateways.at(-1);
    if (!last) throw new Error("no gateway was started");
    return last;
  }

  get gateways(): readonly Gateway[] {
    return this.#gateways;
  }

  /** Starts a gateway in place of the last one, on its data directory. */
  async start(): Promise<Gateway> {
    this.#gateways.pop();
    return this.startAnother();
  }

  /** Starts one more. `more` must name another GATEWAY_ID, `dataDir` another directory, while the first is there. */
  async startAnother(more: Record<string, string> = {}, dataDir = this.dataDir): Promise<Gateway> {
    const { launch = (given: Record<string, string>, dir: string) => startGateway(given, dir) } =
      this.options;
    const gateway = await launch({ ...this.env, ...more }, dataDir);
    this.#gateways.push(gateway);
    return gateway;
  }

  /** Puts a newly started gateway in place of an earlier one. */
  replace(gone: Gateway, by: Gateway): void {
    this.#gateways = this.#gateways.filter((gateway) => gateway !== gone && gateway !== by).concat(by);
  }

  async killAndStart(): Promise<void> {
    await this.gateway.kill9();
    await this.start();
  }

  load(rate = this.options.rate ?? 300): Load {
    const ending = new AbortController();
    const done = this.publish({ rate, signal: ending.signal });
    return {
      async stop() {
        ending.abort();
        await done;
      },
    };
  }

  get brokerUrl(): string {
    if (this.options.http) return `http://127.0.0.1:${this.embeddedPort}`;
    return `mqtt://127.0.0.1:${this.options.embedded ? this.embeddedPort : this.broker.port}`;
  }

  /** The logins of the devices that may send, one after the other. */
  logins(): Login[] {
    return this.oracle.fleet.devices
      .filter(({ status, tokenHash }) => status === "ACTIVE" && tokenHash !== null)
      .map(({ tenantId, deviceId, token }) => ({ username: `${tenantId}/${deviceId}`, password: token }));
  }

  /** Publishes until `count` or the signal; resolves when the broker has answered for all of it. */
  publish(limit: Limit): Promise<PublishResult> {
    return publishFleet({
      brokerUrl: this.brokerUrl,
      fleet: this.oracle.fleet,
      onAcknowledged: this.oracle.acknowledge,
      rate: 0,
      qos: 1,
      protocolVersion: this.options.protocolVersion ?? 5,
      connections: 4,
      window: 200,
      drainMs: 20_000,
      clientIdPrefix: `publisher-${++this.#loads}`,
      ...limit,
    });
  }

  /** Queries PostgreSQL as its superuser, past the proxy. */
  sql<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
    return ask(this.databaseUrl, work);
  }

  async migrate(): Promise<void> {
    const { pathname } = new URL(this.databaseUrl);
    const store: Record<string, string> = this.options.local
      ? { DATA_DIR: this.dataDir }
      : { DATABASE_URL: `postgres://sluice@127.0.0.1:${this.server.port}${pathname}` };
    const { code, out, err } = await sluice(store, "migrate");
    if (code !== 0) throw new Error(`sluice migrate: ${code}\n${out}${err}`);
  }

  /** Puts devices into the registry. */
  register(devices: readonly FleetDevice[] = this.oracle.fleet.devices): Promise<void> {
    return this.#tables.run(registrySql(devices));
  }

  /** All that is stored. */
  rows(): Promise<StoredRow[]> {
    return this.#tables.rows(this.aside);
  }

  rejectsCounted(): Promise<number> {
    return this.#tables.rejectsCounted();
  }

  stats(): Promise<Stats[]> {
    return Promise.all(this.#gateways.map((gateway) => gateway.stats()));
  }

  async close(): Promise<void> {
    for (const gateway of this.#gateways) await gateway.kill9();
    await this.broker.dispose();
    await this.brokerLine.stop();
    await this.databaseLine.stop();
    await this.kafka?.close();
    await this.influx?.line.stop();
    await this.influx?.server.stop();
    await this.redis?.stop();
    for (const dir of this.#dirs) rmSync(dir, { recursive: true, force: true });
  }
}

/** A site with its tables made, its devices registered and no gateway yet. */
export async function openSite(server: PostgresServer, options: SiteOptions): Promise<Site> {
  const { protocolVersion = 5, faults = fewRejects, devices = 50 } = options;
  const broker = await startMosquitto({ lines: options.brokerLines ?? tuned });
  const brokerLine = await startProxy({ port: broker.port });
  const databaseLine = await startProxy({ port: server.port });
  const oracle = createOracle(
    { seed: 7, devices, tenants: ["acme", "globex"], faults },
    options.spoil,
    options.strangers,
  );
  oracle.watch(brokerLine, protocolVersion);
  const databaseUrl = await server.createDatabase(options.encoding);
  const influx = options.influx ? await openInflux() : undefined;
  const redis = options.redis ? await openRedisBeside(options.redis) : undefined;
  const kafka = options.kafka ? await openKafkaSide(options.kafka) : undefined;
  const embeddedPort = await freePort();
  const parts = {
    options,
    server,
    broker,
    oracle,
    brokerLine,
    databaseLine,
    databaseUrl,
    influx,
    redis,
    kafka,
    embeddedPort,
  };
  const site = new Site(parts);
  await site.sql(async (sql) => {
    await sql.unsafe(
      "do $$ begin create role sluice login; exception when duplicate_object then null; end $$",
    );
    await sql.unsafe(`alter database ${new URL(databaseUrl).pathname.slice(1)} owner to sluice`);
    await sql.unsafe("alter schema public owner to sluice");
  });
  await site.migrate();
  await site.register();
  return site;
}

async function openInflux(): Promise<{ server: Influx3; line: Proxy }> {
  const server = await startInflux3({ token: influxToken });
  return { server, line: await startProxy({ port: Number(new URL(server.url).port) }) };
}
