/**
 * Malformed bytes at the embedded broker: they end at most their own connection. The seeds that found something stay
 * as examples.
 */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import * as fc from "fast-check";
import mqttPacket, { type Packet } from "mqtt-packet";
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { brokerSettings } from "../../../src/source/broker/settings.ts";
import { openBrokerSource } from "../../../src/source/broker/source.ts";
import { fakeIntake, settingsOf, until } from "../../kit/source.ts";
import { connectPacket, publishPacket, wireClient } from "../../kit/wire.ts";

const GOOD: readonly Packet[] = [
  publishPacket(1, "one"),
  publishPacket(2, "two", { qos: 2 }),
  publishPacket(0, "zero", { qos: 0, retain: true }),
  { cmd: "pubrel", messageId: 2 },
  { cmd: "subscribe", messageId: 3, subscriptions: [{ topic: "tenant/#", qos: 2 }] },
  { cmd: "unsubscribe", messageId: 4, unsubscriptions: ["tenant/#"] },
  { cmd: "puback", messageId: 1 },
  { cmd: "pubrec", messageId: 1 },
  { cmd: "pubcomp", messageId: 1 },
  { cmd: "pingreq" },
  { cmd: "disconnect" },
];
const HELLO = [4, 5].map((protocolVersion) =>
  mqttPacket.generate({ ...connectPacket("fuzz"), cmd: "connect", protocolVersion } as Packet),
);

const goodBytes = fc.constantFrom(...GOOD).map((packet) => mqttPacket.generate(packet));
const anyBytes = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
/** One byte is changed, or the end is missing. */
const damagedOf = (packets: fc.Arbitrary<Buffer>) =>
  fc.tuple(packets, fc.nat(), fc.option(fc.integer({ min: 0, max: 255 }))).map(([bytes, at, value]) => {
    const copy = Buffer.from(bytes);
    if (value === null) return copy.subarray(0, at % copy.length);
    copy[at % copy.length] = value;
    return copy;
  });
const hello = fc.constantFrom(...HELLO);
const damaged = damagedOf(fc.oneof(goodBytes, hello));
const part = fc.oneof(
  { weight: 5, arbitrary: goodBytes },
  { weight: 2, arbitrary: damaged },
  { weight: 1, arbitrary: anyBytes },
);
const greeting = fc.oneof(
  { weight: 8, arbitrary: fc.constant(HELLO[0] ?? Buffer.alloc(0)) },
  { weight: 1, arbitrary: hello },
  { weight: 2, arbitrary: damagedOf(hello) },
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
);
const conversation = fc
  .tuple(greeting, fc.array(part, { minLength: 1, maxLength: 8 }))
  .map(([first, parts]) => Buffer.concat([first, ...parts]));

const PATIENCE_MS = 5;

/** Sends the bytes; ends when the broker closes the connection, or after it had a moment to act on all of them. */
async function say(port: number, bytes: Buffer): Promise<void> {
  const socket: Socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  socket.on("data", () => {});
  await new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.write(bytes, () => void setTimeout(() => socket.destroy(), PATIENCE_MS));
  });
}

test("malformed bytes never throw, and an honest device beside them is served", async () => {
  const uncaught: unknown[] = [];
  const keep = (error: unknown) => void uncaught.push(error);
  process.on("uncaughtException", keep).on("unhandledRejection", keep);
  const settings = settingsOf(brokerSettings, { BROKER_LISTEN: "127.0.0.1:0" });
  const broker = openBrokerSource({ settings, clock: systemClock, log: silentLog });
  const intake = fakeIntake(() => broker);
  await broker.start(intake);
  const { port } = broker.address();
  const honest = await wireClient(port);
  honest.send(connectPacket("honest"));

  const runs = Number(process.env["FUZZ_RUNS"] ?? 400);
  await fc.assert(
    fc.asyncProperty(conversation, async (bytes) => {
      await say(port, bytes);
      expect(uncaught).toEqual([]);
    }),
    { numRuns: runs, endOnFailure: true },
  );
  honest.send(publishPacket(1, "still here"));
  await until("PUBACK", () => honest.packets.some((packet) => packet.cmd === "puback"));
  expect(intake.texts()).toContain("still here");
  // Enough got past CONNECT for a meaningful run.
  const fuzzed = intake.messages.filter((message) => message.sender === "fuzz").length;
  expect(fuzzed).toBeGreaterThan(runs / 10);
  honest.socket.destroy();
  await broker.close();
  process.off("uncaughtException", keep).off("unhandledRejection", keep);
}, 600_000);
