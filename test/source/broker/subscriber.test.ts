/** A subscriber that takes nothing of what it is sent. */
import { afterEach, expect, test } from "bun:test";
import { Aedes } from "aedes";
import { generate, type Packet } from "mqtt-packet";
import { Duplex } from "node:stream";
import { systemClock } from "../../../src/core/clock.ts";
import { createIntakeGate } from "../../../src/source/broker/intake.ts";
import type { Source } from "../../../src/core/source.ts";
import { createBrokerRules } from "../../../src/source/broker/rules.ts";
import { brokerSettings } from "../../../src/source/broker/settings.ts";
import { cleanUp, device, embeddedBroker, endLater, idsOf, ping } from "../../kit/embedded.ts";
import { fakeIntake, recordingLog, settingsOf, until } from "../../kit/source.ts";
import { connectPacket, publishPacket, wireClient } from "../../kit/wire.ts";

afterEach(cleanUp);

test("who does not read is disconnected, which the log says once, and its publisher is served", async () => {
  const { log, lines } = recordingLog();
  const { port } = await embeddedBroker({}, { authenticate: () => Promise.resolve(true), log }, true);
  const login = { username: "acme/d1", password: "tok" };
  const subscriber = await device(port, "reader", login);
  subscriber.send({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "tenant/acme/device/d1/#", qos: 0 }],
  });
  await until("SUBACK", () => idsOf(subscriber, "suback").length === 1);
  subscriber.socket.pause();
  const publisher = await device(port, "writer", login);
  const payload = "x".repeat(500_000);
  const said = () => lines.filter(({ msg }) => msg.startsWith("a client was disconnected"));
  await until("it is cut off", async () => {
    publisher.send(publishPacket(1, payload, { qos: 0 }));
    await ping(publisher);
    return said().length > 0;
  });
  await ping(publisher);
  expect(said()).toMatchObject([
    { client_id: "acme/d1:reader", msg: "a client was disconnected: it reads nothing of what it is sent" },
  ]);
});

test("who leaves by a reset, before CONNECT or after, is not said to have been disconnected", async () => {
  const { log, lines } = recordingLog();
  const { source, port } = await embeddedBroker({}, { log });
  const clients = [await wireClient(port), await device(port)];
  await until("both are there", () => source.status().detail.includes("; 2 connections"));
  for (const { socket } of clients) socket.resetAndDestroy();
  await until("both have left", () => source.status().detail.includes("; 0 connections"));
  expect(lines.filter(({ msg }) => msg.startsWith("a client was disconnected"))).toEqual([]);
});

test("however much waits for who does not read, another device's message is acknowledged", async () => {
  const gate = createIntakeGate(() => {});
  const intake = fakeIntake(() => ({ durable: gate.durable }) as Source);
  gate.open(intake);
  const settings = settingsOf(brokerSettings, {});
  const authenticate = () => Promise.resolve(true);
  const rules = createBrokerRules(
    { settings, clock: systemClock, warn() {}, welcome() {}, authenticate },
    gate,
  );
  const aedes = new Aedes(rules.aedes);
  await aedes.listen();
  const gone: string[] = [];
  aedes.on("clientDisconnect", ({ id }) => gone.push(id));
  endLater(() => new Promise<void>((resolve) => aedes.close(resolve)));
  const wire = async (clientId: string, deviceId: string, ...packets: Packet[]) => {
    const sent: Buffer[] = [];
    let isRead = true;
    const write = (chunk: Buffer, _: unknown, done: () => void) => {
      sent.push(chunk);
      if (isRead) done();
    };
    const duplex = new Duplex({ read() {}, write, writableHighWaterMark: 1 });
    aedes.handle(duplex);
    const login = { username: `acme/${deviceId}`, password: "tok" };
    const got = (type: number) => sent.some(([first = 0]) => first >> 4 === type);
    duplex.push(generate(connectPacket(clientId, login)));
    await until("CONNACK", () => got(2));
    duplex.push(Buffer.concat(packets.map((packet) => generate(packet))));
    return { got, stopReading: () => (isRead = false) };
  };
  const subscriptions = [{ topic: "tenant/acme/device/d1/#", qos: 0 as const }];
  const subscriber = await wire("reader", "d1", { cmd: "subscribe", messageId: 1, subscriptions });
  await until("SUBACK", () => subscriber.got(9));
  subscriber.stopReading();
  await wire("writer", "d1", ...Array.from({ length: 300 }, (_, i) => publishPacket(i + 1, "to itself")));
  await until("all of them", () => intake.messages.length === 300);
  const other = await wire(
    "other",
    "d2",
    publishPacket(1, "a reading", { qos: 2, topic: "tenant/acme/device/d2/telemetry" }),
  );
  await until("PUBREC", () => other.got(5));
  // Not only once it was cut off.
  expect(gone).toEqual([]);
});
