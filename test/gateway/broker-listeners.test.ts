/** What a subscriber at the embedded broker sees of others' messages. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { connectAsync, type MqttClient } from "mqtt";
import {
  type InProcess,
  registered,
  startInProcess,
  stopAll,
  telemetry,
  tokenFor,
} from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

let running: InProcess;
const clients: MqttClient[] = [];

beforeEach(async () => {
  running = await startInProcess({ BROKER_LISTEN: "127.0.0.1:0" }, { withBroker: true });
  await running.gateway.view.devices.add(registered(["d1"]));
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
  await stopAll();
});

async function connected(login: { username?: string; password?: string } = {}): Promise<MqttClient> {
  const port = running.gateway.sourceAddress("broker")?.port ?? 0;
  const client = await connectAsync({ host: "127.0.0.1", port, protocolVersion: 4, ...login });
  clients.push(client);
  return client;
}

test.each([1, 2] as const)("a device's token is in no payload that is passed on (QoS %d)", async (qos) => {
  const listener = await connected({ username: "acme/d1", password: tokenFor("d1") });
  const heard: string[] = [];
  listener.on("message", (_topic, payload) => void heard.push(payload.toString()));
  await listener.subscribeAsync("tenant/acme/device/d1/#", { qos: 2 });
  const client = await connected();
  const { topic, payload } = telemetry("d1", 1);
  const rejected = telemetry("d1", 2, { provision_token: "tok-of-nobody" });
  await client.publishAsync(topic, Buffer.from(rejected.payload), { qos });
  await client.publishAsync(topic, Buffer.from(payload), { qos });
  await until(() => heard.length === 1);
  // What is rejected is passed on to nobody.
  expect(heard[0]).toContain('"provision_token":"***"');
  expect(heard.join("\n")).not.toContain(tokenFor("d1"));
  expect(running.stats().ingest).toMatchObject({ accepted: 1, rejected: { TOKEN_INVALID: 1 } });
});
