/**
 * Messages from a seed: valid envelopes of known devices, spoilt at none, one or several of the levels at which the
 * real world spoils them: the document's structure, its tokens, its bytes, and the topic. Seed and number determine
 * the message.
 */
import { keyed, type TestMessage } from "../kit/builders.ts";
import type { Random } from "../../src/simulator/random.ts";
import { object, type Pair, plainStyle, type Style, write } from "./json.ts";
import { bytewise, spoilTokens, spoilTopic, structural } from "./spoil.ts";
import { metric, word } from "./values.ts";
import { type Device, devices, timestamps } from "./world.ts";

export interface Generated {
  readonly message: TestMessage;
  /** Whose token it may hold. */
  readonly device: Device;
  /** It waited on disk for the registry, where its topic stays as it is and its token is known only by hash. */
  readonly waited?: boolean;
}

const [firstDevice, ...otherDevices] = devices;
if (firstDevice === undefined) throw new Error("no devices");
const anyDevice: readonly [Device, ...Device[]] = [firstDevice, ...otherDevices];

export function generate(chance: Random, receivedMs: number): Generated {
  const device = chance.pick(anyDevice);
  const msgType = chance.pick(["telemetry", "telemetry", "heartbeat", "alarm", "telemetry "]);
  const document = object(...envelope(device, msgType, chance));
  for (let spoilt = chance.next(); spoilt < 0.5; spoilt = chance.next()) {
    chance.pick(structural)(document.pairs, device, chance);
  }
  let text = write(document, styleOf(chance), chance);
  while (chance.next() < 0.12) text = spoilTokens(text, chance);
  let payload: Uint8Array = Buffer.from(text);
  while (chance.next() < 0.12) payload = chance.pick(bytewise)(payload, chance);
  const qos = chance.pick([0, 1, 1, 1, 2]);
  const { tenantId, deviceId } = device.row;
  const topic = `tenant/${tenantId}/device/${deviceId}/${msgType}`;
  const message: TestMessage = {
    ...keyed,
    topic: chance.next() < 0.06 ? spoilTopic(topic, device, chance) : topic,
    payload,
    qos,
    dup: false,
    retained: qos > 0 && chance.next() < 0.05,
    sender: chance.pick(["", "c1"]),
    packetId: qos === 0 ? 0 : chance.whole(1, 65_535),
    receivedMs,
  };
  return { message, device };
}

function envelope({ row, token }: Device, msgType: string, chance: Random): Pair[] {
  const metrics: Pair[] = Array.from({ length: chance.whole(0, 6) }, (_, at) => [
    chance.next() < 0.8 ? `m${at}` : word(chance),
    metric(chance),
  ]);
  const pairs: Pair[] = [
    ["ts", chance.next() < 0.7 ? "2026-11-21T00:00:00.000Z" : chance.pick(timestamps)],
    ["site_id", row.siteId],
    ["seq", chance.whole(0, 1_000_000)],
    ["provision_token", token],
    ["metrics", object(...metrics)],
  ];
  if (chance.next() < 0.5)
    pairs.push(["tenant_id", row.tenantId], ["device_id", row.deviceId], ["msg_type", msgType]);
  return pairs;
}

function styleOf(chance: Random): Style {
  const escapes = chance.pick([0, 0, 0, 0.02, 0.5, 1]);
  return escapes === 0 && chance.next() < 0.7 ? plainStyle : { blanks: chance.pick([0, 0.2]), escapes };
}
