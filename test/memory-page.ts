/** Writes docs/memory.md from the bounds in the code: `bun run test/memory-page.ts`. */
import { loadConfig } from "../src/config/index.ts";
import { memoryBounds, memoryTable } from "./memory-bounds.ts";

const everything = {
  MQTT_URL: "mqtt://broker",
  INGEST_LISTEN: "127.0.0.1:8081",
  DATABASE_URL: "postgres://sluice@db/sluice",
  INFLUXDB_URL: "http://influx:8086",
  REDIS_URL: "redis://redis",
  KAFKA_BOOTSTRAP_SERVERS: "kafka:9092",
  KAFKA_SOURCE_TOPIC: "messages",
};

export function memoryPage(): string {
  return `# What it may hold in memory

Everything that grows with what comes in has a bound. This page names the bounds and adds them up: what a gateway holds at most if all of
them are reached at the same time, which takes every attack of [attacks.md](attacks.md) at once and every downstream system away.
In service it holds a fraction ([sizing.md](sizing.md)). The numbers are the constants of the code; \`bun run test/memory-page.ts\` prints
this page, and \`test/memory-bounds.test.ts\` fills each part twice over and weighs it.

\`MEMORY_MAX_BYTES\` (256 MiB, or the cgroup's limit if that is less) sizes what grows with the load: of what it leaves beside the program
the intake and the read-ahead of all sinks have a quarter each, those read from the disk a sixteenth, the newest groups a 64th.

What was let go of lies there until it is collected, which is not in the sum. Garbage is collected when a load is over, and once more than
seven eighths of \`MEMORY_MAX_BYTES\` are resident (by default, of that and 2 KiB per cached device), for 10 % of the CPU at most
([sizing.md](sizing.md)). Pages of the executable that are not used leave the process: each second while nothing is done, every five seconds
otherwise. A host with less memory than the sum is fine as long as nobody attacks it; to lower the sum, lower the settings that are named in it.

## With the default settings: the embedded broker and the local store

${tableWith({})}
## With everything on: MQTT, HTTP and Kafka in; PostgreSQL, InfluxDB, Redis and Kafka out

${tableWith(everything)}`;
}

function tableWith(env: Record<string, string>): string {
  const loaded = loadConfig({ DATA_DIR: "/tmp", MEMORY_MAX_BYTES: "256MiB", ...env });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  return memoryTable(memoryBounds(loaded.config));
}

if (import.meta.main) await Bun.write(`${import.meta.dir}/../docs/memory.md`, memoryPage());
