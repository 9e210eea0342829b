/**
 * The messages of every bench: who sends them, and PUBLISH packets that are built before the clock starts, so that making them is
 * nobody's cost. Message number `seq` is always the same bytes, and its number is in its payload: so a row tells which it is.
 */
import { makeDevices, type FleetDevice } from "../../src/simulator/device.ts";

export interface LoadOptions {
  readonly devices: number;
  readonly tenants: number;
  /** Of a payload; below the smallest with metrics they are left out. */
  readonly bytes: number;
}

export const usualLoad: LoadOptions = { devices: 1_000, tenants: 4, bytes: 300 };

export interface Load extends LoadOptions {
  readonly registry: readonly FleetDevice[];
  message(seq: number): LoadMessage;
  /** PUBLISH packets (QoS 1) of the messages `from` and on, of MQTT 5 or 3.1.1; the identifier of each is `idOf` its number. */
  packets(from: number, count: number, version?: 4 | 5): Buffer[];
}

export interface LoadMessage {
  readonly device: FleetDevice;
  readonly topic: string;
  readonly payload: string;
}

/** Prime, so that steps of it visit every device, scattered, as a fleet sends. */
const stride = 7_919;
/** What is neither compressible nor equal in two messages side by side, as readings are. */
const noise = Buffer.from(
  Array.from({ length: 12_288 }, (_, i) => (Math.imul(i + 1, 2_654_435_761) >>> 24) & 255),
).toString("base64");

export const idOf = (seq: number): number => (seq % 65_535) + 1;

/** @param shape what else a message may look like */
export function createLoad(options: LoadOptions, shape = (message: LoadMessage) => message): Load {
  const [first = "", ...more] = Array.from({ length: options.tenants }, (_, i) => `tenant-${i + 1}`);
  const registry = makeDevices({ seed: 7, devices: options.devices, tenants: [first, ...more], faults: {} });
  const begunMs = Date.now();
  const message = (seq: number): LoadMessage => {
    const device = registry[(Math.max(seq, 0) * stride) % options.devices];
    if (!device) throw new Error("a load without devices");
    // A clock that stands still would be a case of its own: for InfluxDB all readings of a device would be one.
    const ts = new Date(begunMs + Math.floor(seq / options.devices)).toISOString();
    const payload = payloadOf(device, seq, ts, options.bytes);
    return shape({ device, topic: `tenant/${device.tenantId}/device/${device.deviceId}/telemetry`, payload });
  };
  return {
    ...options,
    registry,
    message,
    packets: (from, count, version = 5) =>
      Array.from({ length: count }, (_, i) =>
        publishPacket(message(from + i), idOf(Math.max(from + i, 0)), version),
      ),
  };
}

function payloadOf({ siteId, token }: FleetDevice, seq: number, ts: string, bytes: number): string {
  const short = `{"site_id":"${siteId}","seq":${seq},"provision_token":"${token}"`;
  const metrics = `"battery_pct":87.5,"temp_c":${20 + (seq % 100) / 10},"rssi_dbm":-${60 + (seq % 50)},"uplink_ok":true`;
  const long = `${short},"ts":"${ts}","metrics":{${metrics}}`;
  const body = long.length < bytes ? long : short;
  const room = bytes - body.length - `,"note":""}`.length;
  const at = (seq * 61) & 4_095;
  return room > 0 ? `${body},"note":"${noise.slice(at, at + room)}"}` : `${body}}`;
}

function publishPacket({ topic, payload }: LoadMessage, id: number, version: 4 | 5): Buffer {
  const rest = 2 + topic.length + 2 + (version === 5 ? 1 : 0) + payload.length;
  const head = [0x32, ...lengthBytes(rest), topic.length >> 8, topic.length & 255];
  const packet = Buffer.alloc(head.length + rest - 2);
  packet.set(head);
  let at = head.length + packet.write(topic, head.length, "latin1");
  at = packet.writeUInt16BE(id, at) + (version === 5 ? 1 : 0);
  packet.write(payload, at, "latin1");
  return packet;
}

/** The variable byte integer of MQTT. */
export function lengthBytes(length: number): number[] {
  return length < 128 ? [length] : [(length & 127) | 128, ...lengthBytes(length >> 7)];
}
