import { describe, expect, test } from "bun:test";
import { type FaultName, faultNames, faultOf } from "../../src/simulator/fault.ts";
import type { FleetOptions } from "../../src/simulator/device.ts";
import { createFleet, type FleetMessage } from "../../src/simulator/fleet.ts";

const START_MS = Date.UTC(2026, 0, 1);

function fleetOf(options: Partial<FleetOptions> = {}) {
  return createFleet({ seed: 7, devices: 5, tenants: ["demo"], faults: {}, ...options });
}

function messages(count: number, options: Partial<FleetOptions> = {}): FleetMessage[] {
  const fleet = fleetOf(options);
  return Array.from({ length: count }, (_, i) => fleet.next(START_MS + i));
}

function always(fault: FaultName, count = 40): FleetMessage[] {
  return messages(count, { faults: { [fault]: 1 } });
}

function body({ payload }: FleetMessage): Record<string, unknown> {
  return JSON.parse(payload.toString()) as Record<string, unknown>;
}

const everyFault = Object.fromEntries(faultNames.map((name) => [name, 0.02]));

describe("a fleet", () => {
  test("gives the same devices and the same bytes for the same seed", () => {
    expect(messages(500, { faults: everyFault })).toEqual(messages(500, { faults: everyFault }));
    expect(fleetOf().devices).toEqual(fleetOf().devices);
  });

  test("gives other tokens and other messages for another seed", () => {
    const tokens = new Set(
      [...fleetOf({ seed: 1 }).devices, ...fleetOf({ seed: 2 }).devices].map((d) => d.token),
    );
    expect(tokens.size).toBe(2 * fleetOf().devices.length);
    expect(messages(50, { seed: 1 })).not.toEqual(messages(50, { seed: 2 }));
  });

  test("keeps a device's token when the fleet grows", () => {
    const small = fleetOf({ devices: 3 }).devices.find((d) => d.deviceId === "dev-0002");
    const large = fleetOf({ devices: 300 }).devices.find((d) => d.deviceId === "dev-0002");
    expect(large).toEqual(small);
  });

  test("has tokens of 24 bytes, and their SHA-256 for the registry", () => {
    for (const { token, tokenHash } of fleetOf().devices) {
      expect(token).toMatch(/^tok-[A-Za-z0-9_-]{32}$/);
      expect([null, new Bun.CryptoHasher("sha256").update(token).digest("hex")]).toContain(tokenHash);
    }
  });

  test("assigns devices to tenants in turn, each tenant with a revoked and a tokenless one", () => {
    const { devices } = fleetOf({ devices: 5, tenants: ["acme", "globex"] });
    const ids = devices.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.slice(0, 5)).toEqual([
      "acme/dev-0001",
      "globex/dev-0001",
      "acme/dev-0002",
      "globex/dev-0002",
      "acme/dev-0003",
    ]);
    for (const tenant of ["acme", "globex"]) {
      const own = devices.filter(({ tenantId }) => tenantId === tenant);
      expect(own.filter(({ status }) => status === "REVOKED")).toHaveLength(1);
      expect(own.filter(({ tokenHash }) => tokenHash === null)).toHaveLength(1);
    }
  });

  test("sends heartbeats and telemetry with the metrics of the existing simulators", () => {
    const all = messages(300).map(body);
    const telemetry = all.filter(({ msg_type }) => msg_type === "telemetry");
    expect(telemetry).toHaveLength(100);
    expect(all.filter(({ msg_type }) => msg_type === "heartbeat")).toHaveLength(200);
    for (const { metrics } of telemetry) {
      expect(metrics).toEqual({
        battery_pct: expect.any(Number),
        temp_c: expect.any(Number),
        rssi_dbm: expect.any(Number),
        snr_db: expect.any(Number),
        uplink_ok: expect.any(Boolean),
        pressure_psi: expect.any(Number),
        humidity_pct: expect.any(Number),
        vibration_g: expect.any(Number),
      });
      expect(Number.isInteger((metrics as { rssi_dbm: number }).rssi_dbm)).toBeTrue();
    }
  });

  test("counts each device's messages upwards by one, and stamps them with the time given", () => {
    const seen = new Map<string, number>();
    for (const [i, message] of messages(200).entries()) {
      const { device_id, seq, ts } = body(message) as { device_id: string; seq: number; ts: string };
      expect(seq).toBe((seen.get(device_id) ?? 0) + 1);
      expect(ts).toBe(new Date(START_MS + i).toISOString());
      seen.set(device_id, seq);
    }
    expect(seen.size).toBe(5);
  });

  test("has no faults unless requested", () => {
    expect(messages(200).every(({ fault, expected }) => fault === null && expected === "event")).toBeTrue();
  });

  test("has each fault about as often as requested", () => {
    const count = messages(20_000, { faults: { "bad-token": 0.1 } }).filter(
      (m) => m.fault === "bad-token",
    ).length;
    expect(count).toBeGreaterThan(1700);
    expect(count).toBeLessThan(2300);
  });

  test.each(faultNames)("says the verdict of %s with every such message", (name) => {
    for (const { fault, expected } of always(name)) {
      expect(fault).toBe(name);
      expect(expected).toBe(faultOf(name).expected);
    }
  });

  test("stays within the filter tenant/+/device/+/+, whatever the fault", () => {
    for (const { topic } of messages(5000, { faults: everyFault })) {
      expect(topic).toMatch(/^tenant\/[^/+#]*\/device\/[^/+#]*\/[^/+#]*$/);
    }
  });
});

describe("a fault in the order of messages", () => {
  test("duplicate: the same bytes twice, one after the other", () => {
    const [first, second, third] = always("duplicate");
    expect(second).toEqual(first as FleetMessage);
    expect(third?.payload).not.toEqual(first?.payload as Buffer);
  });

  test("reordering: the later of two comes first", () => {
    const seqs = always("reordering", 4)
      .map(body)
      .map(({ device_id, seq }) => `${String(device_id)} ${String(seq)}`);
    expect(seqs).toEqual(["dev-0001 2", "dev-0001 1", "dev-0002 2", "dev-0002 1"]);
  });

  test("burst: several of one device in a row, fewer than the default burst of the gateway", () => {
    const devices = always("burst", 60).map(({ device }) => device);
    const first = devices.findIndex((device) => device !== devices[0]);
    expect(first).toBeGreaterThan(2);
    expect(first).toBeLessThan(20);
  });

  test("revoked-device and token-not-set are sent by such devices", () => {
    const { devices } = fleetOf();
    for (const { device } of always("revoked-device")) expect(devices[device]?.status).toBe("REVOKED");
    for (const { device } of always("token-not-set")) expect(devices[device]?.tokenHash).toBeNull();
  });
});
