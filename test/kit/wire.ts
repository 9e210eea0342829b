/** MQTT byte by byte: a broker and a client that do only what a test tells them, and keep what they receive. */
import { createServer, connect as dial, type Socket } from "node:net";
import mqttPacket, { type IConnackPacket, type Packet } from "mqtt-packet";

export interface WireBroker {
  readonly port: number;
  /** Packets of all connections so far, in order. */
  readonly packets: Packet[];
  /** Chunks as they came from the socket: a write of the other side is a chunk here, unless the system joined several. */
  readonly chunks: Buffer[];
  readonly connections: Socket[];
  send(packet: Packet): void;
  close(): void;
}

export interface WireBrokerOptions {
  readonly version?: 4 | 5;
  /** The CONNACK for the connection with this number, from 0. */
  connack?(connection: number): Partial<IConnackPacket>;
  /** Written in one piece with the CONNACK. */
  readonly behindConnack?: readonly Packet[];
  readonly granted?: number;
  /** Filters that it does not grant. */
  refuses?(filter: string): boolean;
  /** false: never answers SUBSCRIBE, nor CONNECT. */
  readonly answers?: boolean;
  /** false: never answers SUBSCRIBE. */
  readonly subscribes?: boolean;
  /** Ends the connection at such a packet, instead of answering it. */
  hangsUpAt?(packet: Packet): boolean;
  /** Never answers SUBSCRIBE to this topic. */
  readonly silentOn?: string;
}

export async function wireBroker(options: WireBrokerOptions = {}): Promise<WireBroker> {
  const { version = 5, granted = 1, answers = true, subscribes = true } = options;
  const refusal = version === 5 ? 0x87 : 0x80;
  const packets: Packet[] = [];
  const chunks: Buffer[] = [];
  const connections: Socket[] = [];
  const write = (socket: Socket, ...all: Packet[]) =>
    void socket.write(
      Buffer.concat(all.map((packet) => mqttPacket.generate(packet, { protocolVersion: version }))),
    );

  const server = createServer((socket) => {
    const number = connections.push(socket) - 1;
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("packet", (packet) => {
      packets.push(packet);
      if (options.hangsUpAt?.(packet)) socket.destroy();
      if (!answers || socket.destroyed) return;
      if (packet.cmd === "connect") {
        const ok: IConnackPacket = { cmd: "connack", sessionPresent: false, returnCode: 0, reasonCode: 0 };
        write(socket, { ...ok, ...options.connack?.(number) }, ...(options.behindConnack ?? []));
      }
      if (packet.cmd === "subscribe" && subscribes && packet.subscriptions[0]?.topic !== options.silentOn)
        write(socket, {
          cmd: "suback",
          messageId: packet.messageId ?? 1,
          granted: packet.subscriptions.map(({ topic }) => (options.refuses?.(topic) ? refusal : granted)),
        });
      if (packet.cmd === "unsubscribe")
        write(socket, { cmd: "unsuback", messageId: packet.messageId ?? 1, granted: [0] });
      if (packet.cmd === "pingreq") write(socket, { cmd: "pingresp" });
    });
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      parser.parse(chunk);
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    packets,
    chunks,
    connections,
    send(packet) {
      const socket = connections.at(-1);
      if (socket !== undefined) write(socket, packet);
    },
    close() {
      for (const socket of connections) socket.destroy();
      server.close();
    },
  };
}

export interface WireClient {
  readonly packets: Packet[];
  readonly socket: Socket;
  send(...packets: Packet[]): void;
  closed(): boolean;
}

/** An MQTT 3.1.1 client of the embedded broker. */
export async function wireClient(port: number): Promise<WireClient> {
  const packets: Packet[] = [];
  let closed = false;
  const socket = dial({ port, host: "127.0.0.1" });
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  parser.on("packet", (packet) => void packets.push(packet));
  socket.on("data", (chunk: Buffer) => void parser.parse(chunk));
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return {
    packets,
    socket,
    send: (...all) => void socket.write(Buffer.concat(all.map((packet) => mqttPacket.generate(packet)))),
    closed: () => closed,
  };
}

export const connectPacket = (
  clientId: string,
  more: { username?: string; password?: string } = {},
): Packet => ({
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clean: true,
  clientId,
  keepalive: 0,
  ...(more.username !== undefined && { username: more.username }),
  ...(more.password !== undefined && { password: Buffer.from(more.password) }),
});

export const publishPacket = (
  messageId: number,
  payload: string,
  more: { qos?: 0 | 1 | 2; dup?: boolean; topic?: string; retain?: boolean } = {},
): Packet => {
  const { qos = 1, dup = false, topic = "tenant/acme/device/d1/telemetry", retain = false } = more;
  return { cmd: "publish", topic, payload, qos, dup, retain, ...(qos > 0 && { messageId }) };
};
