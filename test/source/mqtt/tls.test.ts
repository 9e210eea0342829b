/** TLS, web sockets and bad lines: what is reported to an operator, and that the source recovers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connectAsync } from "mqtt";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mosquittoAvailable, startMosquitto } from "../../kit/mosquitto.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { startProxy } from "../../kit/proxy.ts";
import { fakeIntake, settingsOf, until } from "../../kit/source.ts";
import { type Certificates, makeCertificates } from "../../kit/tls.ts";

const ends = endsAfterEach();

async function running(env: Record<string, string>) {
  const source = mqttSource(env);
  const intake = fakeIntake(() => source);
  ends.push(() => source.close());
  await source.start(intake);
  return { source, intake };
}

async function mosquitto(listener: readonly string[]) {
  const broker = await startMosquitto({ listener });
  ends.push(() => broker.dispose());
  return broker;
}

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});
afterAll(() => certificates.remove());

const tls = () => [
  `cafile ${certificates.ca}`,
  `certfile ${certificates.serverCert}`,
  `keyfile ${certificates.serverKey}`,
];

describe.skipIf(!mosquittoAvailable())("TLS with mosquitto (skipped if it is not installed)", () => {
  test.each(["mqtts", "wss"])("%s with a private CA, by name and by address", async (scheme) => {
    const { port } = await mosquitto([...tls(), ...(scheme === "wss" ? ["protocol websockets"] : [])]);
    for (const host of ["localhost", "127.0.0.1"]) {
      const { source } = await running({
        MQTT_URL: `${scheme}://${host}:${port}`,
        MQTT_TLS_CA: certificates.ca,
      });
      expect(source.status()).toMatchObject({ connected: true });
      await source.close();
    }
  });

  test.each(["mqtts", "wss"])(
    "%s with a CA that did not sign it is refused, and the detail says so",
    async (scheme) => {
      const { port } = await mosquitto([...tls(), ...(scheme === "wss" ? ["protocol websockets"] : [])]);
      const { source } = await running({
        MQTT_URL: `${scheme}://localhost:${port}`,
        MQTT_TLS_CA: certificates.otherCa,
      });
      expect(source.status()).toMatchObject({ connected: false });
      expect(source.status().detail).toContain("set MQTT_TLS_CA to its CA");
    },
  );

  test("a client certificate is presented; without one the broker accepts nobody", async () => {
    const { port } = await mosquitto([...tls(), "require_certificate true"]);
    const env = { MQTT_URL: `mqtts://localhost:${port}`, MQTT_TLS_CA: certificates.ca };
    const without = await running(env);
    expect(without.source.status().connected).toBe(false);
    const settings = settingsOf(mqttSettings, {
      ...env,
      MQTT_TLS_CERT: certificates.clientCert,
      MQTT_TLS_KEY: certificates.clientKey,
    });
    expect(await probeMqtt(settings)).toContain("speaks MQTT 5");
  });

  test("plain web sockets work, messages and acknowledgements", async () => {
    const { port } = await mosquitto(["protocol websockets"]);
    const { source, intake } = await running({ MQTT_URL: `ws://127.0.0.1:${port}` });
    const client = await connectAsync({ protocol: "ws", host: "127.0.0.1", port, protocolVersion: 4 });
    ends.push(() => client.endAsync(true));
    for (let i = 0; i < 20; i += 1)
      await client.publishAsync("tenant/a/device/b/telemetry", `m${i}`, { qos: 1 });
    await until("20 messages", () => intake.messages.length === 20 && source.status().unacknowledged === 0);
  });

  // A large chunk is let go of once it is read (reading-client.ts), whatever layer it came through.
  test.each(["mqtt", "mqtts", "ws", "wss"])("a backlog comes whole by %s", async (scheme) => {
    const { port } = await mosquitto([
      ...(scheme === "mqtts" || scheme === "wss" ? tls() : []),
      ...(scheme === "ws" || scheme === "wss" ? ["protocol websockets"] : []),
    ]);
    const url = `${scheme}://localhost:${port}`;
    const { source, intake } = await running({ MQTT_URL: url, MQTT_TLS_CA: certificates.ca });
    const client = await connectAsync(url, { ca: readFileSync(certificates.ca) });
    ends.push(() => client.endAsync(true));
    const sent = Array.from({ length: 1_000 }, (_, i) => `${i}`.padEnd(1_500, "."));
    for (const text of sent) client.publish("tenant/a/device/b/telemetry", text, { qos: 1 });
    await until("all", () => intake.messages.length === 1_000 && source.status().unacknowledged === 0);
    expect(intake.texts()).toEqual(sent);
  });

  test("a black-holed connection is noticed by the keep-alive and replaced", async () => {
    const { port } = await mosquitto([]);
    const proxy = await startProxy({ port });
    ends.push(() => proxy.stop());
    const { source, intake } = await running({
      MQTT_URL: `mqtt://127.0.0.1:${proxy.port}`,
      MQTT_KEEPALIVE_SECONDS: "1",
    });
    expect(source.status().connected).toBe(true);
    proxy.mode("blackhole");
    await until("the silence is noticed", () => source.status().detail.includes("fell silent"));
    proxy.mode("pass");
    await until("a connection", () => source.status().connected);
    const client = await connectAsync({ host: "127.0.0.1", port, protocolVersion: 4 });
    ends.push(() => client.endAsync(true));
    await client.publishAsync("tenant/a/device/b/telemetry", "after", { qos: 1 });
    await until("a message", () => intake.texts().includes("after"));
  });
});
