/**
 * Reads what a Fetch brought: batches of records, of which those of aborted transactions and the marks of transactions are left out.
 *
 * Keys and values are bytes of the answer, not text: a device's payload is judged as it was sent. The client's own reader makes text of
 * them, and an offset a bigint per record.
 */
import { at, transactional } from "./batch.ts";
import { crc32c } from "./crc32c.ts";
import type { Fetched, Place } from "./requests.ts";
import { unpacked } from "./unpack.ts";

export interface ReadRecord {
  readonly offset: number;
  /** As its writer or the broker has it, in ms. */
  readonly timeMs: number;
  /** Of the leader that wrote it; −1: not known. */
  readonly epoch: number;
  readonly key: Buffer | null;
  /** null: a tombstone. */
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, string> | undefined;
}

/** Of one answer, and of one partition in it. */
export const fetchBytesMax = 4 * 1024 * 1024;

const codecMask = 0x07;
const control = 0x20;
/** Type of a control record that says "aborted". */
const abortMark = 0;

/** For what one answer holds once it is unpacked, which may be a hundred times what came: the rest of it comes again. */
export interface Room {
  /** In bytes; the batch that takes the last of them is read whole. */
  left: number;
  wasShort: boolean;
}

/** As much as an answer brings that is not compressed. */
export const createRoom = (): Room => ({ left: fetchBytesMax, wasShort: false });

/**
 * Gives the records from `from` on to `take`, in order.
 * @returns where to go on: behind all whole batches for which there was room, and the leader of the last of them
 * @throws if a batch is damaged or of a codec that is not known
 */
export async function readRecords(
  fetched: Fetched,
  { offset: from, epoch: before }: Place,
  take: (record: ReadRecord) => void,
  room = createRoom(),
): Promise<Place> {
  const { records: bytes } = fetched;
  const aborted = [...fetched.aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  const leftOut = new Set<bigint>();
  let [next, epoch] = [from, before];
  for (let begin = 0; begin + at.records <= bytes.length;) {
    const end = begin + at.leaderEpoch + bytes.readInt32BE(begin + at.length);
    // The last may be cut off: it comes whole with the next request.
    if (end > bytes.length) break;
    const batch = bytes.subarray(begin, Math.max(end, begin + at.records));
    begin = end;
    const base = Number(batch.readBigInt64BE(0));
    check(batch, fetched, base);
    const attributes = batch.readInt16BE(at.attributes);
    const last = base + batch.readInt32BE(at.lastOffset);
    const producerId = batch.readBigInt64BE(at.producerId);
    while (aborted[0] !== undefined && aborted[0].firstOffset <= last)
      leftOut.add(aborted.shift()?.producerId ?? -1n);
    const isControl = (attributes & control) !== 0;
    if (isControl && isAbort(batch)) leftOut.delete(producerId);
    const isAborted = (attributes & transactional) !== 0 && leftOut.has(producerId);
    const isGiven = !isControl && !isAborted;
    // Marks are read all the same: whoever handed on the last record before one says that all up to there is read.
    if (isGiven && room.left <= 0) {
      room.wasShort = true;
      break;
    }
    epoch = batch.readInt32BE(at.leaderEpoch);
    if (isGiven) {
      const records = await unpacked(batch.subarray(at.records), attributes & codecMask);
      room.left -= records.length;
      const count = batch.readInt32BE(at.count);
      const time = Number(batch.readBigInt64BE(at.firstTime));
      readBatch(records, { base, count, from, time, epoch }, take);
    }
    next = Math.max(next, last + 1);
  }
  return { offset: next, epoch };
}

function check(batch: Buffer, { topic, partition }: Fetched, base: number): void {
  const where = `${topic}, partition ${partition}, offset ${base}`;
  if (batch.readInt8(at.magic) !== 2)
    throw new Error(
      `a batch of the format before Kafka 0.11 at ${where}: let the topic's message.format.version be newer, and remove such batches by kafka-delete-records.sh`,
    );
  if (crc32c(batch, at.attributes, batch.length) !== batch.readUInt32BE(at.crc))
    throw new Error(`a batch that is damaged (CRC) at ${where}`);
}

/** A control batch holds one record, whose key is version and type; in a topic that was compacted, it may have lost that. */
function isAbort(batch: Buffer): boolean {
  let isIt = false;
  const count = batch.readInt32BE(at.count);
  readBatch(batch.subarray(at.records), { base: 0, count, from: 0, time: 0, epoch: -1 }, ({ key }) => {
    isIt = key !== null && key.length >= 4 && key.readInt16BE(2) === abortMark;
  });
  return isIt;
}

interface Of {
  readonly base: number;
  readonly count: number;
  readonly from: number;
  readonly time: number;
  readonly epoch: number;
}

function readBatch(
  records: Buffer,
  { base, count, from, time, epoch }: Of,
  take: (record: ReadRecord) => void,
): void {
  const reader = new Reader(records);
  for (let left = count; left > 0; left--) {
    const length = reader.varint();
    const end = reader.at + length;
    reader.at += 1;
    const timeMs = time + reader.varlong();
    const offset = base + reader.varint();
    if (offset >= from)
      take({ offset, timeMs, epoch, key: reader.bytes(), value: reader.bytes(), headers: reader.headers() });
    reader.at = end;
  }
}

class Reader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Zigzag, at most 32 bits. */
  varint(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw new Error("a record is cut off");
      value |= (byte & 127) << shift;
      if (byte < 128) break;
      shift += 7;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** Zigzag, of 64 bits: exact as far as a number is. */
  varlong(): number {
    let value = 0;
    let place = 1;
    for (;;) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw new Error("a record is cut off");
      value += (byte & 127) * place;
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      place *= 128;
    }
  }

  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const from = this.at;
    this.at += length;
    return this.#bytes.subarray(from, this.at);
  }

  headers(): ReadonlyMap<string, string> | undefined {
    const count = this.varint();
    if (count <= 0) return undefined;
    const headers = new Map<string, string>();
    for (let i = 0; i < count; i++) {
      const name = this.bytes()?.toString() ?? "";
      headers.set(name, this.bytes()?.toString() ?? "");
    }
    return headers;
  }
}
