/**
 * How fast messages become durable here and in PostgreSQL, what they cost, and what the floors are: a bare MQTT.js receiver
 * behind the same broker, and a bare COPY of the same rows into the same server.
 *
 * The broker is loaded before the clock starts (a persistent session keeps the messages), so that no publisher
 * competes for the machine's cores with what is measured.
 */
import postgres from "postgres";
import { openPostgres, send } from "../../src/store/postgres/postgres-client.ts";
import { createFleet, type Fleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { startGateway, statsWhen } from "../kit/gateway.ts";
import { startMosquitto } from "../kit/mosquitto.ts";
import { startPostgres } from "../kit/postgres.ts";

const devices = 1_000;

export async function run([count = "100000", rounds = "3"]: readonly string[]): Promise<void> {
  const messages = Number(count);
  const postgresServer = await startPostgres({ fsync: true });
  const mosquitto = await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] });
  const fleet = createFleet({
    seed: 7,
    devices,
    tenants: ["acme", "globex", "initech", "umbrella"],
    faults: {},
  });
  const load = () =>
    publishFleet({
      brokerUrl: `mqtt://127.0.0.1:${mosquitto.port}`,
      fleet,
      rate: 0,
      qos: 1,
      protocolVersion: 5,
      count: messages,
      connections: 4,
      window: 2000,
      drainMs: 60_000,
      clientIdPrefix: `bench-${Math.random()}`,
    });
  console.log(
    `${messages} QoS 1 messages of ${devices} devices, loaded into the broker first; ${rounds} rounds\n`,
  );
  for (let round = 0; round < Number(rounds); round++) {
    const bare = await bareReceiver(mosquitto.port, `bare-${round}`, messages, load);
    const databaseUrl = await postgresServer.createDatabase();
    const ours = await gateway(mosquitto.port, databaseUrl, `sluice-${round}`, messages, fleet, load);
    const floor = await bareCopy(databaseUrl, messages);
    console.log(
      [
        `bare receiver   ${rate(messages, bare.ms)}  ${(bare.cpuMicros / messages).toFixed(1)} µs CPU a message`,
        `bare COPY       ${rate(messages, floor)}`,
        `sluice durable  ${rate(messages, ours.durableMs)}  ${(bare.ms / ours.durableMs).toFixed(2)} of the bare receiver`,
        `sluice stored   ${rate(messages, ours.storedMs)}  in PostgreSQL`,
        `sluice CPU      ${(ours.cpuMicros / messages).toFixed(1)} µs a message, peak memory ${Math.round(ours.peakBytes / 1e6)} MB, balanced: ${ours.balanced}\n`,
      ].join("\n"),
    );
  }
  await mosquitto.dispose();
  await postgresServer.stop();
}

function rate(messages: number, ms: number): string {
  return `${Math.round((messages / ms) * 1000).toLocaleString("en")} msg/s`.padStart(16);
}

async function bareReceiver(port: number, clientId: string, messages: number, load: () => Promise<unknown>) {
  const script = new URL("receiver.ts", import.meta.url).pathname;
  const start = (wanted: number) =>
    Bun.spawn([process.execPath, script, String(port), clientId, String(wanted)], { stdout: "pipe" });
  await start(0).exited;
  await load();
  const answer = await new Response(start(messages).stdout).text();
  return JSON.parse(answer) as { ms: number; cpuMicros: number };
}

/** A gateway that takes what was loaded while it was away. @param more settings of its own */
export async function gateway(
  port: number,
  databaseUrl: string,
  gatewayId: string,
  messages: number,
  fleet: Pick<Fleet, "devices">,
  load: () => Promise<unknown>,
  more: Readonly<Record<string, string>> = {},
) {
  const env = {
    ...more,
    MQTT_URL: `mqtt://127.0.0.1:${port}`,
    DATABASE_URL: databaseUrl,
    GATEWAY_ID: gatewayId,
  };
  const first = await startGateway(env);
  await statsWhen(first, (stats) => (stats["source"] as { connected: boolean }).connected);
  await first.stop();
  const sql = postgres(databaseUrl, { max: 1, onnotice() {} });
  for (const statement of registrySql(fleet.devices)) await sql.unsafe(statement);
  await sql.end();
  await load();
  const second = await startGateway(env, first.dataDir);
  const cpuBefore = second.cpuMicros();
  await statsWhen(second, (stats) => stats.ingest.received > 0);
  const from = performance.now();
  await statsWhen(second, (stats) => stats.ingest.accepted >= messages);
  const durableMs = performance.now() - from;
  await statsWhen(second, (stats) => (stats.sinks["postgres"]?.delivered ?? 0) >= messages);
  const storedMs = performance.now() - from;
  const { balanced } = await second.stats();
  const measured = {
    durableMs,
    storedMs,
    cpuMicros: second.cpuMicros() - cpuBefore,
    peakBytes: second.peakBytes(),
    balanced,
  };
  await second.stop();
  return measured;
}

/** The same rows once more, five thousand a COPY, from text that is ready. */
async function bareCopy(url: string, messages: number): Promise<number> {
  const db = openPostgres({ url, poolMax: 2, timeoutMs: 60_000 });
  const columns = "ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, payload, accepted";
  const batches: string[] = [];
  await db.query("reading rows", async (sql) => {
    await sql.unsafe("create table bare (like raw_events including defaults including indexes)");
    for (let offset = 0; offset < messages; offset += 5_000) {
      const rows = await sql
        .unsafe(`select ${columns} from raw_events order by id limit 5000 offset ${offset}`)
        .raw();
      batches.push(rows.map((row) => `${row.map(cell).join("\t")}\n`).join(""));
    }
  });
  const from = performance.now();
  for (const batch of batches) {
    await db.transaction("bare copy", (tx) =>
      send(tx, { statements: [`copy bare (${columns}) from stdin`], copies: [batch] }),
    );
  }
  const ms = performance.now() - from;
  await db.close();
  return ms;
}

function cell(value: Uint8Array | null): string {
  return value === null ? "\\N" : Buffer.from(value).toString("utf8").replaceAll("\\", "\\\\");
}
