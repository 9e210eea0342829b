import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { connectAsync, type IClientOptions } from "mqtt";
import type { Packet } from "mqtt-packet";
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { brokerMistakes, brokerSettings } from "../../../src/source/broker/settings.ts";
import { openBrokerSource } from "../../../src/source/broker/source.ts";
import { cleanUp, device, embeddedBroker, endLater, idsOf, ping, returnCodeOf } from "../../kit/embedded.ts";
import { fakeIntake, settingsOf, until } from "../../kit/source.ts";
import { makeCertificates } from "../../kit/tls.ts";
import { connectPacket, publishPacket, type WireClient, wireClient } from "../../kit/wire.ts";

afterEach(cleanUp);
const certificates = makeCertificates();
afterAll(() => certificates.remove());

describe("acknowledgement", () => {
  test("PUBACK waits until the message is settled; others arrive meanwhile", async () => {
    const { source, intake, port } = await embeddedBroker();
    const client = await device(port);
    client.send(publishPacket(1, "a"), publishPacket(2, "b"), publishPacket(3, "c", { dup: true }));
    await until("3 messages", () => intake.messages.length === 3);
    expect(intake.messages[2]).toMatchObject({ qos: 1, dup: true, sender: "c1", packetId: 3 });
    expect(idsOf(client, "puback")).toEqual([]);
    expect(source.status().unacknowledged).toBe(3);
    source.durable(intake.messages.slice(0, 2));
    await until("2 acknowledgements", () => idsOf(client, "puback").length === 2);
    expect(idsOf(client, "puback")).toEqual([1, 2]);
    source.durable(intake.messages.slice(2));
    await until("the third", () => idsOf(client, "puback").length === 3);
    expect(source.status().unacknowledged).toBe(0);
  });

  test("the retain flag changes nothing: a live message stays a live one, and nothing is kept for a later subscriber", async () => {
    const { source, intake, port } = await embeddedBroker({}, {}, true);
    const client = await device(port);
    client.send(publishPacket(1, "a", { retain: true }));
    await until("a message", () => intake.messages.length === 1);
    expect(intake.messages[0]).toMatchObject({ retained: false, mayBeRetained: true });
    await until("PUBACK", () => idsOf(client, "puback").length === 1);
    const later = await device(port, "later");
    later.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] });
    await until("SUBACK", () => idsOf(later, "suback").length === 1);
    await ping(later);
    expect(later.packets.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    expect(source.status().unacknowledged).toBe(0);
  });

  test("QoS 2: PUBREC waits, a redelivery before PUBREL has the DUP flag, and the handshake ends", async () => {
    const { source, intake, port } = await embeddedBroker();
    const client = await device(port);
    client.send(publishPacket(7, "a", { qos: 2 }));
    await until("a message", () => intake.messages.length === 1);
    expect(idsOf(client, "pubrec")).toEqual([]);
    source.durable(intake.messages.slice(0, 1));
    await until("PUBREC", () => idsOf(client, "pubrec").length === 1);
    client.send(publishPacket(7, "a", { qos: 2, dup: true }));
    await until("the redelivery", () => intake.messages.length === 2);
    expect(intake.messages[1]).toMatchObject({ qos: 2, dup: true, packetId: 7, sender: "c1" });
    source.durable(intake.messages.slice(1));
    await until("PUBREC again", () => idsOf(client, "pubrec").length === 2);
    client.send({ cmd: "pubrel", messageId: 7 });
    await until("PUBCOMP", () => idsOf(client, "pubcomp").length === 1);
    expect(intake.messages.length).toBe(2);
  });

  test("what comes without DUP from a client that says it has kept its session is told apart as what may come again", async () => {
    const { intake, port } = await embeddedBroker();
    for (const clean of [true, false]) {
      const client = await wireClient(port);
      endLater(() => client.socket.destroy());
      client.send({ ...connectPacket("c1"), clean } as Packet, publishPacket(1, "a"), publishPacket(2, "b"));
      await until("its messages", () => intake.messages.length === (clean ? 2 : 4));
    }
    expect(intake.messages.map(({ mayBeAgain }) => mayBeAgain)).toEqual([false, false, true, true]);
  });

  test("a message that settles after its sender has gone harms nobody", async () => {
    const { source, intake, port } = await embeddedBroker();
    for (const qos of [1, 2] as const) {
      const client = await device(port, `gone${qos}`);
      client.send(publishPacket(1, "a", { qos }));
      await until("a message", () => intake.messages.length === qos);
      client.socket.destroy();
    }
    await until("nobody there", () => source.status().detail.includes("; 0 connections"));
    source.durable(intake.messages);
    const next = await device(port, "next");
    await ping(next);
    expect(source.status().unacknowledged).toBe(0);
  });

  test("while the intake is full messages wait at their sender, and are taken in order afterwards", async () => {
    const { source, intake, port } = await embeddedBroker();
    const client = await device(port);
    const leaver = await device(port, "leaver");
    intake.full = true;
    leaver.send(publishPacket(1, "leaves before it is taken"));
    await until("one waits", () => source.status().unacknowledged === 1);
    client.send(
      publishPacket(1, "one"),
      publishPacket(0, "zero", { qos: 0 }),
      publishPacket(2, "two", { qos: 2 }),
    );
    await until("all wait", () => source.status().unacknowledged === 4);
    leaver.socket.destroy();
    await until("it left", () => source.status().detail.includes("; 1 connection"));
    // It sends again what it had here; nothing is kept for it.
    expect(source.status().unacknowledged).toBe(3);
    expect(intake.messages).toEqual([]);
    intake.drain();
    expect(intake.texts()).toEqual(["one", "zero", "two"]);
  });

  test("while the intake is held nothing is handed over, and a client that reconnects again and again leaves nothing behind", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    for (let i = 0; i < 20; i++) {
      const client = await device(port, `again-${i}`);
      client.send(publishPacket(1, "the same reading"));
      await until("it waits", () => source.status().unacknowledged === 1);
      client.socket.destroy();
      await until("it is let go", () => source.status().unacknowledged === 0);
    }
    const last = await device(port, "stays");
    last.send(publishPacket(1, "the same reading"));
    await until("it waits", () => source.status().unacknowledged === 1);
    intake.drain();
    expect(intake.texts()).toEqual(["the same reading"]);
  });

  test.each(["before", "while"])(
    "a device with several messages under way, sent %s the intake is held, has its pings answered meanwhile",
    async (when) => {
      const { source, intake, port } = await embeddedBroker();
      if (when === "while") intake.held = "the disk is full";
      const client = await device(port);
      const texts = ["m1", "m2", "m3", "m4", "m5"];
      client.send(...texts.map((text, i) => publishPacket(i + 1, text)));
      await until("they are under way", () => source.status().unacknowledged === texts.length);
      intake.held = "the disk is full";
      for (let n = 0; n < 2; n += 1) await ping(client);
      intake.drain();
      expect(intake.texts()).toEqual(texts);
      source.durable(intake.messages);
      await until("PUBACKs", () => idsOf(client, "puback").length === texts.length);
      for (let n = 0; n < 2; n += 1) await ping(client);
    },
  );

  test("who sends much while the intake is held is not read on", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    const client = await device(port);
    client.send(
      ...Array.from({ length: 2_000 }, (_, i) => publishPacket((i % 60_000) + 1, "x".repeat(5_000))),
    );
    await until("some wait", () => source.status().unacknowledged > 0);
    await Bun.sleep(3_500);
    expect(source.status().unacknowledged).toBeLessThan(30);
  });

  test("who sends much while the intake is held is not called silent after its keep-alive time: it is we who do not read", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    const client = await wireClient(port);
    endLater(() => client.socket.destroy());
    client.send({ ...connectPacket("busy"), cmd: "connect", keepalive: 1 } as Parameters<
      typeof client.send
    >[0]);
    await until("CONNACK", () => returnCodeOf(client) === 0);
    client.send(...Array.from({ length: 500 }, (_, i) => publishPacket(i + 1, "x".repeat(1_000))));
    await until("some wait", () => source.status().unacknowledged > 0);
    await Bun.sleep(4_000);
    expect(client.closed()).toBe(false);
  });

  test("the will of a device that vanishes while the intake is held is a message afterwards", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    const client = await wireClient(port);
    const will = {
      topic: "tenant/acme/device/d1/status",
      payload: Buffer.from("gone"),
      qos: 1,
      retain: false,
    };
    client.send({ ...connectPacket("w"), cmd: "connect", will } as Parameters<WireClient["send"]>[0]);
    await until("CONNACK", () => client.packets.length > 0);
    client.socket.destroy();
    await until("it left", () => source.status().detail.includes("; 0 connections"));
    await until("its will waits", () => source.status().unacknowledged === 1);
    intake.drain();
    expect(intake.texts()).toEqual(["gone"]);
  });

  test("what waited while the intake was held is taken in turns and in its order, and what comes meanwhile stands behind it", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    const [first, second] = [await device(port, "first"), await device(port, "second")];
    const texts = Array.from({ length: 250 }, (_, i) => String(i));
    first.send(...texts.map((text, i) => publishPacket(i + 1, text)));
    await until("they wait", () => source.status().unacknowledged === texts.length);
    const later: (() => void)[] = [];
    const turns = [true, false];
    Object.assign(intake, { putsOff: (goOn: () => void) => turns.shift() !== true && later.push(goOn) > 0 });
    intake.drain();
    const taken = intake.messages.length;
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(texts.length);
    Object.assign(intake, { putsOff: () => false });
    second.send(publishPacket(1, "behind"));
    await until("it waits", () => source.status().unacknowledged === texts.length + 1);
    expect(intake.messages.length).toBe(taken);
    for (const goOn of later) goOn();
    expect(intake.texts()).toEqual([...texts, "behind"]);
  });

  test("what waits while the intake is held is bounded, however small the messages are", async () => {
    const { source, intake, port } = await embeddedBroker();
    intake.held = "the disk is full";
    const burst = Array.from({ length: 500 }, (_, i) => publishPacket(i + 1, ""));
    for (let i = 0; i < 180; i++) {
      const client = await device(port, `burst-${i}`);
      const before = source.status().unacknowledged;
      client.send(...burst);
      await until("some wait", () => source.status().unacknowledged > before + 400 || client.closed());
    }
    expect(source.status().unacknowledged).toBeLessThan(65_000);
  });

  test("after stopIntake no client is accepted and nothing is taken; what was taken before is still acknowledged", async () => {
    const { source, intake, port } = await embeddedBroker();
    const client = await device(port);
    const other = await device(port, "c2");
    client.send(publishPacket(1, "before"));
    await until("a message", () => intake.messages.length === 1);
    await source.stopIntake();
    other.send(publishPacket(2, "after"));
    source.durable(intake.messages);
    await until("the acknowledgement", () => idsOf(client, "puback").length === 1);
    await expect(wireClient(port)).rejects.toThrow();
    await source.close();
    await until("closed", () => client.closed() && other.closed());
    expect(idsOf(other, "puback")).toEqual([]);
    expect(intake.texts()).toEqual(["before"]);
  });
});

describe("what comes at once", () => {
  const numbered = (count: number, qos: 0 | 1) =>
    Array.from({ length: count }, (_, i) =>
      publishPacket(i + 1, String(i).repeat(i % 9 === 0 ? 5_000 : 1), { qos }),
    );

  test("is read by pieces, and all of it is taken, in order", async () => {
    const { intake, port } = await embeddedBroker({}, {}, true);
    const client = await device(port);
    client.send(...numbered(3_000, 0), ...numbered(3_000, 1));
    await until("all acknowledged", () => idsOf(client, "puback").length === 3_000);
    const texts = numbered(3_000, 0).map((packet) => ("payload" in packet ? packet.payload : ""));
    expect(intake.texts().join()).toBe([...texts, ...texts].join());
  });

  test("is taken also of a device that does not wait for CONNACK", async () => {
    const { intake, port } = await embeddedBroker({}, {}, true);
    const client = await wireClient(port);
    endLater(() => client.socket.destroy());
    const texts = Array.from({ length: 3_000 }, (_, i) => String(i));
    client.send(connectPacket("hasty"), ...texts.map((text, i) => publishPacket(i + 1, text)));
    await until("all acknowledged", () => client.closed() || idsOf(client, "puback").length === 3_000);
    expect(intake.texts()).toEqual(texts);
  });

  test("may be a backlog with QoS 2, sent before the first PUBREL", async () => {
    const { port } = await embeddedBroker({}, {}, true);
    const client = await device(port);
    client.send(...Array.from({ length: 3_000 }, (_, i) => publishPacket(i + 1, "x", { qos: 2 })));
    await until("all are received", () => idsOf(client, "pubrec").length === 3_000);
    expect(client.closed()).toBe(false);
  });

  test("is read when it is the intake's turn", async () => {
    const { intake, port } = await embeddedBroker({}, {}, true);
    const waiting: (() => void)[] = [];
    const client = await device(port);
    Object.assign(intake, { putsOff: (goOn: () => void) => waiting.push(goOn) > 0 });
    client.send(publishPacket(1, "one"));
    await until("it is put off", () => waiting.length === 1);
    client.send(publishPacket(2, "two"));
    await Bun.sleep(20);
    expect(intake.texts()).toEqual([]);
    Object.assign(intake, { putsOff: () => false });
    for (const goOn of waiting) goOn();
    await until("both acknowledged", () => idsOf(client, "puback").length === 2);
    expect(waiting.length).toBe(1);
  });

  test("ends the connection if it is a flood of pings, or a SUBSCRIBE of thousands of filters", async () => {
    const { intake, port } = await embeddedBroker({}, {}, true);
    const subscriptions = Array.from({ length: 5_000 }, (_, i) => ({ topic: `a/${i}`, qos: 0 as const }));
    const flood = await device(port, "pings");
    flood.send(...Array.from({ length: 5_000 }, () => ({ cmd: "pingreq" as const })));
    const many = await device(port, "filters");
    many.send({ cmd: "subscribe", messageId: 1, subscriptions });
    await until("both are gone", () => flood.closed() && many.closed());
    const honest = await device(port, "honest");
    honest.send(publishPacket(1, "a reading"));
    await until("it is taken", () => intake.texts().includes("a reading"));
    expect(idsOf(flood, "pingresp")).toEqual([]);
  });
});

describe("clients", () => {
  test("publishers through MQTT.js, QoS 0, 1 and 2, plain and with TLS", async () => {
    const tlsEnv = {
      BROKER_TLS_LISTEN: "127.0.0.1:0",
      BROKER_TLS_CERT: certificates.serverCert,
      BROKER_TLS_KEY: certificates.serverKey,
    };
    const { source, intake, port } = await embeddedBroker(tlsEnv, {}, true);
    const tls: IClientOptions = {
      protocol: "mqtts",
      host: "localhost",
      port: source.tlsAddress()?.port ?? 0,
      ca: await Bun.file(certificates.ca).text(),
    };
    const texts: string[] = [];
    for (const options of [{ host: "127.0.0.1", port }, tls]) {
      const client = await connectAsync({ protocolVersion: 4, reconnectPeriod: 0, ...options });
      endLater(() => client.endAsync(true));
      for (const qos of [0, 1, 2] as const) {
        texts.push(`${options.port} ${qos}`);
        await client.publishAsync("tenant/acme/device/d1/telemetry", `${options.port} ${qos}`, { qos });
      }
    }
    await until("6 messages", () => intake.messages.length === 6);
    expect(intake.texts()).toEqual(texts);
  });

  test("one with the same client id takes over", async () => {
    const { intake, port } = await embeddedBroker({}, {}, true);
    const first = await device(port, "same");
    const second = await device(port, "same");
    await until("the first is closed", () => first.closed());
    second.send(publishPacket(1, "second"));
    await until("PUBACK", () => idsOf(second, "puback").length === 1);
    expect(intake.texts()).toEqual(["second"]);
  });

  test("the will of a device that vanishes is a message", async () => {
    const { intake, port } = await embeddedBroker();
    const client = await wireClient(port);
    const will = {
      topic: "tenant/acme/device/d1/status",
      payload: Buffer.from("gone"),
      qos: 1,
      retain: true,
    } as const;
    client.send({ ...connectPacket("w"), cmd: "connect", will } as Parameters<WireClient["send"]>[0]);
    await until("CONNACK", () => client.packets.length === 1);
    client.socket.destroy();
    await until("the will", () => intake.messages.length === 1);
    expect(intake.messages[0]).toMatchObject({
      topic: will.topic,
      qos: 0,
      packetId: 0,
      sender: "w",
      dup: false,
    });
  });

  test("what waits for the look-up of its device, without an acknowledgement or as a will, is passed on when that has answered", async () => {
    const authenticate = () => Promise.resolve(true);
    const { source, port, intake } = await embeddedBroker({}, { authenticate });
    intake.receive = (message) => intake.messages.push(message) === 0;
    const login = { username: "acme/d1", password: "tok" };
    const topic = "tenant/acme/device/d1/telemetry";
    const subscriber = await device(port, "s", login);
    subscriber.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    await until("SUBACK", () => idsOf(subscriber, "suback").length === 1);
    const publisher = await wireClient(port);
    const will = { topic, payload: Buffer.from("gone"), qos: 0, retain: false } as const;
    publisher.send({ ...connectPacket("w", login), cmd: "connect", will } as Parameters<
      WireClient["send"]
    >[0]);
    await until("CONNACK", () => publisher.packets.length === 1);
    publisher.send(publishPacket(1, "here", { topic, qos: 0 }));
    await until("the message", () => intake.messages.length === 1);
    const answer = () => {
      for (const message of intake.messages) message.outcome = "accepted";
      source.durable(intake.messages.slice(-1));
    };
    const passedOn = () =>
      subscriber.packets.flatMap((packet) => (packet.cmd === "publish" ? [String(packet.payload)] : []));
    answer();
    await until("it is passed on", () => passedOn().length === 1);
    publisher.socket.destroy();
    await until("the will", () => intake.messages.length === 2);
    answer();
    await until("it is passed on", () => passedOn().length === 2);
    expect(passedOn()).toEqual(["here", "gone"]);
    expect(source.status().unacknowledged).toBe(0);
  });

  test("a device gets what is accepted on its own topic while it is connected, and no retained message or session afterwards", async () => {
    const authenticate = () => Promise.resolve(true);
    const { port, intake } = await embeddedBroker({}, { authenticate }, true);
    const login = { username: "acme/d1", password: "tok" };
    const publisher = await device(port, "p", login);
    const subscribe = async (clean: boolean) => {
      const where = { host: "127.0.0.1", port, protocolVersion: 4, clientId: "s" } as const;
      const client = await connectAsync({ ...where, ...login, clean });
      const got: string[] = [];
      client.on("message", (_topic, payload) => void got.push(payload.toString()));
      await client.subscribeAsync("tenant/acme/device/d1/#", { qos: 0 });
      return { client, got };
    };
    const topic = "tenant/acme/device/d1/telemetry";
    const one = await subscribe(false);
    publisher.send(publishPacket(1, "kept?", { retain: true, topic }));
    await until("it is passed on", () => one.got.length === 1);
    await one.client.endAsync();
    publisher.send(publishPacket(2, "missed", { topic }));
    await until("PUBACK", () => idsOf(publisher, "puback").length === 2);
    const two = await subscribe(false);
    intake.accepts = false;
    publisher.send(publishPacket(3, "rejected", { topic }));
    await until("PUBACK", () => idsOf(publisher, "puback").length === 3);
    intake.accepts = true;
    publisher.send(publishPacket(4, "seen", { topic }));
    await until("it is passed on", () => two.got.includes("seen"));
    expect(two.got).toEqual(["seen"]);
    await two.client.endAsync(true);
  });

  test("an anonymous client reads nothing, and nobody reads $SYS", async () => {
    const { port } = await embeddedBroker({}, { authenticate: () => Promise.resolve(true) });
    const filters = ["#", "tenant/acme/device/d1/telemetry", "$SYS/#", "+/x"];
    const subscriptions = filters.map((topic) => ({ topic, qos: 0 as const }));
    for (const login of [{}, { username: "acme/d2", password: "tok" }]) {
      const client = await device(port, "reader", login);
      client.send({ cmd: "subscribe", messageId: 1, subscriptions });
      await until("SUBACK", () => idsOf(client, "suback").length === 1);
      expect(client.packets.find(({ cmd }) => cmd === "suback")).toMatchObject({
        granted: [128, 128, 128, 128],
      });
    }
  });
});

describe("bounds", () => {
  test("a packet beyond the bound closes that connection before it has arrived, and no other", async () => {
    const { intake, port } = await embeddedBroker({}, { payloadBytesMax: () => 10_000 }, true);
    const bad = await device(port, "bad");
    const good = await device(port, "good");
    // 200 MB announced, a few bytes sent.
    bad.socket.write(Buffer.from([0x32, 0x80, 0x80, 0x80, 0x64, 0, 1, 0x78]));
    await until("closed", () => bad.closed());
    good.send(publishPacket(1, "x".repeat(9000)));
    await until("PUBACK", () => idsOf(good, "puback").length === 1);
    expect(intake.messages.length).toBe(1);
  });

  test("connections beyond the bound are closed", async () => {
    const { source, port } = await embeddedBroker({ BROKER_MAX_CONNECTIONS: "2" });
    await device(port, "one");
    const two = await device(port, "two");
    const three = await device(port, "three");
    await until("closed", () => three.closed());
    expect(three.packets).toEqual([]);
    expect(source.status()).toMatchObject({ refused_connects: 1 });
    two.socket.destroy();
    await until("there is room", () => source.status().detail.includes("; 1 connection"));
    expect(returnCodeOf(await device(port, "four"))).toBe(0);
  });

  test("a port in use is one clear sentence", async () => {
    const { port } = await embeddedBroker();
    const settings = settingsOf(brokerSettings, { BROKER_LISTEN: `127.0.0.1:${port}` });
    const second = openBrokerSource({ settings, clock: systemClock, log: silentLog });
    await expect(second.start(fakeIntake())).rejects.toThrow(
      `BROKER_LISTEN: cannot listen on 127.0.0.1:${port}`,
    );
    await second.close();
  });
});

test("nobody publishes under topics that begin with $", async () => {
  const { intake, port } = await embeddedBroker();
  const client = await device(port);
  client.send(publishPacket(1, "x", { topic: "$SYS/broker/uptime" }));
  await until("closed", () => client.closed());
  expect(intake.messages).toEqual([]);
});

test("a bridge of Mosquitto says there that it is connected, which is acknowledged and no message", async () => {
  const { intake, port } = await embeddedBroker({}, {}, true);
  const bridge = await device(port);
  const topic = "$SYS/broker/connection/hall.up/state";
  bridge.send(publishPacket(1, "1", { topic, retain: true }), publishPacket(2, "a reading"));
  await until("both acknowledged", () => bridge.closed() || idsOf(bridge, "puback").length === 2);
  expect(intake.texts()).toEqual(["a reading"]);
});

test("mistakes: reachable from other hosts without proof of identity, TLS without certificate", () => {
  const mistakesOf = (env: Record<string, string>) => brokerMistakes(settingsOf(brokerSettings, env));
  expect(mistakesOf({})).toEqual([]);
  expect(mistakesOf({ BROKER_LISTEN: "[::1]:1883" })).toEqual([]);
  expect(mistakesOf({ BROKER_LISTEN: "0.0.0.0:1883" })[0]).toContain("set BROKER_REQUIRE_AUTH=1");
  expect(mistakesOf({ BROKER_LISTEN: "127.evil.example:1883" })).toHaveLength(1);
  expect(mistakesOf({ BROKER_LISTEN: "0.0.0.0:1883", BROKER_REQUIRE_AUTH: "1" })).toEqual([]);
  expect(mistakesOf({ BROKER_TLS_LISTEN: "127.0.0.1:8883" })[0]).toContain("BROKER_TLS_CERT");
  for (const [name, path] of Object.entries({
    BROKER_TLS_CERT: certificates.serverCert,
    BROKER_TLS_KEY: certificates.serverKey,
    BROKER_TLS_CA: certificates.ca,
  }))
    expect(mistakesOf({ [name]: path })).toEqual([
      `${name} needs BROKER_TLS_LISTEN: without it nothing is encrypted`,
    ]);
  expect(brokerSettings.listen.schema.safeParse("1883").success).toBe(false);
});
