/**
 * Does memory stay where it is? The executable between a real Mosquitto and a real PostgreSQL at a steady rate that the machine
 * holds, with some of every kind of reject, watched from outside: resident memory, open files, bytes of the spool.
 *
 * The first half is for caches and the collector's generations to fill; the second half's least-squares slope tells. The line is
 * fitted to the floor of each block of it, because what leaks raises the floor, while the collector's saw-tooth above it
 * would drown any slope, and neighbouring samples are not independent, which would make it look certain.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { createFleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { type GatewayProcess, startGateway, statsWhen } from "../kit/gateway.ts";
import { startMosquitto } from "../kit/mosquitto.ts";
import { startPostgres } from "../kit/postgres.ts";

const sampleEveryMs = 1_000;
const pageBytes = 4_096;
/** Blocks whose floors the line is fitted to, and Student's t for 95 % with two degrees of freedom less. */
const blocks = 12;
const studentsT = 2.228;
/** A leak per message is at least one pointer. */
const leakBytesAMessage = 8;

interface Sample {
  readonly atMs: number;
  readonly rssBytes: number;
  readonly files: number;
  readonly spoolBytes: number;
}

export async function run([seconds = "600", perSecond = "3000"]: readonly string[]): Promise<void> {
  const rate = Number(perSecond);
  const postgresServer = await startPostgres();
  const databaseUrl = await postgresServer.createDatabase();
  const mosquitto = await startMosquitto({ lines: ["max_queued_messages 0"] });
  const gateway = await startGateway({
    MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`,
    DATABASE_URL: databaseUrl,
  });
  // As many as stay below RATE_LIMIT_RPS for however long it runs.
  const fleet = fleetOf(Math.max(1_000, rate));
  await register(databaseUrl, fleet.devices);
  await statsWhen(gateway, (stats) => (stats["source"] as { connected: boolean }).connected);
  console.log(`${seconds} s at ${rate} messages/s of ${fleet.devices.length} devices\n`);
  console.log("   s    RSS MB  files  spool MB  waiting  delivered");
  const samples: Sample[] = [];
  const timer = setInterval(() => samples.push(sampleOf(gateway)), sampleEveryMs);
  let told = 0;
  const { sent, acknowledged } = await publishFleet({
    brokerUrl: `mqtt://127.0.0.1:${mosquitto.port}`,
    fleet,
    rate,
    qos: 1,
    protocolVersion: 5,
    seconds: Number(seconds),
    connections: 4,
    window: 5_000,
    drainMs: 30_000,
    clientIdPrefix: "soak",
    onProgress: () => void (told++ % 30 === 0 && tell(gateway, samples)),
  });
  clearInterval(timer);
  const stats = await statsWhen(gateway, ({ sinks }) => sinks["postgres"]?.waiting === 0);
  await tell(gateway, samples);
  console.log(
    `\nsent ${sent}, acknowledged by the broker ${acknowledged}, received ${stats.ingest.received}`,
  );
  console.log(`peak memory ${megabytes(gateway.peakBytes())} MB, balanced: ${stats.balanced}`);
  console.log(verdict(samples.slice(samples.length / 2), sent / Number(seconds)));
  await gateway.stop();
  await mosquitto.dispose();
  await postgresServer.stop();
}

function fleetOf(devices: number) {
  const faults = { "malformed-json": 0.01, "bad-token": 0.01, "unknown-device": 0.01, duplicate: 0.01 };
  return createFleet({ seed: 7, devices, tenants: ["acme", "globex", "initech"], faults });
}

async function register(url: string, devices: Parameters<typeof registrySql>[0]): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  for (const statement of registrySql(devices)) await sql.unsafe(statement);
  await sql.end();
}

function sampleOf({ pid, dataDir }: GatewayProcess): Sample {
  const resident = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1];
  return {
    atMs: performance.now(),
    rssBytes: Number(resident) * pageBytes,
    files: readdirSync(`/proc/${pid}/fd`).length,
    spoolBytes: bytesOf(dataDir),
  };
}

/** A file may disappear between the listing and the look. */
function bytesOf(dir: string): number {
  let bytes = 0;
  for (const name of readdirSync(dir))
    bytes += statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

async function tell(gateway: GatewayProcess, samples: readonly Sample[]): Promise<void> {
  const { sinks } = await gateway.stats();
  const now = samples.at(-1) ?? sampleOf(gateway);
  const { waiting = 0, delivered = 0 } = sinks["postgres"] ?? {};
  const seconds = Math.round((now.atMs - (samples[0]?.atMs ?? now.atMs)) / 1000);
  const cells = [seconds, megabytes(now.rssBytes), now.files, megabytes(now.spoolBytes), waiting, delivered];
  const widths = [4, 10, 7, 10, 9, 11];
  console.log(cells.map((cell, i) => String(cell).padStart(widths[i] ?? 0)).join(""));
}

function verdict(samples: readonly Sample[], rate: number): string {
  const memory = slopeOf(floors(samples, ({ rssBytes }) => rssBytes));
  const files = slopeOf(floors(samples, ({ files: open }) => open));
  const aMinute = (bytesAMs: number) => Math.round((bytesAMs * 60_000) / 1024);
  const aMessage = (bytesAMs: number) => (bytesAMs * 1000) / rate;
  const low = aMessage(memory.perMs - memory.margin);
  const high = aMessage(memory.perMs + memory.margin);
  const unclear = low > 0 ? "growing" : "too noisy to tell: run it for longer";
  return [
    `second half: ${aMinute(memory.perMs)} ± ${aMinute(memory.margin)} KB/min (95 %), which is ${low.toFixed(1)} to ${high.toFixed(1)} bytes a message; open files ${(files.perMs * 60_000).toFixed(2)} a minute`,
    `memory is ${high < leakBytesAMessage ? "flat" : unclear}`,
  ].join("\n");
}

type Point = readonly [atMs: number, value: number];

function floors(samples: readonly Sample[], valueOf: (sample: Sample) => number): Point[] {
  const size = Math.max(1, Math.floor(samples.length / blocks));
  return Array.from({ length: Math.min(blocks, samples.length) }, (_, i) => {
    const block = samples.slice(i * size, (i + 1) * size);
    return [block[block.length >> 1]?.atMs ?? 0, Math.min(...block.map(valueOf))];
  });
}

/** The least-squares slope, and half the width of its 95 % confidence interval. */
function slopeOf(points: readonly Point[]): { perMs: number; margin: number } {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perMs = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const residual = points.reduce((sum, [x, y]) => sum + (y - meanY - perMs * (x - meanX)) ** 2, 0);
  return { perMs, margin: studentsT * Math.sqrt(residual / (n - 2) / spread) };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
