/**
 * A broker that misbehaves at every moment: nothing that it sends or does ends the process, and once it behaves the
 * source works again.
 */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createServer, type Socket } from "node:net";
import mqttPacket, { type Packet } from "mqtt-packet";
import { type Clock, systemClock } from "../../../src/core/clock.ts";
import { seededRandom } from "../../../src/simulator/random.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, until } from "../../kit/source.ts";
import { publishPacket } from "../../kit/wire.ts";

const ends = endsAfterEach();

/** Retries at once; waits 100 ms for an answer. */
const impatient: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms === 10_000 ? 100 : Math.min(ms, 1), run),
};

type Misdeed = (socket: Socket, version: 4 | 5) => void;
type Moment = "connected" | "CONNECT" | "CONNACK" | "SUBSCRIBE" | "SUBACK";
const moments: readonly Moment[] = ["connected", "CONNECT", "CONNACK", "SUBSCRIBE", "SUBACK"];

const bytesOf = (packet: Packet, version: 4 | 5) => mqttPacket.generate(packet, { protocolVersion: version });

/** Serves one connection with the given misbehaviour, and then good ones. */
async function broker(version: 4 | 5, moment: Moment, misdeed: Misdeed) {
  let connections = 0;
  const server = createServer((socket) => {
    const isEvil = ++connections === 1;
    const at = (now: Moment) => {
      if (isEvil && now === moment) misdeed(socket, version);
      return isEvil && now === moment;
    };
    socket.on("error", () => {});
    if (at("connected")) return;
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("error", () => socket.destroy());
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") {
        if (at("CONNECT")) return;
        socket.write(
          bytesOf({ cmd: "connack", sessionPresent: false, returnCode: 0, reasonCode: 0 }, version),
        );
        at("CONNACK");
      } else if (packet.cmd === "subscribe") {
        if (at("SUBSCRIBE")) return;
        socket.write(bytesOf({ cmd: "suback", messageId: packet.messageId ?? 1, granted: [1] }, version));
        if (!at("SUBACK") && !isEvil) socket.write(bytesOf(publishPacket(1, "good"), version));
      }
    });
    socket.on("data", (chunk: Buffer) => void parser.parse(chunk));
  });
  return listening(server);
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function source(url: string, version: 4 | 5) {
  const env = { MQTT_URL: url, MQTT_VERSION: version === 5 ? "5" : "3.1.1" };
  const made = mqttSource(env, { clock: impatient });
  const intake = fakeIntake(() => made);
  ends.push(() => made.close());
  await made.start(intake);
  return { made, intake };
}

/** After its misbehaviour the broker would only be silent, which has tests of its own. */
const thenEnd = (socket: Socket) => void setTimeout(() => socket.destroy(), 20);

const anyPacket: readonly Packet[] = [
  { cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId: "x", keepalive: 1 },
  { cmd: "connack", sessionPresent: true, returnCode: 0, reasonCode: 0 },
  { cmd: "connack", sessionPresent: false, returnCode: 2, reasonCode: 135 },
  publishPacket(1, "bad", { qos: 0 }),
  publishPacket(1, "bad", { qos: 1 }),
  publishPacket(2, "bad", { qos: 2 }),
  publishPacket(3, "bad", { qos: 1, dup: true, retain: true, topic: "" }),
  { cmd: "puback", messageId: 1 },
  { cmd: "pubrec", messageId: 2 },
  { cmd: "pubrel", messageId: 3 },
  { cmd: "pubcomp", messageId: 4 },
  { cmd: "subscribe", messageId: 5, subscriptions: [{ topic: "#", qos: 0 }] },
  { cmd: "suback", messageId: 1, granted: [] },
  { cmd: "suback", messageId: 9999, granted: [1, 1, 1] },
  { cmd: "unsubscribe", messageId: 6, unsubscriptions: ["#"] },
  { cmd: "unsuback", messageId: 1, granted: [0] },
  { cmd: "pingreq" },
  { cmd: "pingresp" },
  { cmd: "disconnect", reasonCode: 129 },
  { cmd: "auth", reasonCode: 0 },
] as readonly Packet[];

const rude: Record<string, Misdeed> = {
  closes: (socket) => void socket.end(),
  resets: (socket) => void socket.resetAndDestroy(),
  "sends half a packet and closes": (socket, version) =>
    void socket.end(bytesOf(publishPacket(1, "x".repeat(1000)), version).subarray(0, 500)),
  "sends half a packet and resets": (socket, version) => {
    socket.write(bytesOf(publishPacket(1, "x".repeat(1000)), version).subarray(0, 500));
    setTimeout(() => socket.resetAndDestroy(), 5);
  },
  "sends a header of 256 MB that is no PUBLISH": (socket) => {
    socket.write(Buffer.from([0x20, 0xff, 0xff, 0xff, 0x7f]));
    thenEnd(socket);
  },
  "sends an error and PUBREL behind it in one go": (socket, version) => {
    const refusal = bytesOf(
      { cmd: "connack", sessionPresent: false, returnCode: 2, reasonCode: 135 },
      version,
    );
    const late = Array.from({ length: 50 }, (_, i): Packet => ({ cmd: "pubrel", messageId: i + 1 }));
    socket.write(Buffer.concat([refusal, ...late.map((packet) => bytesOf(packet, version))]));
    thenEnd(socket);
  },
  "sends an endless length": (socket) => {
    socket.write(Buffer.alloc(50, 0xff));
    thenEnd(socket);
  },
  "sends empty packets of every kind": (socket) => {
    for (let kind = 0; kind < 16; kind += 1) socket.write(Buffer.from([kind << 4, 0]));
    thenEnd(socket);
  },
};
for (const packet of anyPacket)
  rude[`sends ${JSON.stringify(packet).slice(0, 70)}`] = (socket, version) => {
    try {
      socket.write(bytesOf(packet, version));
    } catch {
      // Not one of this version.
    }
    thenEnd(socket);
  };

describe.each([5, 4] as const)("level %d", (version) => {
  test.each(moments)(
    "at %s",
    async (moment) => {
      for (const [name, misdeed] of Object.entries(rude)) {
        const port = await broker(version, moment, misdeed);
        const { made, intake } = await source(`mqtt://127.0.0.1:${port}`, version);
        await until(`a good connection after: ${name}`, () => intake.texts().includes("good"));
        expect(made.status().connected, name).toBe(true);
        await made.close();
      }
    },
    60_000,
  );

  test("spoilt bytes at any moment", async () => {
    const random = seededRandom(version);
    for (let n = 0; n < 60; n += 1) {
      const moment = moments[random.whole(0, moments.length - 1)] ?? "CONNACK";
      const misdeed: Misdeed = (socket) => {
        for (let i = random.whole(1, 5); i > 0; i -= 1) socket.write(spoilt(random, version));
        thenEnd(socket);
      };
      const port = await broker(version, moment, misdeed);
      const { made, intake } = await source(`mqtt://127.0.0.1:${port}`, version);
      await until(`a good connection after spoilt bytes ${n}`, () => intake.texts().includes("good"));
      await made.close();
    }
  }, 60_000);
});

function spoilt(random: ReturnType<typeof seededRandom>, version: 4 | 5): Buffer {
  let bytes = Buffer.alloc(8, 0xc0);
  try {
    bytes = Buffer.from(
      bytesOf(anyPacket[random.whole(0, anyPacket.length - 1)] ?? { cmd: "pingreq" }, version),
    );
  } catch {
    // Not one of this version.
  }
  for (let i = random.whole(1, 3); i > 0; i -= 1)
    bytes[random.whole(0, bytes.length - 1)] = random.whole(0, 255);
  return random.whole(0, 3) === 0 ? bytes.subarray(0, random.whole(0, bytes.length)) : bytes;
}

const UPGRADE = (request: string) => {
  const key = /sec-websocket-key: (\S+)/i.exec(request)?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`;
};

/** How a peer that is no MQTT broker answers the first bytes, with TLS or HTTP. */
const foreign: Readonly<Record<string, (socket: Socket, first: string) => void>> = {
  closes: (socket) => void socket.end(),
  resets: (socket) => void socket.resetAndDestroy(),
  "sends garbage": (socket) => void socket.end(Buffer.alloc(300, 0x41)),
  "sends a TLS alert": (socket) => void socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 40])),
  "sends half a TLS record": (socket) => void socket.end(Buffer.from([0x16, 3, 3, 0x40, 0, 2, 0, 0])),
  "answers 404": (socket) => void socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
  "answers half an HTTP header": (socket) => void socket.end("HTTP/1.1 101 Swi"),
  "upgrades and closes": (socket, first) => void socket.end(UPGRADE(first)),
  "upgrades and resets": (socket, first) => {
    socket.write(UPGRADE(first));
    setTimeout(() => socket.resetAndDestroy(), 5);
  },
  "upgrades and sends a frame that is none": (socket, first) => {
    socket.write(UPGRADE(first));
    socket.write(Buffer.from([0xff, 0xff, 1, 2, 3]));
    thenEnd(socket);
  },
  "upgrades and sends a text frame": (socket, first) => {
    socket.write(UPGRADE(first));
    socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
    thenEnd(socket);
  },
  "upgrades and announces a frame of 1 GB": (socket, first) => {
    socket.write(UPGRADE(first));
    socket.write(Buffer.from([0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 1]));
    thenEnd(socket);
  },
  "upgrades and sends spoilt MQTT": (socket, first) => {
    socket.write(UPGRADE(first));
    socket.write(Buffer.from([0x82, 4, 0x20, 0x80, 0x80, 0x80]));
    thenEnd(socket);
  },
};

test.each(["mqtts", "ws", "wss"])(
  "%s: a peer that is no MQTT broker",
  async (scheme) => {
    for (const [name, misdeed] of Object.entries(foreign)) {
      let times = 0;
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (chunk: Buffer) => {
          times += 1;
          misdeed(socket, chunk.toString("latin1"));
        });
      });
      const port = await listening(server);
      const { made } = await source(`${scheme}://127.0.0.1:${port}`, 5);
      await until(`it is tried again after: ${name}`, () => times >= 3);
      expect(made.status().connected, name).toBe(false);
      expect(made.status().detail, name).toStartWith(`${scheme}://127.0.0.1:${port}`);
      await made.close();
    }
  },
  60_000,
);
