/**
 * Whoever carries messages from the broker onward, and is measured: an executable of ours, the bare receiver below it, a peer beside it.
 * To all of them the same is done, and about all of them only what can be seen from outside is asked.
 */
import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { join } from "node:path";
import postgres from "postgres";
import type { Stats } from "../../src/admin/measurements.ts";
import { registryCsv } from "../../src/simulator/registration.ts";
import { executable, type GatewayProcess, startGateway, statsWhen } from "../kit/gateway.ts";
import type { Mosquitto } from "../kit/mosquitto.ts";
import type { PostgresServer } from "../kit/postgres.ts";
import type { Load } from "./load.ts";
import { endsWithUs } from "./process.ts";
import { openPublisher } from "./publish.ts";

const patienceMs = 120_000;

export interface Base {
  readonly server: PostgresServer;
  readonly load: Load;
}

export interface Site extends Base {
  /** Whoever the messages come from. */
  readonly broker: Pick<Mosquitto, "port" | "pid">;
}

export interface Subject {
  readonly name: string;
  /** Its executable; absent: not of interest. */
  readonly file?: string;
  start(site: Site): Promise<Running>;
}

/** What has arrived of some messages; more rows than messages are doubles. */
export interface Arrival {
  readonly rows: number;
  /** When each did, in ms since the epoch; 0: not yet. */
  readonly timesMs: Float64Array;
}

export interface Running {
  /** More than one if several share the work. */
  readonly pids: readonly number[];
  readonly spawnedMs: number;
  arrived(from: number, count: number): Promise<Arrival>;
  /** Keeps all rows out until it is released; absent if that would hold the PUBACKs as well. */
  hold?(): Promise<() => Promise<void>>;
  stop(): Promise<unknown>;
}

export interface SluiceOptions {
  readonly file?: string;
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** So many of them in a share group; absent: one, without a group. */
  readonly gateways?: number;
}

/** A gateway with default settings, and those in `env`. */
export function sluiceSubject({
  file = executable,
  name = "sluice",
  env = {},
  gateways: members,
}: SluiceOptions = {}): Subject {
  return {
    name,
    file,
    async start({ broker, server, load }) {
      const url = await registered({ server, load }, file);
      const mqtt = `mqtt://127.0.0.1:${broker.port}`;
      const group = members === undefined ? {} : { MQTT_SHARE_GROUP: uniqueName("group") };
      const spawnedMs = Date.now();
      const gateways = await Promise.all(
        Array.from({ length: members ?? 1 }, () =>
          gatewayOf({ DATABASE_URL: url, MQTT_URL: mqtt, ...group, ...env }, file),
        ),
      );
      // Who is not in the group yet gets nothing of a backlog that the others have by then.
      if (gateways.length > 1) await Promise.all(gateways.map((gateway) => statsWhen(gateway, isConnected)));
      return runningOf(gateways, url, spawnedMs);
    },
  };
}

/** Started, and about to subscribe. */
export async function gatewayOf(
  env: Readonly<Record<string, string>>,
  file: string,
  dataDir = newDir(),
): Promise<GatewayProcess> {
  const settings = { GATEWAY_ID: uniqueName("sluice"), ...env };
  const gateway = await startGateway(settings, dataDir, { command: [file] });
  endsWithUs(gateway.pid);
  return gateway;
}

/** Gateways whose events arrive in the database at `url`. */
export function runningOf(gateways: readonly GatewayProcess[], url: string, spawnedMs: number): Running {
  const rows = eventsOf(url);
  return {
    pids: gateways.map(({ pid }) => pid),
    spawnedMs,
    arrived: rows.arrived,
    hold: () => locked(url, "raw_events"),
    stop: async () => {
      await Promise.all(gateways.map((gateway) => statsWhen(gateway, allDelivered)));
      await rows.close();
      await Promise.all(gateways.map((gateway) => gateway.stop()));
    },
  };
}

/** Nobody else can write to the table until the answer is called. */
async function locked(url: string, table: string): Promise<() => Promise<void>> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  const client = await sql.reserve();
  await client.unsafe(`begin; lock table ${table} in exclusive mode`);
  return async () => {
    await client.unsafe("rollback");
    client.release();
    await sql.end();
  };
}

const isConnected = ({ source }: Stats) => (source as { connected: boolean }).connected;

/** A sink that is stuck costs little, and would look cheap. */
const allDelivered = ({ balanced, sinks }: Stats) =>
  balanced && Object.values(sinks).every(({ waiting }) => waiting === 0);

/** A fresh database with our tables; its URL. */
export async function migrated(server: PostgresServer, file = executable): Promise<string> {
  const url = await server.createDatabase();
  const env = { PATH: process.env["PATH"], DATA_DIR: newDir(), DATABASE_URL: url };
  const { exitCode, stderr } = Bun.spawnSync([file, "migrate"], { env });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return url;
}

/** The floor: see receiver.ts. */
export const bareReceiver: Subject = {
  name: "bare receiver",
  async start({ broker }) {
    const script = new URL("receiver.ts", import.meta.url).pathname;
    const spawnedMs = Date.now();
    const child = Bun.spawn([process.execPath, script, String(broker.port), uniqueName("bare")], {
      stdout: "pipe",
      stdin: "pipe",
    });
    endsWithUs(child.pid);
    const lines = linesOf(child.stdout);
    return {
      pids: [child.pid],
      spawnedMs,
      // It stores nothing.
      hold: async () => async () => {},
      async arrived(from, count) {
        await child.stdin.write(`${from} ${count}\n`);
        const { rows, timesMs } = JSON.parse(await lines()) as { rows: number; timesMs: number[] };
        return { rows, timesMs: Float64Array.from(timesMs) };
      },
      stop: async () => (child.kill(), child.exited),
    };
  },
};

/** Waits until the broker says that somebody hears, and the first message has arrived. @returns ms from the spawn to the former */
export async function whenReady({ broker, load }: Site, running: Running): Promise<number> {
  const publisher = await openPublisher(broker.port);
  while ((await publisher.send(load, -1, 1)).unheard > 0) await Bun.sleep(2);
  const readyMs = Date.now() - running.spawnedMs;
  publisher.close();
  await whenArrived(running, -1, 1);
  return readyMs;
}

/** Asks until all have arrived, or patience ends. */
async function whenArrived(running: Running, from: number, count: number): Promise<Arrival> {
  for (const end = Date.now() + patienceMs; ;) {
    const arrival = await running.arrived(from, count);
    if (arrival.rows >= count || Date.now() > end) return arrival;
    await Bun.sleep(100);
  }
}

/** What a table holds, by the time of commit as PostgreSQL dates it (track_commit_timestamp). */
export function rowsOf(url: string, table: string, seq: string) {
  const sql = postgres(url, { max: 1, onnotice() {} });
  const at = "(extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8";
  return {
    async arrived(from: number, count: number): Promise<Arrival> {
      const range = `${seq} >= ${from} and ${seq} < ${from + count}`;
      const rows = await sql.unsafe(`select ${seq}, ${at} from ${table} where ${range}`).values();
      const timesMs = new Float64Array(count);
      for (const [which, atMs] of rows) timesMs[Number(which) - from] = Number(atMs);
      return { rows: rows.length, timesMs };
    },
    close: () => sql.end(),
  };
}

export const eventsOf = (url: string) =>
  rowsOf(url, "raw_events", "coalesce(payload->>'seq', payload->'metrics'->>'seq')::int");

/** A fresh database that knows the devices; its URL. */
export async function registered({ server, load: { registry } }: Base, file = executable): Promise<string> {
  const url = await migrated(server, file);
  const sql = postgres(url, { max: 1, onnotice() {} });
  const [header = "", ...rows] = registryCsv(registry);
  await written(
    sql.unsafe(`copy device_registry (${header}) from stdin with (format csv)`).writable(),
    rows.join(""),
  );
  await sql.end();
  return url;
}

/** All of `text` into a COPY. */
export async function written(copy: Promise<Writable>, text: string): Promise<void> {
  await finished((await copy).end(text));
}

function linesOf(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const reader = stream.getReader();
  let text = "";
  return async () => {
    while (!text.includes("\n")) text += new TextDecoder().decode((await reader.read()).value);
    const [line = "", ...rest] = text.split("\n");
    text = rest.join("\n");
    return line;
  };
}

export const bytesOf = ({ file }: Subject): number => (file === undefined ? Number.NaN : statSync(file).size);
export const newDir = (): string => join(mkdtempSync(join(tmpdir(), "sluice-bench-")), "data");
export const uniqueName = (what: string) => `${what}-${process.hrtime.bigint()}`;
