/**
 * Lets go of what is too large in the stream from a broker, before the parser collects it: mqtt-packet holds a packet whole, so one of
 * 256 MB would take the process with it, and again when the broker sends it again. Of a large PUBLISH the header and the beginning of
 * its payload pass, as a small packet; so it is still judged (PAYLOAD_TOO_LARGE), counted and acknowledged. To break the
 * connection instead would bring it back for ever. Any other packet of that size is no MQTT that we could use.
 *
 * Only headers are looked at, and what passes whole passes as it came: the cost does not depend on the number of bytes.
 */

/** Bytes of a payload that pass, of one that is too large. More than is kept of it. */
export const headBytes = 4096;
/** Topic (two bytes and 64 KiB), packet identifier, properties of MQTT 5, if they are not absurd. */
const variableHeaderBytesMax = 128 * 1024;
/** Of packets that are no PUBLISH: CONNACK and DISCONNECT may have words for people in them. */
const otherBytesMax = 256 * 1024;
const publishType = 3;
/** Remaining Length has one to four bytes behind the first (MQTT 5 §2.1.4). */
const fixedHeaderBytesMax = 5;

export interface Cutter {
  /** What is to be parsed of a chunk. @throws at a large packet that is no PUBLISH, and at what is no packet */
  cut(chunk: Buffer): Buffer;
  /** For each PUBLISH in order, once: the size of its payload if that was cut; undefined: it came whole. */
  nextWhole(): number | undefined;
}

/** @param payloadBytesMax asked at every packet: it may change at run time */
export function createPacketCutter(version: 4 | 5, payloadBytesMax: () => number): Cutter {
  const header = Buffer.alloc(fixedHeaderBytesMax);
  let headerBytes = 0;
  /** Of a packet that passes whole: bytes still to come. */
  let passing = 0;
  let large:
    { readonly kept: Buffer; keptBytes: number; toCome: number; readonly length: number } | undefined;
  const cuts: { readonly ordinal: number; readonly whole: number }[] = [];
  let publishes = 0;
  let handled = 0;

  /** The fixed header is complete. @returns whether the packet passes whole */
  function begin(length: number): boolean {
    const isPublish = (header[0] ?? 0) >> 4 === publishType;
    if (!isPublish && length > otherBytesMax) throw new Error(`it sends a packet of ${length} bytes`);
    if (isPublish) publishes += 1;
    const fits = !isPublish || length <= variableHeaderBytesMax + payloadBytesMax();
    if (fits) passing = length;
    else {
      const kept = Buffer.alloc(variableHeaderBytesMax + headBytes);
      large = { kept, keptBytes: 0, toCome: length, length };
    }
    return fits;
  }

  function takeLarge(chunk: Buffer, from: number): number {
    if (large === undefined) return from;
    const to = Math.min(chunk.length, from + large.toCome);
    large.keptBytes += chunk.copy(large.kept, large.keptBytes, from, to);
    large.toCome -= to - from;
    return to;
  }

  /** The whole of it has come, or gone. */
  function small(): Buffer {
    const { kept, length } = large ?? { kept: Buffer.alloc(0), length: 0 };
    const { packet, whole } = shortened(header[0] ?? 0, kept, length, version);
    cuts.push({ ordinal: publishes, whole });
    large = undefined;
    headerBytes = 0;
    return packet;
  }

  function cut(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    const carried = headerBytes;
    /** From here on the chunk passes as it is. */
    let from = 0;
    let headerAt = carried > 0 && large === undefined ? -carried : 0;
    let at = 0;
    while (at < chunk.length) {
      if (passing > 0) {
        const step = Math.min(passing, chunk.length - at);
        passing -= step;
        at += step;
        continue;
      }
      if (large !== undefined) {
        at = takeLarge(chunk, at);
        from = at;
        if (large.toCome === 0) out.push(small());
        continue;
      }
      if (headerBytes === 0) headerAt = at;
      const byte = chunk[at] ?? 0;
      header[headerBytes++] = byte;
      at += 1;
      if (headerBytes === 1 || (byte >= 0x80 && headerBytes < fixedHeaderBytesMax)) continue;
      if (byte >= 0x80 && headerBytes > 1) throw new Error("it sends what is no MQTT");
      const passes = begin(lengthOf(header, headerBytes));
      if (headerAt < 0 && passes) out.push(Buffer.from(header.subarray(0, -headerAt)));
      if (passes) headerBytes = 0;
      else {
        if (headerAt > from) out.push(chunk.subarray(from, headerAt));
        from = at;
      }
    }
    // What may be the header of a large packet waits for its rest.
    const isOpen = headerBytes > 0 && large === undefined;
    const end = isOpen ? Math.max(headerAt, 0) : chunk.length;
    if (out.length === 0 && from === 0 && end === chunk.length) return chunk;
    if (end > from) out.push(chunk.subarray(from, end));
    return Buffer.concat(out);
  }

  return {
    cut,
    nextWhole() {
      handled += 1;
      return cuts[0]?.ordinal === handled ? cuts.shift()?.whole : undefined;
    },
  };
}

function lengthOf(header: Buffer, bytes: number): number {
  let length = 0;
  for (let i = bytes - 1; i > 0; i -= 1) length = length * 128 + ((header[i] ?? 0) & 0x7f);
  return length;
}

/** The same PUBLISH with the beginning of its payload and without properties. `kept`: its first bytes after the fixed header. */
function shortened(
  first: number,
  kept: Buffer,
  length: number,
  version: 4 | 5,
): { packet: Buffer; whole: number } {
  const idBytes = (first & 0x06) === 0 ? 0 : 2;
  let at = 2 + kept.readUInt16BE(0) + idBytes;
  const names = kept.subarray(0, at);
  if (version === 5) {
    let properties = 0;
    let scale = 1;
    for (let more = true; more && scale <= 128 ** 3; scale *= 128) {
      const byte = kept[at++] ?? 0;
      properties += (byte & 0x7f) * scale;
      more = byte >= 0x80;
    }
    at += properties;
  }
  const none = Buffer.alloc(version === 5 ? 1 : 0);
  const payload = kept.subarray(Math.min(at, kept.length), at + headBytes);
  const body = Buffer.concat([names, none, payload]);
  const whole = at > kept.length ? length : length - at;
  return { packet: Buffer.concat([Buffer.from([first]), varint(body.length), body]), whole };
}

function varint(n: number): Buffer {
  const bytes: number[] = [];
  for (let rest = n; ; rest >>= 7) {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) return Buffer.from(bytes);
  }
}
