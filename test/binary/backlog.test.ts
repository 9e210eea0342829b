/** The executable with its default settings, as a site runs it: a backlog is not a flood, and no device loses a reading to its rate. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFleet, type Fleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { localTables } from "../fault/tables.ts";
import { executable, sluice, startGateway, statsWhen, type GatewayProcess } from "../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto, type Mosquitto } from "../kit/mosquitto.ts";
import { until } from "../kit/until.ts";

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  mosquittoAvailable() ? "" : "no mosquitto",
].filter(Boolean);

let ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
});

interface Site {
  readonly broker: Mosquitto;
  readonly dataDir: string;
  readonly env: Record<string, string>;
  start(): Promise<GatewayProcess>;
}

/** An unconfigured Mosquitto, a registered fleet in the local store, and no setting but the broker's address. */
async function siteOf(fleet: Fleet): Promise<Site> {
  const broker = await startMosquitto();
  ends.push(() => broker.dispose());
  const dir = mkdtempSync(join(tmpdir(), "sluice-backlog-"));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  const dataDir = join(dir, "data");
  expect((await sluice({ DATA_DIR: dataDir }, "migrate")).code).toBe(0);
  await localTables(() => join(dataDir, "local.db")).run(registrySql(fleet.devices));
  const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}` };
  return {
    broker,
    dataDir,
    env,
    async start() {
      const gateway = await startGateway(env, dataDir);
      ends.push(() => gateway.kill9());
      return gateway;
    },
  };
}

const connected = ({ source }: Record<string, unknown>) => (source as { connected: boolean }).connected;

async function publish(site: Site, fleet: Fleet, count: number): Promise<void> {
  const { acknowledged } = await publishFleet({
    brokerUrl: site.env["MQTT_URL"] ?? "",
    fleet,
    rate: 0,
    qos: 1,
    protocolVersion: 5,
    count,
    connections: 4,
    window: 100,
    drainMs: 10_000,
    clientIdPrefix: `device-${Math.random()}`,
  });
  expect(acknowledged).toBe(count);
}

const rowsOf = (site: Site) => localTables(() => join(site.dataDir, "local.db")).rows([]);

describe.skipIf(absent.length > 0)(`a backlog (skipped where absent: ${absent.join(", ")})`, () => {
  test.each([
    [20, 35],
    [2, 120],
    [1, 300],
  ])(
    "%d devices × %d readings queued at Mosquitto while the gateway was stopped: every one is stored",
    async (devices, each) => {
      const fleet = createFleet({ seed: 3, devices, tenants: ["acme"], faults: {} });
      const site = await siteOf(fleet);
      const first = await site.start();
      await statsWhen(first, connected);
      expect(await first.stop()).toBe(0);
      await publish(site, fleet, devices * each);
      const second = await site.start();
      const stats = await statsWhen(second, ({ sinks }) => sinks["local"]?.delivered === devices * each);
      expect(stats).toMatchObject({ balanced: true, ingest: { rejected: {} } });
      expect(await rowsOf(site)).toHaveLength(devices * each);
    },
    60_000,
  );

  test("one device that flushes 300 buffered readings: every one is stored", async () => {
    const fleet = createFleet({ seed: 3, devices: 1, tenants: ["acme"], faults: {} });
    const site = await siteOf(fleet);
    const gateway = await site.start();
    await statsWhen(gateway, connected);
    await publish(site, fleet, 300);
    await statsWhen(gateway, ({ sinks }) => sinks["local"]?.delivered === 300);
    expect(await rowsOf(site)).toHaveLength(300);
  }, 60_000);

  test("a device that floods is limited, which is reported; it hurts nobody, and what was kept is replayed", async () => {
    const flooder = createFleet({ seed: 3, devices: 1, tenants: ["noisy"], faults: {} });
    const honest = createFleet({ seed: 4, devices: 20, tenants: ["acme"], faults: {} });
    const site = await siteOf({ ...flooder, devices: [...flooder.devices, ...honest.devices] });
    Object.assign(site.env, { RATE_LIMIT_BACKLOG_SECONDS: "100" });
    const gateway = await site.start();
    await statsWhen(gateway, connected);
    const flood = publish(site, flooder, 5_000);
    await publish(site, honest, 700);
    await flood;
    // What its rate permits while it floods passes as well.
    const stats = await statsWhen(gateway, ({ ingest }) => ingest.received === 5_700 && ingest.judging === 0);
    const limited = stats.ingest.rejected["RATE_LIMITED"] ?? 0;
    expect(limited).toBeGreaterThan(4_000);
    expect(limited).toBeLessThanOrEqual(5_000 - 520);
    await statsWhen(gateway, ({ sinks }) => sinks["local"]?.waiting === 0);
    const rows = await rowsOf(site);
    const byTenant = (tenant: string) => rows.filter(({ payload }) => payload["tenant_id"] === tenant);
    expect(byTenant("acme").map(({ reason }) => reason)).toEqual(Array(700).fill(null));
    expect(byTenant("noisy")).toHaveLength(5_000);
    await until(() => gateway.log().includes("a device sends more than RATE_LIMIT_RPS"));
    expect(await (await fetch(`${gateway.url}/readyz`)).text()).toContain(
      "1 device sent more than RATE_LIMIT_RPS",
    );
    const replayed = await sluice(
      {},
      "quarantine",
      "replay",
      "--reason",
      "RATE_LIMITED",
      "--gateway",
      gateway.url,
    );
    expect(replayed.code).toBe(0);
    await statsWhen(gateway, ({ sinks }) => sinks["local"]?.waiting === 0);
    const reasons = new Set((await rowsOf(site)).map(({ reason }) => reason));
    expect([...reasons]).toEqual([null]);
  }, 60_000);
});
