/**
 * A backlog, as after a long outage of PostgreSQL: how fast it drains beside the live rate, and what that costs the intake.
 *
 * Three measurements, each on a spool and a database of its own: messages alone (loaded into the broker beforehand, as in the ingest
 * bench), a backlog alone, and both at once. The backlog is written by the spool itself in this process, as the gateway would have
 * written it: to let it grow through the intake would take as long as the outage.
 */
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import type { Stats } from "../../src/admin/measurements.ts";
import { Spool } from "../../src/spool/spool.ts";
import { type GatewayProcess, startGateway, statsWhen } from "../kit/gateway.ts";
import { type Mosquitto, startMosquitto } from "../kit/mosquitto.ts";
import { type PostgresServer, startPostgres } from "../kit/postgres.ts";
import { defaultSpoolSettings } from "../kit/spool.ts";
import { createLoad, type Load, type LoadMessage, usualLoad } from "./load.ts";
import { openPublisher } from "./publish.ts";
import { registered } from "./subject.ts";

/** How much slower a drain may make the intake. */
const ratioMin = 0.75;
const groupEntries = 1_000;
const patienceMs = 600_000;

interface Site {
  readonly mosquitto: Mosquitto;
  readonly server: PostgresServer;
  readonly load: Load;
}

interface Work {
  readonly name: string;
  readonly backlog: number;
  readonly messages: number;
}

interface Rates {
  /** Messages per second made durable here, and entries per second stored in PostgreSQL meanwhile and in total. */
  readonly intake: number;
  readonly storedMeanwhile: number;
  readonly stored: number;
  readonly cpuMicros: number;
  readonly peakBytes: number;
  readonly balanced: boolean;
}

export async function run([entries = "1000000", count = "100000"]: readonly string[]): Promise<void> {
  const [backlog, messages] = [Number(entries), Number(count)];
  const site: Site = {
    server: await startPostgres({ fsync: true }),
    mosquitto: await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] }),
    load: createLoad(usualLoad),
  };
  console.log(`a backlog of ${backlog} entries, and ${messages} messages waiting in the broker\n`);
  const live = await measure(site, { name: "live", backlog: 0, messages });
  const drain = await measure(site, { name: "drain", backlog, messages: 0 });
  const both = await measure(site, { name: "both", backlog, messages });
  await site.mosquitto.dispose();
  await site.server.stop();
  const ratio = both.intake / live.intake;
  console.log(
    [
      `live, no backlog     ${perSecond(live.intake)} durable   ${perSecond(live.stored)} stored   ${tail(live)}`,
      `backlog alone        ${perSecond(Number.NaN)} durable   ${perSecond(drain.stored)} stored   ${tail(drain)}`,
      `both at once         ${perSecond(both.intake)} durable   ${perSecond(both.stored)} stored   ${tail(both)}`,
      `\na backlog drains at ${(drain.stored / live.stored).toFixed(2)} of the live rate, and at ${(both.storedMeanwhile / live.stored).toFixed(2)} while messages come in as fast as they can`,
      `the intake beside it runs at ${ratio.toFixed(2)} of its rate without (${ratio >= ratioMin ? "enough" : "too slow"}: ${ratioMin} is wanted)`,
    ].join("\n"),
  );
}

function perSecond(rate: number): string {
  return (Number.isNaN(rate) ? "–" : `${Math.round(rate).toLocaleString("en")}/s`).padStart(10);
}

function tail({ cpuMicros, peakBytes, balanced }: Rates): string {
  return `${cpuMicros.toFixed(1)} µs CPU an entry, peak ${Math.round(peakBytes / 1e6)} MB, balanced: ${balanced}`;
}

async function measure({ mosquitto, server, load }: Site, { name, backlog, messages }: Work): Promise<Rates> {
  const databaseUrl = await registered({ server, load });
  const env = {
    MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`,
    DATABASE_URL: databaseUrl,
    GATEWAY_ID: `backlog-${name}`,
  };
  const first = await startGateway(env);
  await statsWhen(first, (stats) => (stats["source"] as { connected: boolean }).connected);
  await first.stop();
  fill(first.dataDir, backlog, load);
  if (messages > 0) await publish(mosquitto.port, messages, load);
  const gateway = await startGateway(env, first.dataDir);
  const rates = await watch(gateway, backlog, messages);
  await gateway.stop();
  return rates;
}

async function watch(gateway: GatewayProcess, backlog: number, messages: number): Promise<Rates> {
  const stored = ({ sinks }: Stats) => sinks["postgres"]?.delivered ?? 0;
  const accepted = ({ ingest }: Stats) => ingest.accepted - backlog;
  const cpuFrom = gateway.cpuMicros();
  const begun = await statsWhen(gateway, (stats) => stored(stats) > 0 || accepted(stats) > 0, patienceMs);
  const from = performance.now();
  const durable = await statsWhen(gateway, (stats) => accepted(stats) >= messages, patienceMs);
  const durableMs = performance.now() - from;
  if (messages > 0 && backlog > 0 && stored(durable) >= backlog)
    throw new Error("the backlog was gone before the messages were in: measure with a larger one");
  const all = backlog + messages;
  const { balanced } = await statsWhen(gateway, (stats) => stored(stats) >= all, patienceMs);
  const storedMs = performance.now() - from;
  return {
    intake: ((messages - accepted(begun)) / durableMs) * 1000,
    storedMeanwhile: ((stored(durable) - stored(begun)) / durableMs) * 1000,
    stored: ((all - stored(begun)) / storedMs) * 1000,
    cpuMicros: (gateway.cpuMicros() - cpuFrom) / all,
    peakBytes: gateway.peakBytes(),
    balanced,
  };
}

async function publish(port: number, count: number, load: Load): Promise<void> {
  const publisher = await openPublisher(port);
  await publisher.send(load, 0, count);
  publisher.close();
}

/** Books and all, so that they balance afterwards. */
function fill(dataDir: string, count: number, load: Load): void {
  const settings = { ...defaultSpoolSettings, bytesMax: 10 ** 12 };
  const spool = new Spool({ dataDir, settings, clock: systemClock });
  for (let done = 0; done < count;) {
    const size = Math.min(groupEntries, count - done);
    const entries = Array.from({ length: size }, (_, i) => entryOf(load.message(done + i)));
    done += size;
    const books = new Map([
      ["received", done],
      ["accepted", done],
    ]);
    spool.append(entries, { books });
  }
  spool.close();
}

/** What the judge makes of a good message. */
function entryOf({ device, topic, payload }: LoadMessage): Entry {
  const { tenantId, deviceId, siteId, token } = device;
  const now = Date.now();
  return {
    seq: 0,
    kind: "event",
    receivedMs: now,
    topic,
    tenantId,
    deviceId,
    msgType: "telemetry",
    siteId,
    eventMs: now,
    eventNs: 0,
    reason: null,
    detail: null,
    payload: payload.replace(token, "***"),
    tokenHash: null,
    returned: null,
  };
}
