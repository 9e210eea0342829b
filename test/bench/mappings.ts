/**
 * What a message costs that comes through a mapping, beside the same readings in our own envelope: the same devices, one run, one
 * machine. A Zigbee2MQTT-like flow, which is the usual one: flat JSON, a topic per device, a time of its own.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFleet, type Fleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { startMosquitto } from "../kit/mosquitto.ts";
import { startPostgres } from "../kit/postgres.ts";
import { gateway } from "./ingest.ts";

const mapping = `tenant = "acme"
[[mapping]]
topic = "zigbee2mqtt/{device}"
time  = "/last_seen"
proof = "broker"
`;

interface Envelope {
  readonly ts: string;
  readonly device_id: string;
  readonly metrics?: Readonly<Record<string, unknown>>;
}

export async function run([count = "100000", rounds = "3"]: readonly string[]): Promise<void> {
  const messages = Number(count);
  const server = await startPostgres({ fsync: true });
  const mosquitto = await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] });
  const file = join(mkdtempSync(join(tmpdir(), "sluice-bench-")), "mappings.toml");
  writeFileSync(file, mapping);
  console.log(`${messages} QoS 1 messages with readings of 1000 devices; ${rounds} rounds\n`);
  for (let round = 0; round < Number(rounds); round++) {
    const cost = async (name: string, fleet: Fleet, env: Record<string, string>) => {
      const load = () => publish(mosquitto.port, fleet, messages);
      const url = await server.createDatabase();
      const { cpuMicros, durableMs, balanced } = await gateway(
        mosquitto.port,
        url,
        `${name}-${round}`,
        messages,
        fleet,
        load,
        env,
      );
      const micros = cpuMicros / messages;
      console.log(
        `${name.padEnd(10)} ${micros.toFixed(1)} µs CPU a message, durable in ${Math.round(durableMs)} ms, balanced: ${balanced}`,
      );
      return micros;
    };
    const own = await cost("envelope", readings(), {});
    const mapped = await cost("mapping", zigbee(readings()), { MAPPINGS_FILE: file });
    console.log(`ratio      ${(mapped / own).toFixed(2)}\n`);
  }
  await mosquitto.dispose();
  await server.stop();
}

/** Without messages that have none. */
function readings(): Fleet {
  const fleet = createFleet({ seed: 7, devices: 1_000, tenants: ["acme"], faults: {} });
  return {
    devices: fleet.devices,
    next(atMs) {
      for (;;) {
        const message = fleet.next(atMs);
        if (message.topic.endsWith("/telemetry")) return message;
      }
    },
  };
}

function zigbee(fleet: Fleet): Fleet {
  return {
    devices: fleet.devices,
    next(atMs) {
      const message = fleet.next(atMs);
      const { ts, device_id: device, metrics } = JSON.parse(message.payload.toString()) as Envelope;
      const payload = Buffer.from(JSON.stringify({ ...metrics, linkquality: 102, last_seen: ts }));
      return { ...message, topic: `zigbee2mqtt/${device}`, payload };
    },
  };
}

function publish(port: number, fleet: Fleet, count: number): Promise<unknown> {
  return publishFleet({
    brokerUrl: `mqtt://127.0.0.1:${port}`,
    fleet,
    rate: 0,
    qos: 1,
    protocolVersion: 5,
    count,
    connections: 4,
    window: 2000,
    drainMs: 60_000,
    clientIdPrefix: `bench-${Math.random()}`,
  });
}
