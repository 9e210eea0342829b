/**
 * Reads the packets of a broker straight out of the chunks of the connection: PUBLISH becomes a message at once, every other packet
 * passes on as it came, for MQTT.js. That library takes a PUBLISH through two streams, a list of buffers, an object per packet and a
 * tick of the event loop: that was a fifth of what a message cost the whole gateway.
 *
 * What we do not use is not read: of the properties of MQTT 5 only how long they are, since whatever a device wrote into its own must
 * not end the connection. Of a payload that is too large only the beginning is kept, however large it is: it is still judged
 * (PAYLOAD_TOO_LARGE), counted and acknowledged; to break the connection instead would bring it back for ever. Any other packet of that
 * size is no MQTT that we could use.
 *
 * Payloads are views of their chunk, and hold all of it; but all of its messages come and go together. Rejected alternative: copies.
 */
import { headBytes } from "../payload-head.ts";
import { MqttMessage } from "./outstanding.ts";

export interface ReaderSpec {
  readonly version: 4 | 5;
  /** Asked at every message: it may change at run time. */
  payloadBytesMax(): number;
  wallMs(): number;
  /** @returns whether more may come at once */
  publish(message: MqttMessage): boolean;
  /** Any other packet, whole. @returns whether more may come at once */
  other(packet: Buffer): boolean;
}

export interface PacketReader {
  /**
   * Takes the packets of a chunk.
   * @returns what is to be read once more may come; undefined: all was read
   * @throws at what is no MQTT, and at a large packet that is no PUBLISH
   */
  read(chunk: Buffer): Buffer | undefined;
}

/** Topic (two bytes and 64 KiB), packet identifier, properties of MQTT 5, if they are not absurd. */
const variableHeaderBytesMax = 128 * 1024;
/** Of packets that are no PUBLISH: CONNACK and DISCONNECT may have words for people in them. */
const otherBytesMax = 256 * 1024;
const publishType = 3;
/** A variable byte integer has one to four bytes (MQTT 5 §1.5.5). */
const varintBytesMax = 4;
const nothing = Buffer.alloc(0);

/** A packet whose end is in chunks to come. */
interface Begun {
  /** From its fixed header on; of a large one no more than its beginning. */
  readonly kept: Buffer;
  keptBytes: number;
  toCome: number;
  readonly bodyAt: number;
  readonly bodyBytes: number;
}

export function createPacketReader(spec: ReaderSpec): PacketReader {
  const { version, payloadBytesMax, wallMs, publish, other } = spec;
  let begun: Begun | undefined;
  /** The beginning of a fixed header. */
  let cut = nothing;
  let receivedMs = 0;

  function read(given: Buffer): Buffer | undefined {
    receivedMs = wallMs();
    const chunk = cut.length === 0 ? given : Buffer.concat([cut, given]);
    cut = nothing;
    let at = begun === undefined ? 0 : fill(begun, chunk, 0);
    let goesOn = begun === undefined || begun.toCome > 0 || takeBegun(begun);
    while (goesOn && at < chunk.length) {
      const bodyAt = varintEnd(chunk, at + 1);
      if (bodyAt === undefined) {
        cut = Buffer.from(chunk.subarray(at));
        return undefined;
      }
      const bodyBytes = varint(chunk, at + 1, bodyAt);
      const end = bodyAt + bodyBytes;
      if (end > chunk.length) {
        begin(chunk, at, bodyAt - at, bodyBytes);
        return undefined;
      }
      goesOn = take(chunk, at, bodyAt, end, bodyBytes);
      at = end;
    }
    return goesOn ? undefined : chunk.subarray(at);
  }

  function begin(chunk: Buffer, at: number, headerBytes: number, bodyBytes: number): void {
    mustBeOfUse(chunk[at] ?? 0, bodyBytes);
    const fits = bodyBytes <= variableHeaderBytesMax + payloadBytesMax();
    const keptBytesMax = isPublish(chunk[at] ?? 0) && !fits ? variableHeaderBytesMax + headBytes : bodyBytes;
    const kept = Buffer.allocUnsafe(headerBytes + keptBytesMax);
    begun = { kept, keptBytes: 0, toCome: headerBytes + bodyBytes, bodyAt: headerBytes, bodyBytes };
    fill(begun, chunk, at);
  }

  function takeBegun({ kept, keptBytes, bodyAt, bodyBytes }: Begun): boolean {
    begun = undefined;
    return take(kept, 0, bodyAt, keptBytes, bodyBytes);
  }

  /** @param end of what is there of the packet */
  function take(bytes: Buffer, at: number, bodyAt: number, end: number, bodyBytes: number): boolean {
    const first = bytes[at] ?? 0;
    mustBeOfUse(first, bodyBytes);
    return isPublish(first)
      ? publish(messageOf(bytes, first, bodyAt, end, bodyBytes))
      : other(bytes.subarray(at, end));
  }

  /** MQTT 5 §3.3. What the packet says of its own lengths is checked once, where the payload begins. */
  function messageOf(bytes: Buffer, first: number, bodyAt: number, end: number, bodyBytes: number) {
    const qos = (first >> 1) & 3;
    if (qos === 3) throw new Error("it sends what is no MQTT: a PUBLISH of QoS 3");
    const topicAt = bodyAt + 2;
    const topicEnd = topicAt + number16(bytes, bodyAt);
    const idEnd = qos === 0 ? topicEnd : topicEnd + 2;
    const payloadAt = version === 5 ? behindProperties(bytes, idEnd) : idEnd;
    if (payloadAt > bodyAt + bodyBytes) throw new Error("it sends what is no MQTT: a PUBLISH without an end");
    if (topicEnd === topicAt && payloadAt > idEnd + 1)
      throw new Error("it sends a Topic Alias, of which we allow none");
    const topic = bytes.toString("utf8", topicAt, topicEnd);
    const id = qos === 0 ? 0 : number16(bytes, topicEnd);
    const [isDup, isRetained] = [(first & 8) !== 0, (first & 1) !== 0];
    // Of properties that are longer than what is kept nobody knows how much payload is behind them.
    const wholeBytes =
      payloadAt - bodyAt > variableHeaderBytesMax ? bodyBytes : bodyAt + bodyBytes - payloadAt;
    const isWhole = end === bodyAt + bodyBytes && wholeBytes <= payloadBytesMax();
    const payload = isWhole
      ? bytes.subarray(payloadAt, end)
      : Buffer.from(bytes.subarray(payloadAt, Math.min(end, payloadAt + headBytes)));
    return new MqttMessage(
      topic,
      payload,
      qos as 0 | 1 | 2,
      isDup,
      isRetained,
      id,
      receivedMs,
      isWhole ? undefined : wholeBytes,
    );
  }

  return { read };
}

const isPublish = (first: number) => first >> 4 === publishType;

function mustBeOfUse(first: number, bodyBytes: number): void {
  if (bodyBytes > otherBytesMax && !isPublish(first))
    throw new Error(`it sends a packet of ${bodyBytes} bytes`);
}

/** Copies what a chunk has of the packet. @returns where that ends */
function fill(begun: Begun, chunk: Buffer, from: number): number {
  const to = Math.min(chunk.length, from + begun.toCome);
  begun.keptBytes += chunk.copy(begun.kept, begun.keptBytes, from, to);
  begun.toCome -= to - from;
  return to;
}

const number16 = (bytes: Buffer, at: number) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Infinity: they do not end. */
function behindProperties(bytes: Buffer, at: number): number {
  const from = varintEnd(bytes, at);
  return from === undefined ? Number.POSITIVE_INFINITY : from + varint(bytes, at, from);
}

/** Where the variable byte integer at `at` ends; undefined: not within these bytes. @throws if it is none */
function varintEnd(bytes: Buffer, at: number): number | undefined {
  let end = at;
  while (end < bytes.length) {
    if ((bytes[end++] ?? 0) < 0x80) return end;
    if (end - at === varintBytesMax) throw new Error("it sends what is no MQTT: a length without an end");
  }
  return undefined;
}

function varint(bytes: Buffer, from: number, to: number): number {
  let value = 0;
  for (let at = to - 1; at >= from; at -= 1) value = value * 128 + ((bytes[at] ?? 0) & 0x7f);
  return value;
}
