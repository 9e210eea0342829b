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
import type { Stats } from "../../src/admin/views.ts";
import { registryCsv } from "../../src/simulator/registration.ts";
import { executable, startGateway, statsWhen } from "../kit/gateway.ts";
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
  readonly pid: number;
  readonly spawnedMs: number;
  arrived(from: number, count: number): Promise<Arrival>;
  stop(): Promise<unknown>;
}

export interface SluiceOptions {
  readonly file?: string;
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A gateway with default settings, and those in `env`. */
export function sluiceSubject({ file = executable, name = "sluice", env = {} }: SluiceOptions = {}): Subject {
  return {
    name,
    file,
    async start({ broker, server, load }) {
      const url = await registered({ server, load }, file);
      const mqtt = `mqtt://127.0.0.1:${broker.port}`;
      const settings = { DATABASE_URL: url, MQTT_URL: mqtt, GATEWAY_ID: uniqueName("sluice"), ...env };
      const spawnedMs = Date.now();
      const gateway = await startGateway(settings, newDir(), { command: [file] });
      endsWithUs(gateway.pid);
      const rows = eventsOf(url);
      return {
        pid: gateway.pid,
        spawnedMs,
        arrived: rows.arrived,
        stop: async () => {
          await statsWhen(gateway, allDelivered);
          await rows.close();
          await gateway.stop();
        },
      };
    },
  };
}

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
      pid: child.pid,
      spawnedMs,
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
