/** Brokers for the publisher's tests: aedes with a hook at each message, and a scripted MQTT 5 broker. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Aedes } from "aedes";
import mqttPacket, { type IPublishPacket, type Packet } from "mqtt-packet";

export interface TestBroker {
  readonly url: string;
  /** Cuts every connection and stops listening, as a crash does. */
  crash(): Promise<void>;
  /** Listens again on the same port. */
  revive(): Promise<void>;
}

/** `onPublish` is called before aedes acknowledges, which it does when `done` is called. */
export async function startAedes(
  onPublish: (packet: IPublishPacket, done: () => void) => void,
): Promise<TestBroker> {
  const broker = await Aedes.createBroker({
    authorizePublish: (_client, packet, done) => onPublish(packet, () => done(null)),
  });
  return serve((socket) => void broker.handle(socket));
}

/** Answers CONNECT with the given Receive Maximum and lets the test answer each PUBLISH with a reason code. */
export function startScripted(
  receiveMaximum: number,
  onPublish: (packet: IPublishPacket, answer: (reasonCode: number) => void) => void,
): Promise<TestBroker> {
  return serve((socket) => {
    const send = (packet: Packet) => void socket.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") {
        send({ cmd: "connack", reasonCode: 0, sessionPresent: false, properties: { receiveMaximum } });
      } else if (packet.cmd === "publish" && packet.messageId !== undefined) {
        const { messageId } = packet;
        onPublish(packet, (reasonCode) => send({ cmd: "puback", messageId, reasonCode }));
      }
    });
    socket.on("data", (bytes: Buffer) => void parser.parse(bytes));
  });
}

async function serve(onConnection: (socket: Socket) => void): Promise<TestBroker> {
  const sockets = new Set<Socket>();
  const listen = (port: number): Promise<Server> => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket)).on("error", () => {});
      onConnection(socket);
    });
    return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
  };
  let server = await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    async crash() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    async revive() {
      server = await listen(port);
    },
  };
}
