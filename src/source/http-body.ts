/**
 * The body of a request, within a bound however it was packed, and the messages in a batch, byte for byte as they were sent: a number
 * keeps all of its digits, which JSON.parse and JSON.stringify would not leave it.
 */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { Refused } from "./http-answers.ts";

/** Bytes that all requests hold together. */
export interface Room {
  /** false: there is no room for so many more. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

export function createRoom(bytesMax: number): Room {
  let taken = 0;
  return {
    take(bytes) {
      if (taken + bytes > bytesMax) return false;
      taken += bytes;
      return true;
    },
    giveBack: (bytes) => void (taken -= bytes),
  };
}

const unpackers: Readonly<Record<string, (bytes: Buffer, bytesMax: number) => Promise<Buffer>>> = {
  gzip: (bytes, maxOutputLength) => unpackGzip(bytes, { maxOutputLength }),
  zstd: (bytes, maxOutputLength) => unpackZstd(bytes, { maxOutputLength }),
  identity: (bytes) => Promise.resolve(bytes),
};
const unpackGzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);
const unpackZstd = promisify<Buffer, { maxOutputLength: number }, Buffer>(zstdDecompress);

/**
 * @param hold is told of bytes before they are kept; false refuses them
 * @throws Refused: too large, packed in a way we do not know, cut short, no room
 */
export async function readBody(
  request: IncomingMessage,
  bytesMax: number,
  hold: (bytes: number) => boolean,
): Promise<Buffer> {
  const packing = request.headers["content-encoding"] ?? "identity";
  const unpack = Object.hasOwn(unpackers, packing) ? unpackers[packing] : undefined;
  if (unpack === undefined) throw new Refused(415, "Content-Encoding must be gzip, zstd or absent");
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    if (!hold(chunk.length)) throw noRoom();
    chunks.push(chunk);
  }
  const bytes = await unpack(Buffer.concat(chunks, length), bytesMax).catch((error: unknown) => {
    throw Object(error)["code"] === "ERR_BUFFER_TOO_LARGE"
      ? tooLarge(bytesMax)
      : new Refused(400, "the body cannot be unpacked: it is not what Content-Encoding says");
  });
  if (!hold(Math.max(0, bytes.length - length))) throw noRoom();
  return bytes;
}

const tooLarge = (bytesMax: number) =>
  new Refused(413, `the body has more than ${bytesMax} bytes (INGEST_MAX_BODY_BYTES)`);
const noRoom = () => new Refused(429, "too much is on its way at once; try again in a second", 1);

/** A message of a batch. */
export interface Item {
  /** Of the object as it was sent. */
  readonly bytes: Buffer;
  readonly body: Readonly<Record<string, unknown>>;
}

const itemsMax = 10_000;

/** @throws Refused naming the first item that is no JSON object; nothing of such a batch is taken */
export function itemsOf(body: Buffer): Item[] {
  const isArray = body[firstByteOf(body)] === bracketOpen;
  const parts = isArray ? elementsOf(body) : linesOf(body);
  if (parts.length === 0) throw new Refused(400, "the batch is empty");
  if (parts.length > itemsMax) throw new Refused(413, `a batch has at most ${itemsMax} messages`);
  return parts.map((bytes, at) => ({
    bytes,
    body: objectIn(bytes, `${isArray ? "item" : "line"} ${at + 1}`),
  }));
}

function objectIn(bytes: Buffer, name: string): Item["body"] {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString());
  } catch {
    throw new Refused(400, `${name} of the batch is not JSON; none of it was taken`);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new Refused(400, `${name} of the batch is not a JSON object; none of it was taken`);
  return body as Item["body"];
}

const [newline, quote, backslash, comma] = [0x0a, 0x22, 0x5c, 0x2c];
const [bracketOpen, bracketClose, braceOpen, braceClose] = [0x5b, 0x5d, 0x7b, 0x7d];
const isBlank = (byte: number | undefined) =>
  byte === 0x20 || byte === 0x09 || byte === newline || byte === 0x0d;

function firstByteOf(body: Buffer): number {
  let at = 0;
  while (isBlank(body[at])) at++;
  return at;
}

/** Lines that are not blank. */
function linesOf(body: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < body.length;) {
    const end = body.indexOf(newline, from);
    const line = trimmed(body.subarray(from, end === -1 ? body.length : end));
    if (line.length > 0) lines.push(line);
    from = end === -1 ? body.length : end + 1;
  }
  return lines;
}

/** What stands between the commas of the outermost array. Whether each is JSON is for JSON.parse to say. @throws Refused */
function elementsOf(body: Buffer): Buffer[] {
  const elements: Buffer[] = [];
  const start = firstByteOf(body) + 1;
  let depth = 0;
  let from = start;
  for (let at = start; at < body.length; at++) {
    const byte = body[at];
    if (byte === quote) at = endOfString(body, at);
    else if (byte === bracketOpen || byte === braceOpen) depth++;
    else if (byte === braceClose || (byte === bracketClose && depth > 0)) depth--;
    else if (depth === 0 && (byte === comma || byte === bracketClose)) {
      const element = trimmed(body.subarray(from, at));
      const isEmptyArray = byte === bracketClose && elements.length === 0 && element.length === 0;
      if (!isEmptyArray) elements.push(element);
      from = at + 1;
      if (byte === bracketClose) {
        if (trimmed(body.subarray(from)).length > 0) break;
        return elements;
      }
    }
  }
  throw new Refused(400, "the batch is neither a JSON array nor lines of JSON (NDJSON)");
}

function endOfString(body: Buffer, open: number): number {
  let at = open + 1;
  while (at < body.length && body[at] !== quote) at += body[at] === backslash ? 2 : 1;
  return at;
}

function trimmed(bytes: Buffer): Buffer {
  let [from, end] = [0, bytes.length];
  while (from < end && isBlank(bytes[from])) from++;
  while (end > from && isBlank(bytes[end - 1])) end--;
  return bytes.subarray(from, end);
}
