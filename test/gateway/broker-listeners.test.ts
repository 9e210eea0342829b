/** What a subscriber at the embedded broker gets to see of others' messages. */
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

async function connected(): Promise<MqttClient> {
  const port = running.gateway.brokerAddress()?.port ?? 0;
  const client = await connectAsync({ host: "127.0.0.1", port, protocolVersion: 4 });
  clients.push(client);
  return client;
}

test.each([1, 2] as const)("a device's token is in no payload that is passed on (QoS %d)", async (qos) => {
  const listener = await connected();
  const heard: string[] = [];
  listener.on("message", (_topic, payload) => void heard.push(payload.toString()));
  await listener.subscribeAsync("#", { qos: 2 });
  const client = await connected();
  const { topic, payload } = telemetry("d1", 1);
  await client.publishAsync(topic, Buffer.from(payload), { qos });
  await client.publishAsync("a/note", `provision_token: ${tokenFor("d1")}`, { qos });
  await client.publishAsync("a/note", Buffer.from([0xff, 0x00, 0x01]), { qos });
  await until(() => heard.length === 3);
  expect(heard.join("\n")).not.toContain(tokenFor("d1"));
  expect(heard[0]).toContain('"provision_token":"***"');
  expect(heard[1]).toBe("provision_token: ***");
  expect(running.stats().ingest).toMatchObject({ accepted: 1 });
});
