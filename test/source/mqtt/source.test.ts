/** The MQTT client against a real Mosquitto, and against aedes as a broker that knows only MQTT 3.1.1. */
import { describe, expect, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { Aedes } from "aedes";
import { connectAsync, type MqttClient } from "mqtt";
import type { Source } from "../../../src/core/source.ts";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import {
  type Mosquitto,
  mosquittoAvailable,
  type MosquittoOptions,
  startMosquitto,
} from "../../kit/mosquitto.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { type FakeIntake, fakeIntake, settingsOf, until } from "../../kit/source.ts";

const TOPIC = "tenant/acme/device/d1/telemetry";
const ends = endsAfterEach();

async function mosquitto(options?: MosquittoOptions): Promise<Mosquitto> {
  const broker = await startMosquitto(options);
  ends.push(() => broker.dispose());
  return broker;
}

const settingsFor = (port: number) => settingsOf(mqttSettings, { MQTT_URL: `mqtt://127.0.0.1:${port}` });

function sourceAt(port: number, env: Record<string, string> = {}, gatewayId = "g1"): Source {
  const source = mqttSource({ MQTT_URL: `mqtt://127.0.0.1:${port}`, ...env }, { gatewayId });
  ends.push(() => source.close());
  return source;
}

/** A source that settles what it receives. */
async function running(port: number, env: Record<string, string> = {}, gatewayId = "g1") {
  const source = sourceAt(port, env, gatewayId);
  const intake = fakeIntake(() => source);
  await source.start(intake);
  return { source, intake };
}

async function publisher(port: number): Promise<MqttClient> {
  const client = await connectAsync({ host: "127.0.0.1", port, protocolVersion: 4, reconnectPeriod: 0 });
  client.on("error", () => {});
  ends.push(() => client.endAsync(true));
  return client;
}

const publishAll = (client: MqttClient, texts: readonly string[], qos: 0 | 1 | 2 = 1) =>
  Promise.all(texts.map((text) => client.publishAsync(TOPIC, text, { qos })));

const numbered = (count: number, name = "m") => Array.from({ length: count }, (_, i) => `${name}${i}`);
const unique = (intake: FakeIntake) => [...new Set(intake.texts())].toSorted();

describe.skipIf(!mosquittoAvailable())("with mosquitto (skipped if it is not installed)", () => {
  test("the broker stops at exactly the Receive Maximum, and goes on when the oldest is acknowledged", async () => {
    const { port } = await mosquitto();
    const source = sourceAt(port, { MQTT_RECEIVE_MAXIMUM: "50" });
    const intake = fakeIntake();
    await source.start(intake);
    await publishAll(await publisher(port), numbered(200));
    await until("a full window", () => intake.messages.length >= 50);
    const client = await publisher(port);
    await client.publishAsync(TOPIC, "beyond", { qos: 1 });
    expect(intake.messages.length).toBe(50);
    expect(source.status().unacknowledged).toBe(50);

    let settled = 0;
    await until("the rest", () => {
      source.durable(intake.messages.slice(settled));
      settled = intake.messages.length;
      return settled >= 201;
    });
    expect(intake.texts()).toEqual([...numbered(200), "beyond"]);
  });

  test("publishers of QoS 0, 1 and 2 are all received, each once", async () => {
    const { port } = await mosquitto();
    const { intake } = await running(port);
    const client = await publisher(port);
    for (const qos of [0, 1, 2] as const) await publishAll(client, numbered(20, `q${qos}-`), qos);
    await until("60 messages", () => intake.messages.length >= 60);
    expect(unique(intake)).toEqual([0, 1, 2].flatMap((qos) => numbered(20, `q${qos}-`)).toSorted());
    expect(intake.messages.length).toBe(60);
    expect(intake.messages.find((message) => message.qos === 0)?.packetId).toBe(0);
    expect(intake.messages.filter((message) => message.qos === 1).length).toBe(40);
  });

  test("what comes while we are away waits in the session", async () => {
    const { port } = await mosquitto();
    const first = await running(port);
    await first.source.close();
    await publishAll(await publisher(port), numbered(30));
    const second = await running(port);
    await until("30 messages", () => second.intake.messages.length >= 30);
    expect(unique(second.intake)).toEqual(numbered(30).toSorted());
  });

  test("what was not acknowledged comes again with the DUP flag", async () => {
    const { port } = await mosquitto();
    const first = sourceAt(port);
    const intake = fakeIntake();
    await first.start(intake);
    await publishAll(await publisher(port), ["once"]);
    await until("the message", () => intake.messages.length === 1);
    await first.close();
    const second = await running(port);
    await until("the message again", () => second.intake.messages.length === 1);
    const [before, after] = [intake.messages[0], second.intake.messages[0]];
    expect(after).toMatchObject({ dup: true, packetId: before?.packetId, sender: "" });
    expect(after?.payload).toEqual(before?.payload);
  });

  test("survives a restart of the broker, and subscribes again if the broker lost the session", async () => {
    const broker = await mosquitto();
    const { source, intake } = await running(broker.port);
    for (const forget of [false, true]) {
      await broker.restart({ forget });
      await until("a new connection", () => source.status().connected);
      await publishAll(await publisher(broker.port), [`forget ${forget}`]);
      await until("a message", () => intake.texts().includes(`forget ${forget}`));
    }
    expect(source.status().reconnects).toBe(2);
  });

  test("a broker that is away is no error: start resolves, the detail says why, and it connects later", async () => {
    const broker = await mosquitto();
    await broker.stop();
    const { source } = await running(broker.port);
    expect(source.status()).toMatchObject({ connected: false, reconnects: 0 });
    expect(source.status().detail).toContain("nothing listens there");
    await broker.restart();
    await until("a connection", () => source.status().connected);
  });

  test("two gateways in a share group get every message once between them", async () => {
    const { port } = await mosquitto();
    const one = await running(port, { MQTT_SHARE_GROUP: "site" }, "g1");
    const two = await running(port, { MQTT_SHARE_GROUP: "site" }, "g2");
    await publishAll(await publisher(port), numbered(100));
    const both = () => [...one.intake.texts(), ...two.intake.texts()];
    await until("100 messages", () => both().length >= 100);
    expect(both().toSorted()).toEqual(numbered(100).toSorted());
    expect(one.intake.messages.length).toBeGreaterThan(0);
    expect(two.intake.messages.length).toBeGreaterThan(0);
  });

  test("what a broker retains comes to no member of a share group, also after the broker's restart", async () => {
    const broker = await mosquitto({ lines: ["persistence true"] });
    const devices = await publisher(broker.port);
    await devices.publishAsync("tenant/acme/device/d1/telemetry", "retained", { qos: 1, retain: true });
    const members = [
      await running(broker.port, { MQTT_SHARE_GROUP: "site" }, "g1"),
      await running(broker.port, { MQTT_SHARE_GROUP: "site" }, "g2"),
    ];
    await broker.stop();
    await broker.restart();
    const texts = () => members.flatMap(({ intake }) => intake.texts());
    await until("both", () => members.every(({ source }) => source.status().connected));
    await publishAll(await publisher(broker.port), numbered(20));
    await until("what comes live", () => texts().length >= 20);
    expect(texts().toSorted()).toEqual(numbered(20).toSorted());
  });

  test("one that takes nothing as large as our SUBSCRIBE is named, and not asked without a pause, also with STATUS_TOPIC", async () => {
    const { port } = await mosquitto({ lines: ["max_packet_size 300"] });
    const topics = Array.from({ length: 30 }, (_, i) => `site/area-${i}/+/state`).join(",");
    const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_TOPIC: topics };
    const source = mqttSource(env, { statusTopic: { topic: "site/status", lastWill: "gone" } });
    ends.push(() => source.close());
    await source.start(fakeIntake());
    expect(source.status().detail).toContain("says that a packet was too large");
  });

  test("a wrong password is named, without the password; the right one works from the URL too", async () => {
    const { port } = await mosquitto({ users: { gate: "s3cret/@" } });
    const wrong = await running(port, { MQTT_USERNAME: "gate", MQTT_PASSWORD: "hunter2" });
    expect(wrong.source.status().detail).toContain("check MQTT_USERNAME and MQTT_PASSWORD");
    expect(wrong.source.status().detail).not.toContain("hunter2");
    const url = `mqtt://gate:${encodeURIComponent("s3cret/@")}@127.0.0.1:${port}`;
    const right = await running(port, { MQTT_URL: url }, "g2");
    expect(right.source.status().connected).toBe(true);
    expect(right.source.status().detail).not.toContain("s3cret");
  });

  test("a QoS 0 flood is held while the intake is full, without losing the connection, and goes on afterwards", async () => {
    const { port } = await mosquitto({ lines: ["max_queued_messages 0"] });
    const { source, intake } = await running(port, { MQTT_KEEPALIVE_SECONDS: "1" });
    intake.full = true;
    const client = await publisher(port);
    await publishAll(client, numbered(500), 0);
    await until("the first", () => intake.messages.length === 1);
    // Longer than the keep-alive time: neither side may mistake the pause in reading for silence.
    await Bun.sleep(2500);
    expect(intake.messages.length).toBe(1);
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
    intake.drain();
    await until("all", () => intake.messages.length === 500);
    expect(intake.texts()).toEqual(numbered(500));
  });

  test("probe: the version is reported, and a running gateway keeps its session", async () => {
    const { port } = await mosquitto();
    const { source } = await running(port);
    expect(await probeMqtt(settingsFor(port))).toBe(
      `mqtt://127.0.0.1:${port} speaks MQTT 5; it may send 20000 messages ahead of our acknowledgement`,
    );
    expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
  });
});

test("probe: a missing broker is one sentence", async () => {
  await expect(probeMqtt(settingsFor(1))).rejects.toThrow(
    "mqtt://127.0.0.1:1 refuses the connection or cannot be reached (ECONNREFUSED): nothing listens there",
  );
});

test.each([
  ["mqtt", "does that port want TLS (mqtts://)?"],
  ["mqtts", "does that port speak TLS?"],
  ["ws", "does that port speak websockets, or want TLS (wss://)?"],
  ["wss", "does that port speak websockets with TLS?"],
])("the probe says what a reset of %s may mean", async (scheme, words) => {
  const resets = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => socket.terminate() },
  });
  const settings = settingsOf(mqttSettings, { MQTT_URL: `${scheme}://127.0.0.1:${resets.port}` });
  await expect(probeMqtt(settings).finally(() => resets.stop(true))).rejects.toThrow(
    `reset the connection: ${words}`,
  );
});

describe("with a broker that knows only MQTT 3.1.1", () => {
  /** Plain aedes; the embedded broker, which is made from it, lets nobody read what is not his own. */
  async function embedded() {
    const broker = await Aedes.createBroker();
    const server = createServer(broker.handle);
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    ends.push(() => new Promise<void>((resolve) => broker.close(resolve)));
    ends.push(() => void server.close());
    return (server.address() as AddressInfo).port;
  }

  test("falls back, receives, and warns of the window by name", async () => {
    const port = await embedded();
    const { source, intake } = await running(port);
    expect(source.status().connected).toBe(true);
    expect(source.status().detail).toContain("the broker refuses MQTT 5");
    expect(source.status().detail).toContain("max_inflight_messages");
    await publishAll(await publisher(port), numbered(20));
    await until("20 messages", () => intake.messages.length >= 20);
    expect(await probeMqtt(settingsFor(port))).toContain("speaks MQTT 3.1.1");
  });

  test("what aedes gives again without the DUP flag is told apart as what may come again", async () => {
    const port = await embedded();
    const source = sourceAt(port);
    const intake = fakeIntake();
    await source.start(intake);
    await publishAll(await publisher(port), numbered(3));
    await until("3 messages", () => intake.messages.length === 3);
    source.reconnect();
    await until("them again", () => intake.messages.length === 6);
    expect(intake.messages.map(({ dup, mayBeAgain }) => [dup, mayBeAgain])).toEqual([
      ...Array.from({ length: 3 }, () => [false, false]),
      ...Array.from({ length: 3 }, () => [false, true]),
    ]);
  });

  test("MQTT_VERSION=5 does not fall back", async () => {
    const { source } = await running(await embedded(), { MQTT_VERSION: "5" });
    expect(source.status()).toMatchObject({ connected: false });
    expect(source.status().detail).toContain("see MQTT_VERSION");
  });
});
