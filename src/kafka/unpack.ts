/**
 * What a batch holds once it is unpacked, with a bound: a producer's megabyte may be a hundred times that, or a thousand.
 *
 * The library unpacks without one, so its codecs are bounded where it keeps them. Snappy says its size; of LZ4 the
 * lengths are added up, which costs a fraction of unpacking.
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib";

/** Of one batch: more is no batch of messages. */
export const unpackedBytesMax = 256 * 1024 * 1024;
const bounds = { maxOutputLength: unpackedBytesMax };
const codec = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;

/** @throws if it is of a codec that is not known, or too much comes out of it */
export function unpacked(records: Buffer, kind: number): Buffer | Promise<Buffer> {
  if (kind === 0) return records;
  if (kind === codec.gzip) return gunzipSync(records, bounds);
  if (kind === codec.zstd) return zstdDecompressSync(records, bounds);
  return boundedCodecs().then((findCodec) => findCodec(kind).decompress(records));
}

let bounded: ReturnType<typeof boundAll> | undefined;

/** The library's codecs, which from here on keep the bound, whoever uses them. */
export function boundedCodecs(): ReturnType<typeof boundAll> {
  return (bounded ??= boundAll());
}

async function boundAll() {
  const { findCodec } = await import("kafka-ts/dist/codecs/index.js");
  for (const kind of [codec.gzip, codec.zstd])
    findCodec(kind).decompress = async (data) => unpacked(data, kind);
  for (const [kind, sizeOf] of [
    [codec.snappy, snappySize],
    [codec.lz4, lz4Size],
  ] as const) {
    const known = findCodec(kind);
    const { decompress } = known;
    known.decompress = async (data) => {
      if (sizeOf(data) > unpackedBytesMax) throw new Error(`a batch of more than ${unpackedBytesMax} bytes`);
      return decompress(data);
    };
  }
  return findCodec;
}

/** Java's client writes blocks with their lengths behind this, and a head of 16 bytes; others write one bare block. */
const xerial = Buffer.from("\u0082SNAPPY\0", "latin1");
const xerialHead = 16;

function snappySize(data: Buffer): number {
  if (!data.subarray(0, xerial.length).equals(xerial)) return saidAt(data, 0);
  let size = 0;
  for (let at = xerialHead; at < data.length; at += 4 + data.readInt32BE(at)) {
    if (data.readInt32BE(at) <= 0) throw new Error("a batch whose Snappy is damaged");
    size += saidAt(data, at + 4);
  }
  return size;
}

/** The size at the beginning of a block: a varint of at most 32 bits. */
function saidAt(data: Buffer, from: number): number {
  let size = 0;
  for (let at = from; at < from + 5; at++) {
    const byte = data[at] ?? 0;
    size += (byte & 127) * 128 ** (at - from);
    if (byte < 128) break;
  }
  return size;
}

function lz4Size(data: Buffer): number {
  const flags = data[4] ?? 0;
  const checksumBytes = (flags & 0x10) === 0 ? 0 : 4;
  let at = 7 + ((flags & 8) === 0 ? 0 : 8) + ((flags & 1) === 0 ? 0 : 4);
  for (let size = 0; ; at += checksumBytes) {
    const head = data.readUInt32LE(at);
    if (head === 0 || size > unpackedBytesMax) return size;
    const length = head & 0x7fffffff;
    at += 4;
    // With its highest bit the block is as it was.
    size += head === length ? blockSize(data.subarray(at, at + length)) : length;
    at += length;
  }
}

/** Literals and repetitions by turns, each with its length. */
function blockSize(block: Buffer): number {
  let [at, size] = [0, 0];
  const lengthFrom = (nibble: number) => {
    let length = nibble;
    if (nibble === 15) for (let byte = 255; byte === 255; length += byte) byte = block[at++] ?? 0;
    return length;
  };
  while (at < block.length) {
    const token = block[at++] ?? 0;
    const literals = lengthFrom(token >> 4);
    at += literals;
    size += literals;
    if (at >= block.length) break;
    at += 2;
    size += lengthFrom(token & 15) + 4;
  }
  return size;
}
