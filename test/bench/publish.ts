/**
 * The load generator: raw sockets, packets that are ready, and nothing parsed but the two bytes that an answer is about. A client
 * library costs ten times as much, and would be the limit, or take the cores of what is measured.
 *
 * It is a publisher at a broker, which fills it for a backlog; or it is the broker itself of one subscriber (the feeder): then nothing
 * stands between it and what is measured, and the answers are that one's own PUBACKs.
 */
import { idOf, lengthBytes, type Load } from "./load.ts";

/** Messages without an answer; below what either side may have in flight. */
const windowMax = 10_000;
const chunkMessages = 500;
const noSubscriber = 0x10;

export interface Sender {
  /** As fast as it is answered, or `perSecond`. */
  send(load: Load, from: number, count: number, perSecond?: number): Promise<Sent>;
}

/** When each message was due, and answered, in ms since the epoch. */
export interface Sent {
  readonly dueMs: Float64Array;
  readonly answeredMs: Float64Array;
  /** Answers that said that nobody is subscribed. */
  readonly unheard: number;
}

export async function openPublisher(port: number): Promise<Sender & { close(): void }> {
  const { sender, answered } = createSender(() => connection);
  const opened = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: handlers((type, body) => (type === 0x20 ? opened.resolve() : answered(type, body))),
  });
  const connection = { write: socket.data, version: 5 } as const;
  connection.write(connectPacket(`load-${process.pid}-${performance.now()}`));
  await opened.promise;
  return { ...sender, close: () => void socket.end() };
}

export interface Feeder extends Sender {
  readonly port: number;
  /** Resolves when somebody has subscribed. */
  readonly heard: Promise<void>;
  close(): void;
}

export function openFeeder(): Feeder {
  let connection: Connection | undefined;
  const { sender, answered } = createSender(() => connection);
  const heard = Promise.withResolvers<void>();
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: handlers((type, body, write) => {
      if (type === 0x10) {
        connection = { write, version: body[6] === 5 ? 5 : 4 };
        write(Buffer.from(connection.version === 5 ? [0x20, 3, 0, 0, 0] : [0x20, 2, 0, 0]));
      } else if (type === 0x80) {
        write(subAck(body, connection?.version ?? 4));
        heard.resolve();
      } else if (type === 0xc0) write(Buffer.from([0xd0, 0]));
      else answered(type, body);
    }),
  });
  return { ...sender, port: server.port, heard: heard.promise, close: () => server.stop(true) };
}

interface Connection {
  readonly write: (bytes: Buffer) => void;
  readonly version: 4 | 5;
}

function createSender(connection: () => Connection | undefined) {
  let onAnswer: (id: number, reason: number) => void = () => {};
  const answered = (type: number, body: Buffer) => {
    if (type === 0x40) onAnswer(body.readUInt16BE(0), body[2] ?? 0);
  };

  async function send(load: Load, from: number, count: number, perSecond = 0): Promise<Sent> {
    const { write, version } = connection() ?? { write() {}, version: 5 };
    const [dueMs, answeredMs] = [new Float64Array(count), new Float64Array(count)];
    const firstId = idOf(Math.max(from, 0));
    let [sent, answers, unheard] = [0, 0, 0];
    onAnswer = (id, reason) => {
      // Answers come in any order, but within a window that is smaller than the range of identifiers.
      const behind = (((firstId + sent - id) % 65_535) + 65_535) % 65_535;
      answeredMs[sent - behind] = nowMs();
      answers += 1;
      if (reason === noSubscriber) unheard += 1;
    };
    const paced = perSecond > 0 ? load.packets(from, count, version) : undefined;
    for (const startMs = nowMs(); ;) {
      if (answers >= count) return { dueMs, answeredMs, unheard };
      const dueAt = (i: number) => (paced ? startMs + (i * 1000) / perSecond : nowMs());
      const due = paced ? Math.floor(((nowMs() - startMs) * perSecond) / 1000) + 1 : sent + chunkMessages;
      const until = Math.min(due, count, answers + windowMax);
      const chunk = paced?.slice(sent, until) ?? load.packets(from + sent, until - sent, version);
      for (let i = sent; i < until; i++) dueMs[i] = dueAt(i);
      sent = Math.max(sent, until);
      if (chunk.length > 0) write(Buffer.concat(chunk));
      if (paced || chunk.length === 0) await Bun.sleep(1);
    }
  }
  return { sender: { send }, answered };
}

/** To parts of a millisecond, which Date.now() has not. */
const nowMs = () => performance.timeOrigin + performance.now();

/** Sockets that read whole packets and keep what the system does not take at once. */
function handlers(packet: (type: number, body: Buffer, write: (bytes: Buffer) => void) => void) {
  let [unread, unwritten]: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  const write = (socket: Bun.Socket<(bytes: Buffer) => void>, bytes: Buffer) => {
    const all = unwritten.length === 0 ? bytes : Buffer.concat([unwritten, bytes]);
    unwritten = all.subarray(Math.max(0, socket.write(all)));
  };
  return {
    open(socket: Bun.Socket<(bytes: Buffer) => void>) {
      [unread, unwritten] = [Buffer.alloc(0), Buffer.alloc(0)];
      socket.data = (bytes) => write(socket, bytes);
    },
    data(socket: Bun.Socket<(bytes: Buffer) => void>, chunk: Buffer) {
      const bytes = unread.length === 0 ? chunk : Buffer.concat([unread, chunk]);
      unread = readPackets(bytes, (type, body) => packet(type, body, socket.data));
    },
    drain: (socket: Bun.Socket<(bytes: Buffer) => void>) => write(socket, Buffer.alloc(0)),
  };
}

function connectPacket(clientId: string): Buffer {
  const body = [0, 4, ...Buffer.from("MQTT"), 5, 2, 0, 0, 0, 0, clientId.length, ...Buffer.from(clientId)];
  return Buffer.from([0x10, ...lengthBytes(body.length), ...body]);
}

/** Grants QoS 1 to every filter. */
function subAck(body: Buffer, version: 4 | 5): Buffer {
  let filters = 0;
  for (let at = version === 5 ? 3 + (body[2] ?? 0) : 2; at < body.length; filters++)
    at += 3 + body.readUInt16BE(at);
  const rest = [body[0] ?? 0, body[1] ?? 0, ...(version === 5 ? [0] : []), ...Array<number>(filters).fill(1)];
  return Buffer.from([0x90, rest.length, ...rest]);
}

/** Calls `each` for every whole packet. @returns what is left over */
function readPackets(bytes: Buffer, each: (type: number, body: Buffer) => void): Buffer {
  for (let at = 0; ;) {
    let [length, shift, end] = [0, 0, at + 1];
    for (; (bytes[end] ?? 0) > 127; end++, shift += 7) length |= ((bytes[end] ?? 0) & 127) << shift;
    length |= (bytes[end] ?? 0) << shift;
    const from = end + 1;
    if (from > bytes.length || from + length > bytes.length) return bytes.subarray(at);
    each((bytes[at] ?? 0) & 0xf0, bytes.subarray(from, from + length));
    at = from + length;
  }
}
