/** Deferred acknowledgement, byte by byte: it rests on how MQTT.js 5.16.0 reads its stream. */
import { describe, expect, test } from "bun:test";
import mqttPacket from "mqtt-packet";
import mqttManifest from "mqtt/package.json" with { type: "json" };
import { silentLog } from "../../../src/core/log/log.ts";
import { systemClock } from "../../../src/core/clock.ts";
import type { Source } from "../../../src/core/source.ts";
import { lossTopic } from "../../../src/source/mqtt/broker-losses.ts";
import type { MqttOptions } from "../../../src/source/mqtt/options.ts";
import { createSessionMemory } from "../../../src/source/mqtt/session-memory.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, recordingLog, until } from "../../kit/source.ts";
import { publishPacket, type WireBroker, type WireBrokerOptions, wireBroker } from "../../kit/wire.ts";

const ends = endsAfterEach();

async function connected(
  options: WireBrokerOptions = {},
  env: Record<string, string> = {},
  more: Partial<MqttOptions> = {},
) {
  const broker = await wireBroker(options);
  const intake = fakeIntake();
  const version = options.version === 4 ? "3.1.1" : "5";
  const source = mqttSource(
    { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: version, ...env },
    more,
  );
  ends.push(
    () => broker.close(),
    () => source.close(),
  );
  await source.start(intake);
  return { broker, intake, source };
}

const acksOf = (broker: WireBroker, cmd = "puback") =>
  broker.packets.filter((packet) => packet.cmd === cmd).map((packet) => packet.messageId);

async function received(intake: ReturnType<typeof fakeIntake>, count: number, source: Source) {
  await until(`${count} messages`, () => intake.messages.length >= count);
  expect(source.status().unacknowledged).toBeGreaterThan(0);
}

test("MQTT.js has the version whose stream our reader was checked against", () => {
  expect(mqttManifest.version).toBe("5.16.0");
});

describe.each([5, 4] as const)("with protocol level %d", (version) => {
  test("many messages arrive without any acknowledgement, and a settled group is acknowledged in one write", async () => {
    const { broker, intake, source } = await connected({ version });
    for (let id = 1; id <= 300; id += 1) broker.send(publishPacket(id, `m${id}`));
    await received(intake, 300, source);
    expect(acksOf(broker)).toEqual([]);

    const chunksBefore = broker.chunks.length;
    source.durable(intake.messages);
    await until("acknowledgements", () => acksOf(broker).length === 300);
    expect(acksOf(broker)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(broker.chunks.length - chunksBefore).toBe(1);
    expect(source.status().unacknowledged).toBe(0);
  });

  test("messages that settle out of order are acknowledged in the order of receipt", async () => {
    const { broker, intake, source } = await connected({ version });
    for (let id = 1; id <= 4; id += 1) broker.send(publishPacket(id, `m${id}`));
    await received(intake, 4, source);
    source.durable(intake.messages.slice(2));
    source.durable(intake.messages.slice(0, 1));
    await until("the first", () => acksOf(broker).length === 1);
    source.durable(intake.messages.slice(1, 2));
    await until("the rest", () => acksOf(broker).length === 4);
    expect(acksOf(broker)).toEqual([1, 2, 3, 4]);
  });

  test("QoS 2 of an old subscription: PUBREC waits, PUBREL is answered", async () => {
    const { broker, intake, source } = await connected({ version });
    broker.send(publishPacket(9, "two", { qos: 2 }));
    await received(intake, 1, source);
    expect(intake.messages[0]?.qos).toBe(2);
    expect(acksOf(broker, "pubrec")).toEqual([]);
    source.durable(intake.messages);
    await until("PUBREC", () => acksOf(broker, "pubrec").length === 1);
    broker.send({ cmd: "pubrel", messageId: 9 });
    await until("PUBCOMP", () => acksOf(broker, "pubcomp").length === 1);
    expect(intake.messages.length).toBe(1);
  });
});

test("acknowledgements of a lost connection are discarded, and a redelivered message has the DUP flag", async () => {
  const { broker, intake, source } = await connected({
    connack: (number) => ({ sessionPresent: number > 0 }),
  });
  broker.send(publishPacket(1, "old"));
  await received(intake, 1, source);
  broker.connections[0]?.destroy();
  await until("a second connection", () => broker.connections.length === 2 && source.status().connected);
  expect(source.status()).toMatchObject({ reconnects: 1, unacknowledged: 0 });

  // The broker now uses identifier 1 for another message: an acknowledgement of the old one would lose that.
  broker.send(publishPacket(1, "new"));
  broker.send(publishPacket(2, "old", { dup: true }));
  await received(intake, 3, source);
  source.durable(intake.messages.slice(0, 1));
  source.durable(intake.messages.slice(2));
  broker.send({ cmd: "pubrel", messageId: 77 });
  await until("a fence", () => acksOf(broker, "pubcomp").length === 1);
  expect(acksOf(broker)).toEqual([]);
  source.durable(intake.messages.slice(1, 2));
  await until("both", () => acksOf(broker).length === 2);
  expect(acksOf(broker)).toEqual([1, 2]);
  expect(intake.messages.map((message) => message.dup)).toEqual([false, false, true]);
});

test("after stopIntake messages are neither taken nor acknowledged, while those taken before still are", async () => {
  const { broker, intake, source } = await connected();
  broker.send(publishPacket(1, "before"));
  await received(intake, 1, source);
  await source.stopIntake();
  broker.send(publishPacket(2, "after"));
  broker.send({ cmd: "pubrel", messageId: 77 });
  await until("a fence", () => acksOf(broker, "pubcomp").length === 1);
  source.durable(intake.messages);
  await source.close();
  await until("goodbye", () => broker.packets.some((packet) => packet.cmd === "disconnect"));
  expect(acksOf(broker)).toEqual([1]);
  expect(intake.texts()).toEqual(["before"]);
});

test("a packet larger than MQTT.js takes at once stops the reading for no longer than it takes", async () => {
  const { broker, intake } = await connected();
  const reasonString = "x".repeat(50_000);
  broker.send({ cmd: "pubrel", messageId: 77, reasonCode: 0, properties: { reasonString } });
  for (let id = 1; id <= 3; id += 1) broker.send(publishPacket(id, `m${id}`));
  await until("what is behind it", () => intake.messages.length === 3);
  expect(intake.texts()).toEqual(["m1", "m2", "m3"]);
  await until("its answer", () => acksOf(broker, "pubcomp").includes(77));
});

test.each([
  [5, [0x36, 3, 0, 1, 0x74], "a PUBLISH of QoS 3", 0x81],
  [5, [0x30, 6, 0, 0, 3, 0x23, 0, 1], "a Topic Alias", 0x81],
  [5, [0x90, 0xff, 0xff, 0xff, 0x7f], "a packet of 268435455 bytes", 0x81],
  [4, [0x30, 0xff, 0xff, 0xff, 0xff], "a length without an end", undefined],
] as const)(
  "level %d: what is no MQTT (%p) ends the connection with a word, behind what came before it",
  async (version, bytes, why, code) => {
    const { log, lines } = recordingLog();
    const { broker, intake, source } = await connected({ version }, {}, { log });
    const good = mqttPacket.generate(publishPacket(1, "good"), { protocolVersion: version });
    broker.connections[0]?.write(Buffer.concat([good, Buffer.from(bytes), good]));
    await until("a second connection", () => broker.connections.length === 2 && source.status().connected);
    expect(intake.texts()).toEqual(["good"]);
    expect(lines.map(({ msg }) => msg)).toContainEqual(expect.stringContaining(why));
    const goodbye = broker.packets.find(({ cmd }) => cmd === "disconnect");
    expect(goodbye).toEqual(code && expect.objectContaining({ reasonCode: code }));
  },
);

test("close sends the acknowledgements that are due, and leaves the session alive", async () => {
  const { broker, intake, source } = await connected({}, { MQTT_SESSION_EXPIRY_SECONDS: "3600" });
  broker.send(publishPacket(1, "one"));
  await received(intake, 1, source);
  source.durable(intake.messages);
  await source.close();
  await until("goodbye", () => broker.packets.some((packet) => packet.cmd === "disconnect"));
  expect(acksOf(broker)).toEqual([1]);
  const hello = broker.packets.find((packet) => packet.cmd === "connect");
  expect(hello).toMatchObject({
    clean: false,
    clientId: "sluice-g1",
    properties: { sessionExpiryInterval: 3600, receiveMaximum: 20_000 },
  });
  const goodbye = broker.packets.find((packet) => packet.cmd === "disconnect");
  expect(goodbye?.properties?.sessionExpiryInterval).toBeUndefined();
});

test("close says goodbye at once to a broker that has not answered all that it was asked", async () => {
  const { broker, source } = await connected({ silentOn: lossTopic });
  const asked = () =>
    broker.packets.flatMap((packet) => (packet.cmd === "subscribe" ? packet.subscriptions : []));
  await until("the question", () => asked().some(({ topic }) => topic === lossTopic));
  await source.close();
  await until("goodbye", () => broker.packets.some((packet) => packet.cmd === "disconnect"));
});

test("a broker that says why it ends the connection, or refuses the subscription, is quoted", async () => {
  const { broker, source } = await connected();
  broker.send({ cmd: "disconnect", reasonCode: 142 });
  await until("the reason", () => source.status().detail.includes("another client with the same id"));

  const other = await connected();
  const reasonString = "listener is being reloaded";
  other.broker.send({ cmd: "disconnect", reasonCode: 152, properties: { reasonString } });
  await until("its words", () => other.source.status().detail.includes("(listener is being reloaded)"));

  const refused = await connected({ granted: 135 });
  expect(refused.source.status()).toMatchObject({ connected: false });
  expect(refused.source.status().detail).toContain("refuses to subscribe us to tenant/+/device/+/+");
});

test("a broker that grants QoS 0 only, or keeps the session briefly, is told of while it is connected", async () => {
  const properties = { sessionExpiryInterval: 60 };
  const { broker, source } = await connected({ granted: 0, connack: () => ({ properties }) });
  const words =
    "the broker keeps our session for 60 s only; it grants QoS 0 only: what comes while we are away is lost";
  expect(source.status()).toMatchObject({ connected: true, loss_ahead: words });
  broker.close();
  await until("its end", () => !source.status().connected);
  expect(source.status()).toMatchObject({ loss_ahead: null });
});

describe.each([5, 4] as const)("of several filters one is refused, with protocol level %d", (version) => {
  const several = { MQTT_TOPIC: "forbidden/#,tenant/#" };

  test("the others bring their messages, and the source says that it is not whole", async () => {
    const refuses = (filter: string) => filter === "forbidden/#";
    const { broker, intake, source } = await connected({ version, refuses }, several);
    await until("the answer", () => source.status().detail.includes("subscribed to tenant/#;"));
    expect(source.status()).toMatchObject({ connected: false, not_subscribed: 1 });
    expect(source.status().detail).toContain("the broker refuses to subscribe us to forbidden/#, and");
    broker.send(publishPacket(1, "a reading"));
    await received(intake, 1, source);
    expect(broker.connections).toHaveLength(1);
  });

  test("it is asked for again, and taken once the broker grants it", async () => {
    let isRefused = true;
    const refuses = (filter: string) => isRefused && filter === "forbidden/#";
    const often = (ms: number, run: () => void) => systemClock.every(ms === 60_000 ? 5 : ms, run);
    const clock = { ...systemClock, every: often };
    const { broker, source } = await connected({ version, refuses }, several, { clock });
    const asked = () => broker.packets.filter(({ cmd }) => cmd === "subscribe").length;
    await until("it is asked for again", () => asked() > 3);
    expect(broker.connections).toHaveLength(1);
    isRefused = false;
    await until("both are granted", () => source.status().connected);
    expect(source.status()).toMatchObject({ not_subscribed: 0 });
    expect(source.status().detail).toContain("subscribed to forbidden/#, tenant/#");
  });
});

test.each([149, 154, 155])(
  "a broker that refuses the last will with %d is connected to without it",
  async (code) => {
    const { log, lines } = recordingLog();
    const statusTopic = { topic: "site/status", lastWill: "gone" };
    const connack = (connection: number) => ({ reasonCode: connection === 0 ? code : 0 });
    const { broker, intake, source } = await connected({ connack }, {}, { log, statusTopic });
    source.announce?.("working");
    await until("a connection", () => source.status().connected);
    broker.send(publishPacket(1, "a reading"));
    await received(intake, 1, source);
    source.announce?.("still working");
    const connects = broker.packets.filter((packet) => packet.cmd === "connect");
    expect(connects.map(({ will }) => will?.topic)).toEqual(["site/status", undefined]);
    expect(broker.packets.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    expect(source.status().detail).toContain("health is not published: ");
    expect(lines.filter(({ msg }) => msg.startsWith("health is not published"))).toHaveLength(1);
  },
);

test.each([
  [{}, "", 1],
  [{ MQTT_SHARE_GROUP: "site" }, "$share/site/", 2],
] as const)(
  "subscribes at QoS 1 and asks for retained messages with a new subscription, never in a share group: %#",
  async (env, prefix, rh) => {
    const { broker } = await connected({}, env);
    const subscribe = broker.packets.find((packet) => packet.cmd === "subscribe");
    expect(subscribe).toMatchObject({
      subscriptions: [{ topic: `${prefix}tenant/+/device/+/+`, qos: 1, rh }],
    });
  },
);

test("in a share group the session outlives a restart by ten minutes", async () => {
  const { broker } = await connected({}, { MQTT_SHARE_GROUP: "site" });
  const hello = broker.packets.find((packet) => packet.cmd === "connect");
  expect(hello).toMatchObject({ properties: { sessionExpiryInterval: 600 } });
});

test.each([
  [4, 1],
  [5, 1],
  [5, 2],
] as const)(
  "with level %d and QoS %d a full intake stops the reading, and goes on afterwards",
  async (version, qos) => {
    const { broker, intake } = await connected({ version });
    intake.full = true;
    for (let id = 1; id <= 100; id += 1) broker.send(publishPacket(id, `m${id}`, { qos }));
    await until("the first", () => intake.messages.length === 1);
    await Bun.sleep(50);
    expect(intake.messages.length).toBe(1);
    intake.drain();
    await until("all", () => intake.messages.length === 100);
  },
);

test("while the intake is full, the broker is pinged in the time that it asks for", async () => {
  const { broker, intake } = await connected({ connack: () => ({ properties: { serverKeepAlive: 1 } }) });
  intake.full = true;
  broker.send(publishPacket(1, "m1"));
  await until("pings", () => broker.packets.filter(({ cmd }) => cmd === "pingreq").length > 2);
  expect(broker.connections).toHaveLength(1);
});

test("while a group is collected, what comes is left in the system until the last call", async () => {
  const { broker, intake } = await connected();
  const lastCalls: (() => void)[] = [];
  intake.collects = (lastCall) => intake.messages.length > 0 && lastCalls.push(lastCall) > 0;
  broker.send(publishPacket(1, "m1"));
  await until("the first", () => intake.messages.length === 1);
  for (let id = 2; id <= 10; id += 1) {
    await Bun.sleep(2);
    broker.send(publishPacket(id, `m${id}`));
  }
  await Bun.sleep(20);
  expect([intake.messages.length, lastCalls.length]).toEqual([1, 1]);
  lastCalls.shift()?.();
  await until("the others", () => intake.messages.length === 10);
  expect(intake.texts()).toEqual(Array.from({ length: 10 }, (_, i) => `m${i + 1}`));
  // In one go, and so with one question.
  expect(lastCalls.length).toBe(1);
});

test("a source that is put off reads no further until its turn", async () => {
  const { broker, intake } = await connected();
  const putOff: (() => void)[] = [];
  intake.putsOff = (goOn) => putOff.push(goOn) > 0;
  const payload = "x".repeat(100_000);
  let drained = 0;
  broker.connections[0]?.on("drain", () => (drained += 1));
  for (let id = 1; id <= 100; id += 1) broker.send(publishPacket(id, payload));
  await until("the first", () => intake.messages.length === 1);
  await Bun.sleep(50);
  expect([intake.messages.length, putOff.length, drained]).toEqual([1, 1, 0]);
  while (intake.messages.length < 100) {
    putOff.shift()?.();
    await until("the next", () => putOff.length > 0);
  }
  await until("all was written", () => drained > 0);
});

test("subscribed is reported after the broker's answer, at every connect, even if the session is still there", async () => {
  const { broker, source } = await connected({ connack: () => ({ sessionPresent: true }) });
  expect(source.status().detail).toContain("subscribed to");
  broker.connections[0]?.destroy();
  await until("a second connection", () => broker.connections.length === 2 && source.status().connected);
  const asked = broker.packets.flatMap((packet) => (packet.cmd === "subscribe" ? packet.subscriptions : []));
  expect(asked.filter(({ topic }) => topic !== lossTopic).map(({ topic }) => topic)).toEqual([
    "tenant/+/device/+/+",
    "tenant/+/device/+/+",
  ]);
});

test("only the beginning of a payload beyond the bound is passed on, with its size; the broker learns of a raised bound", async () => {
  let payloadBytesMax = 100;
  const { broker, intake } = await connected({}, {}, { payloadBytesMax: () => payloadBytesMax });
  const told = () =>
    broker.packets
      .filter((packet) => packet.cmd === "connect")
      .map(({ properties }) => properties?.maximumPacketSize);
  for (const [i, size] of [100, 101, 300_000].entries()) broker.send(publishPacket(i + 1, "x".repeat(size)));
  await until("3 messages", () => intake.messages.length === 3);
  expect(intake.messages.map(({ payload, wholeBytes }) => [payload.length, wholeBytes])).toEqual([
    [100, undefined],
    [101, 101],
    [4096, 300_000],
  ]);
  payloadBytesMax = 5_000_000;
  await until("a new connection", () => told().length === 2);
  expect(told()).toEqual([1_048_676, 6_048_576]);
});

test.each([5, 4] as const)(
  "level %d: what waited behind a full intake when the connection was lost is discarded with it",
  async (version) => {
    const { broker, intake, source } = await connected({ version });
    intake.full = true;
    broker.send(publishPacket(1, "one"));
    for (let id = 2; id < 6; id += 1) {
      broker.send(publishPacket(id, "two", { qos: 2 }));
      broker.send({ cmd: "pubrel", messageId: id });
    }
    await until("the first", () => intake.messages.length === 1);
    broker.connections[0]?.resetAndDestroy();
    await until("a second connection", () => broker.connections.length === 2 && source.status().connected);
    // MQTT.js has closed its stores by now; to look for an identifier in them would end the process.
    intake.drain();
    await Bun.sleep(50);
    expect(intake.texts()).toEqual(["one"]);
    broker.send(publishPacket(9, "after"));
    await until("a message of the new connection", () => intake.texts().includes("after"));
  },
);

test("two copies of a message, by an old and by the new subscription, are one also directly behind CONNACK", async () => {
  const memory = createSessionMemory(undefined, silentLog);
  memory.note("sluice-g1", "mqtt://broker", ["tenant/acme/#"]);
  const { intake } = await connected(
    {
      connack: () => ({ sessionPresent: true }),
      behindConnack: [publishPacket(1, "a"), publishPacket(2, "a"), publishPacket(3, "b")],
    },
    {},
    { memory },
  );
  await until("all", () => intake.messages.length === 3);
  expect(intake.messages.map(({ packetId, dup }) => [packetId, dup])).toEqual([
    [1, false],
    [1, true],
    [3, false],
  ]);
});

test("what the session held is taken, and the start completes, before the broker answers SUBSCRIBE", async () => {
  const broker = await wireBroker({ connack: () => ({ sessionPresent: true }), subscribes: false });
  const source = mqttSource({ MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: "5" });
  ends.push(
    () => broker.close(),
    () => source.close(),
  );
  const intake = fakeIntake();
  const started = source.start(intake);
  await until("SUBSCRIBE", () => broker.packets.some(({ cmd }) => cmd === "subscribe"));
  broker.send(publishPacket(1, "kept"));
  await started;
  expect(intake.texts()).toEqual(["kept"]);
  expect(source.status()).toMatchObject({ connected: false });
  expect(source.status().detail).toContain("the answer to SUBSCRIBE is behind");
});

test("an old subscription is ended also at a broker that says that it has no session (ActiveMQ Classic)", async () => {
  const memory = createSessionMemory(undefined, silentLog);
  memory.note("sluice-g1", "mqtt://broker", ["tenant/acme/#"]);
  const { broker } = await connected({}, {}, { memory });
  await until("its end", () => broker.packets.some(({ cmd }) => cmd === "unsubscribe"));
  expect(broker.packets.find(({ cmd }) => cmd === "unsubscribe")).toMatchObject({
    unsubscriptions: ["tenant/acme/#"],
  });
});
