/** A line on which one message takes longer than any answer may: what the broker owes us stands behind it, and the connection lasts. */
import { expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import mqttPacket, { type Packet } from "mqtt-packet";
import { type Clock, systemClock } from "../../../src/core/clock.ts";
import { answerMs } from "../../../src/source/mqtt/options.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, until } from "../../kit/source.ts";
import { publishPacket } from "../../kit/wire.ts";

const ends = endsAfterEach();

const payload = "x".repeat(8_000);
const bytesOf = (packet: Packet) => mqttPacket.generate(packet, { protocolVersion: 5 });

/** What it is to send stands in one queue, of which a piece of 100 bytes leaves every 25 ms. */
function slowSender(socket: Socket) {
  let queue = Buffer.alloc(0);
  const timer = setInterval(() => {
    socket.write(queue.subarray(0, 100));
    queue = queue.subarray(100);
  }, 25);
  socket.on("error", () => {});
  socket.on("close", () => clearInterval(timer));
  return (packet: Packet) => {
    queue = Buffer.concat([queue, bytesOf(packet)]);
  };
}

/** A broker that sends one message as soon as it has answered `behind`. */
async function slowBroker(behind: "connect" | "subscribe") {
  const connections: Socket[] = [];
  let pings = 0;
  const server = createServer((socket) => {
    connections.push(socket);
    const send = slowSender(socket);
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    parser.on("packet", ({ cmd, messageId = 1 }) => {
      if (cmd === "connect") send({ cmd: "connack", sessionPresent: true, returnCode: 0, reasonCode: 0 });
      if (cmd === "subscribe") send({ cmd: "suback", messageId, granted: [1] });
      if (cmd === "pingreq") send({ cmd: "pingresp" });
      if (cmd === "pingreq") pings += 1;
      if (cmd === behind) send(publishPacket(1, payload));
    });
    socket.on("data", (chunk: Buffer) => void parser.parse(chunk));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { port, connections, pings: () => pings };
}

function started(port: number, clock: Clock) {
  const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_KEEPALIVE_SECONDS: "1" };
  const source = mqttSource(env, { clock });
  ends.push(() => source.close());
  const intake = fakeIntake(() => source);
  void source.start(intake);
  return { source, intake };
}

test("the answer to a ping may come behind a message that is on its way", async () => {
  const { port, connections, pings } = await slowBroker("subscribe");
  const { intake } = started(port, systemClock);
  await until("the message", () => intake.messages.length > 0);
  expect(connections).toHaveLength(1);
  // The broker must hear from us meanwhile.
  expect(pings()).toBeGreaterThan(0);
});

test("the answer to SUBSCRIBE may come behind a message that the session held", async () => {
  const { port, connections } = await slowBroker("connect");
  const hasty: Clock = {
    ...systemClock,
    after: (ms, run) => systemClock.after(ms === answerMs ? 200 : ms, run),
  };
  const { source, intake } = started(port, hasty);
  await until("the answer", () => source.status().connected);
  expect(intake.messages).toHaveLength(1);
  expect(connections).toHaveLength(1);
});
