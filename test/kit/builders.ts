/** Messages and devices that are valid in every way, to be spoilt in one. */
import { createHash } from "node:crypto";
import type { Message } from "../../src/core/message.ts";
import { redeliveryKey } from "../../src/core/redelivery-key.ts";
import { judgeSettings, type Policy } from "../../src/judge/judge.ts";
import type { DeviceAuth } from "../../src/core/device.ts";

export const aToken = "tok-MDEyMzQ1Njc4OWFiY2RlZmdoaWpr";

export function sha256(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The telemetry of dev-0001, with `changes`; a member that is undefined is left out. */
export function aBody(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    ts: "2026-11-21T00:00:00.000Z",
    tenant_id: "acme",
    site_id: "lab-1",
    device_id: "dev-0001",
    msg_type: "telemetry",
    seq: 120,
    provision_token: aToken,
    metrics: { battery_pct: 87.5, temp_c: 24.3, rssi_dbm: -85, snr_db: 12.4, uplink_ok: true },
    ...changes,
  };
}

/** The further fields of an MQTT message. */
export interface MqttParts {
  readonly qos: 0 | 1 | 2;
  readonly sender: string;
  readonly packetId: number;
}

export type TestMessage = Message & MqttParts;

/** `payload`: bytes or text as they are, anything else as JSON. */
export function aMessage(payload: unknown = aBody(), changes: Partial<TestMessage> = {}): TestMessage {
  return {
    ...keyed,
    topic: "tenant/acme/device/dev-0001/telemetry",
    payload: bytesOf(payload),
    qos: 1,
    dup: false,
    retained: false,
    sender: "",
    packetId: 1,
    receivedMs: Date.UTC(2026, 10, 21),
    ...changes,
  };
}

/** Of a copy with changes it is the copy's. */
export const keyed = {
  redeliveryKey(): number | undefined {
    const message = this as unknown as TestMessage;
    return message.qos === 0 ? undefined : redeliveryKey(message);
  },
};

function bytesOf(payload: unknown): Uint8Array {
  if (payload instanceof Uint8Array) return payload;
  return new TextEncoder().encode(typeof payload === "string" ? payload : JSON.stringify(payload));
}

export function aDevice(changes: Partial<DeviceAuth> = {}): DeviceAuth {
  return {
    tenantId: "acme",
    deviceId: "dev-0001",
    siteId: "lab-1",
    status: "ACTIVE",
    tokenHash: sha256(aToken),
    previousTokenHash: null,
    previousTokenUntilMs: null,
    ...changes,
  };
}

/** The defaults, with `changes`. */
export function aPolicy(changes: Partial<Policy> = {}): Policy {
  const { payloadBytesMax, rateLimitRps, rateLimitBurst, rateLimitBacklogSeconds } = judgeSettings;
  return {
    mode: "PROD",
    storeRejects: false,
    mirrorRejects: false,
    payloadBytesMax: Number(payloadBytesMax.default),
    rateLimitRps: Number(rateLimitRps.default),
    rateLimitBurst: Number(rateLimitBurst.default),
    rateLimitBacklogSeconds: Number(rateLimitBacklogSeconds.default),
    tsFutureSecondsMax: 0,
    tsAgeDaysMax: 0,
    tsOutOfRange: "reject",
    ...changes,
  };
}
