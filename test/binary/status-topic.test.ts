/** Health over MQTT, as somebody sees it who watches the broker with an ordinary client: the compiled gateway, a real Mosquitto. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { endsAfterEach } from "../kit/ends.ts";
import { type GatewayProcess, sluice, startGateway } from "../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { freePort } from "../kit/port.ts";
import { until } from "../kit/source.ts";

const topic = "site/sluice/status";
const ends = endsAfterEach();

interface Status {
  readonly state: string;
  readonly retained: boolean;
  readonly [more: string]: unknown;
}

/** What is published there, oldest first; what the broker had kept says so. */
async function watch(port: number): Promise<Status[]> {
  const seen: Status[] = [];
  const client = await connectAsync({ host: "127.0.0.1", port, reconnectPeriod: 0, protocolVersion: 4 });
  ends.push(() => client.endAsync(true));
  client.on("message", (_, payload, { retain }) => {
    seen.push({ ...(JSON.parse(payload.toString()) as Status), retained: retain });
  });
  await client.subscribeAsync(topic);
  return seen;
}

const shows = (seen: readonly Status[], state: string) =>
  until(`the status ${state}`, () => seen.at(-1)?.state === state);

async function started(env: Record<string, string>): Promise<GatewayProcess> {
  const gateway = await startGateway({ STATUS_TOPIC: topic, ...env });
  ends.push(() => gateway.exitCode() ?? gateway.kill9());
  return gateway;
}

describe.skipIf(!mosquittoAvailable())("at a broker", () => {
  async function site(env: Record<string, string> = {}, lines: readonly string[] = []) {
    const broker = await startMosquitto({ lines });
    ends.push(() => broker.dispose());
    const gateway = await started({ MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, ...env });
    return { broker, gateway };
  }

  test("it is retained, is no message of a device, and ends with a word or with the last will", async () => {
    const { broker, gateway } = await site();
    const seen = await watch(broker.port);
    await shows(seen, "working");
    const later = await watch(broker.port);
    await shows(later, "working");
    expect(later[0]).toMatchObject({
      retained: true,
      gateway_id: "test-gateway",
      text: "Working",
      since: null,
    });
    expect(later[0]).toMatchObject({ counts: { received: 0 }, waiting: { local: 0 }, spool: { entries: 0 } });
    expect((await gateway.stats()).ingest.received).toBe(0);
    await gateway.kill9();
    await shows(seen, "away");
    const again = await startGateway(
      { STATUS_TOPIC: topic, MQTT_URL: `mqtt://127.0.0.1:${broker.port}` },
      gateway.dataDir,
    );
    ends.push(() => again.exitCode() ?? again.kill9());
    await shows(seen, "working");
    expect(await again.stop()).toBe(0);
    await shows(seen, "stopped");
    // The last will does not come after it.
    const last = await watch(broker.port);
    await shows(last, "stopped");
  });

  test("it shows an outage with its words, and no secret", async () => {
    const nobody = await freePort();
    const { broker, gateway } = await site({
      INFLUXDB_URL: `http://127.0.0.1:${nobody}`,
      INFLUXDB_TOKEN: "very-secret-token-0815",
      INFLUXDB_ORG: "o",
    });
    const seen = await watch(broker.port);
    const added = await sluice(
      { DATA_DIR: gateway.dataDir },
      ...["devices", "add", "acme", "d1", "--site", "hall-7", "--json"],
    );
    const { token } = JSON.parse(added.out) as { token: string };
    const device = await connectAsync({ host: "127.0.0.1", port: broker.port, reconnectPeriod: 0 });
    ends.push(() => device.endAsync(true));
    const message = { site_id: "hall-7", provision_token: token, metrics: { n: 1 } };
    await device.publishAsync("tenant/acme/device/d1/telemetry", JSON.stringify(message), { qos: 1 });
    await shows(seen, "warning");
    expect(seen.at(-1)).toMatchObject({
      text: "Sink influx cannot deliver",
      since: expect.any(String) as string,
    });
    expect(seen.at(-1)?.["detail"]).toContain(String(nobody));
    expect(JSON.stringify(seen)).not.toContain("very-secret-token");
  });

  test("a broker that forbids the topic is named in the log, and messages go on", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "sluice-acl-")), "acl");
    await Bun.write(file, "topic readwrite tenant/#\n");
    const { gateway } = await site({}, [`acl_file ${file}`]);
    await until("the refusal", () => gateway.log().includes("refuses STATUS_TOPIC site/sluice/status"));
    expect(JSON.stringify((await gateway.stats()).sources)).toContain("refuses STATUS_TOPIC");
  });

  test("check asks the broker for the last will", async () => {
    const broker = await startMosquitto();
    ends.push(() => broker.dispose());
    const seen = await watch(broker.port);
    const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, STATUS_TOPIC: topic, DATA_DIR: tmpdir() };
    const { out } = await sluice(env, "check");
    expect(out).toMatch(/status\s+ok\s+mqtt:\S+ takes a retained last will for site\/sluice\/status/);
    expect(seen).toEqual([]);
  });
});

test("the embedded broker shows it to whoever may connect, and lets nobody else publish it", async () => {
  const port = await freePort();
  const gateway = await started({ BROKER_LISTEN: `127.0.0.1:${port}` });
  const seen = await watch(port);
  await shows(seen, "working");
  const stranger = await connectAsync({ host: "127.0.0.1", port, reconnectPeriod: 0, protocolVersion: 4 });
  ends.push(() => stranger.endAsync(true));
  await stranger.publishAsync(topic, '{"state":"forged"}', { qos: 1, retain: true });
  await until("a reject", async () => Object.keys((await gateway.stats()).ingest.rejected).length > 0);
  const later = await watch(port);
  await shows(later, "working");
  expect(later[0]).toMatchObject({ retained: true, state: "working" });
  expect(seen.map(({ state }) => state)).not.toContain("forged");
});

test.each([
  [{ STATUS_TOPIC: "tenant/acme/device/gateway/status" }, "messages of devices come on tenant/+/device/+/+"],
  [{ STATUS_TOPIC: topic, MQTT_TOPIC: "site/#", MQTT_URL: "mqtt://127.0.0.1" }, "come on site/#"],
  [{ STATUS_TOPIC: "site/+/status" }, "a topic without + and #"],
  [{ STATUS_TOPIC: "$SYS/sluice" }, "a topic without + and #"],
  [
    { STATUS_TOPIC: topic, KAFKA_BOOTSTRAP_SERVERS: "127.0.0.1:9092", KAFKA_SOURCE_TOPIC: "t" },
    "there is no broker",
  ],
])("%j is a mistake", async (env, why) => {
  const { code, err } = await sluice({ DATA_DIR: tmpdir(), ...env }, "check");
  expect({ code, err }).toMatchObject({ code: 78, err: expect.stringContaining(why) as string });
});
