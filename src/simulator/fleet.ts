/**
 * A fleet: devices and their messages, made from a seed, each message with the verdict that the gateway must give.
 *
 * It is pure: the same seed, options and times give the same bytes, so a run that found something can be repeated.
 * Messages are made one at a time on request, so that a fleet of any size runs for any time in the same memory, and a
 * message carries the time at which it is really sent. Rejected alternative: a list made beforehand.
 */
import { ownTopic } from "../core/topic-level.ts";
import { type FleetDevice, type FleetOptions, makeDevices, specialCount } from "./device.ts";
import { type Draft, type FaultName, type FaultShares, faultOf } from "./fault.ts";
import { type Random, seededRandom } from "./random.ts";

/** Messages per burst; below the default RATE_LIMIT_BURST of 20. */
const burstMessages = 8;

export interface FleetMessage {
  readonly topic: string;
  readonly payload: Buffer;
  /** The sender, as an index into `Fleet.devices`: messages of one device must be sent in order. */
  readonly device: number;
  readonly fault: FaultName | null;
  /** "event", or the reason code of the reject. */
  readonly expected: string;
}

export interface Fleet {
  /** The devices to register. */
  readonly devices: readonly FleetDevice[];
  /** The next message, as sent at `atMs` (since the Unix epoch). */
  next(atMs: number): FleetMessage;
}

interface State {
  seq: number;
  battery: number;
  readonly warmth: number;
}

export function createFleet(options: FleetOptions): Fleet {
  const random = seededRandom(options.seed);
  const devices = makeDevices(options);
  const states = devices.map((): State => {
    return { seq: 0, battery: 60 + random.next() * 40, warmth: 15 + random.next() * 15 };
  });
  let ready: FleetMessage[] = [];
  let turn = 0;

  const build = (index: number, atMs: number, telemetry: boolean, fault: FaultName | null): FleetMessage => {
    const device = devices[index];
    const state = states[index];
    if (!device || !state) throw new Error(`the fleet has no device ${index}`);
    const draft = telemetry
      ? telemetryDraft(device, state, random, atMs)
      : heartbeatDraft(device, state, atMs);
    const row = fault === null ? undefined : faultOf(fault);
    row?.spoil?.(draft, random, atMs);
    const topic = ownTopic(draft.tenantId, draft.deviceId, draft.msgType);
    const payload = Buffer.from(draft.text ?? JSON.stringify(draft.body));
    return { topic, payload, device: index, fault, expected: row?.expected ?? "event" };
  };

  /** The messages of this device's turn: one, or the several that a fault makes. */
  const plan = (index: number, atMs: number, telemetry: boolean): FleetMessage[] => {
    const fault = draw(options.faults, random);
    if (fault === null) return [build(index, atMs, telemetry, null)];
    const one = () => build(senderOf(fault, index, options), atMs, true, fault);
    if (fault === "duplicate") return Array<FleetMessage>(2).fill(one());
    if (fault === "reordering") return [one(), one()].toReversed();
    return Array.from({ length: fault === "burst" ? burstMessages : 1 }, one);
  };

  return {
    devices,
    next(atMs) {
      if (ready.length === 0) {
        const index = turn % options.devices;
        // Two heartbeats per telemetry message, as devices in the field send, and not all devices at the same time.
        ready = plan(index, atMs, (Math.floor(turn / options.devices) + index) % 3 === 0);
        turn += 1;
      }
      const message = ready.shift();
      if (!message) throw new Error("a turn without a message");
      return message;
    },
  };
}

function draw(shares: FaultShares, random: Random): FaultName | null {
  let left = random.next();
  for (const [name, share] of Object.entries(shares)) {
    left -= share;
    if (left < 0) return name as FaultName;
  }
  return null;
}

function senderOf(fault: FaultName, index: number, options: FleetOptions): number {
  const special = specialCount(options);
  const revoked = options.devices + (index % special);
  if (fault === "revoked-device") return revoked;
  return fault === "token-not-set" ? revoked + special : index;
}

function heartbeatDraft(device: FleetDevice, state: State, atMs: number): Draft {
  return draftOf(device, state, atMs, "heartbeat", {});
}

function telemetryDraft(device: FleetDevice, state: State, random: Random, atMs: number): Draft {
  state.battery = state.battery < 10 ? 100 : state.battery - 0.02 - random.next() * 0.02;
  const metrics = {
    battery_pct: round(state.battery, 2),
    temp_c: round(state.warmth + random.next() * 4, 1),
    rssi_dbm: random.whole(-110, -60),
    snr_db: round(random.next() * 15, 1),
    uplink_ok: random.next() < 0.98,
    pressure_psi: round(30 + random.next() * 5, 2),
    humidity_pct: round(35 + random.next() * 30, 1),
    vibration_g: round(random.next() < 0.05 ? 5 + random.next() * 10 : random.next(), 3),
  };
  return draftOf(device, state, atMs, "telemetry", metrics);
}

function draftOf(
  { tenantId, deviceId, siteId, token }: FleetDevice,
  state: State,
  atMs: number,
  msgType: string,
  metrics: Record<string, unknown>,
): Draft {
  state.seq += 1;
  const body: Record<string, unknown> = {
    ts: new Date(atMs).toISOString(),
    tenant_id: tenantId,
    site_id: siteId,
    device_id: deviceId,
    msg_type: msgType,
    seq: state.seq,
    provision_token: token,
  };
  if (msgType === "telemetry") body["metrics"] = metrics;
  return { tenantId, deviceId, msgType, body, metrics };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
