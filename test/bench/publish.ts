/**
 * The load generator: one raw socket to a broker, packets that are ready, and nothing parsed but the two bytes that an answer is
 * about. A client library costs ten times as much, and would be the limit, or take the cores of what is measured.
 */
import { idOf, lengthBytes, type Load } from "./load.ts";

/** Messages without an answer; below the broker's receive maximum. */
const windowMax = 10_000;
const chunkMessages = 500;
const noSubscriber = 0x10;

export interface Publisher {
  /** As fast as the broker answers, or `perSecond`. @returns when each message was due, and answered, in ms since the epoch */
  send(load: Load, from: number, count: number, perSecond?: number): Promise<Sent>;
  close(): void;
}

export interface Sent {
  readonly dueMs: Float64Array;
  readonly answeredMs: Float64Array;
  /** Answers that said that nobody is subscribed. */
  readonly unheard: number;
}

export async function openPublisher(port: number): Promise<Publisher> {
  let onAnswer: (id: number, reason: number) => void = () => {};
  let opened: (() => void) | undefined;
  const isOpen = new Promise<void>((resolve) => (opened = resolve));
  let rest: Buffer = Buffer.alloc(0);
  let unwritten: Buffer = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, chunk) {
        rest = readPackets(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), (type, body) => {
          if (type === 0x20) opened?.();
          else if (type === 0x40) onAnswer(body.readUInt16BE(0), body[2] ?? 0);
        });
      },
      drain: () => write(Buffer.alloc(0)),
    },
  });
  function write(bytes: Buffer): void {
    const all = unwritten.length === 0 ? bytes : Buffer.concat([unwritten, bytes]);
    unwritten = all.subarray(Math.max(0, socket.write(all)));
  }
  write(connectPacket(`load-${process.pid}-${performance.now()}`));
  await isOpen;

  async function send(load: Load, from: number, count: number, perSecond = 0): Promise<Sent> {
    const [dueMs, answeredMs] = [new Float64Array(count), new Float64Array(count)];
    const firstId = idOf(Math.max(from, 0));
    let [sent, answered, unheard] = [0, 0, 0];
    const paced = perSecond > 0 ? load.packets(from, count) : null;
    onAnswer = (id, reason) => {
      // Answers come in any order, but within a window that is smaller than the range of identifiers.
      const behind = (((firstId + sent - id) % 65_535) + 65_535) % 65_535;
      answeredMs[sent - behind] = Date.now();
      answered += 1;
      if (reason === noSubscriber) unheard += 1;
    };
    const startMs = performance.timeOrigin + performance.now();
    for (;;) {
      if (answered >= count) return { dueMs, answeredMs, unheard };
      const nowMs = performance.timeOrigin + performance.now();
      const due = perSecond > 0 ? Math.floor(((nowMs - startMs) * perSecond) / 1000) : sent + chunkMessages;
      const until = Math.min(due, count, answered + windowMax);
      if (until > sent) {
        for (let i = sent; i < until; i++)
          dueMs[i] = perSecond > 0 ? startMs + (i * 1000) / perSecond : nowMs;
        write(Buffer.concat(paced?.slice(sent, until) ?? load.packets(from + sent, until - sent)));
        sent = until;
      }
      await (perSecond > 0 || until === sent ? Bun.sleep(1) : Promise.resolve());
    }
  }
  return { send, close: () => void socket.end() };
}

function connectPacket(clientId: string): Buffer {
  const body = [0, 4, ...Buffer.from("MQTT"), 5, 2, 0, 0, 0, 0, clientId.length, ...Buffer.from(clientId)];
  return Buffer.from([0x10, ...lengthBytes(body.length), ...body]);
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
