/**
 * The messages in a batch, byte for byte as they were sent: a number keeps all of its digits, which JSON.parse and JSON.stringify
 * would not leave it.
 *
 * They are found one after the other, and nothing is kept of one but its bytes and its names, so that a batch of a million empty
 * objects, or of one with a million in it, is refused before it becomes a million objects.
 */
import { isObject } from "../../core/text/is-object.ts";
import { parseNaming } from "../../core/text/json-digits.ts";
import { Refused } from "./answers.ts";

/** The names in a message of a batch, as far as it has them. */
export type Names = Readonly<Partial<Record<"tenant_id" | "device_id" | "msg_type", unknown>>>;

export interface Item {
  /** Of the object as it was sent. */
  readonly bytes: Buffer;
  readonly names: Names;
}

export const itemsMax = 10_000;

/** A message that is larger than is allowed is parsed up to this, for its names. */
const parsedBytesMax = 256 * 1024;

/**
 * An item that is no object, and a line that is not JSON, are messages like any other, and rejected by themselves. A batch of
 * nothing else is none, and neither is an array that is not JSON, whose items nobody can tell apart for sure.
 *
 * @param bytesMax what a message may have
 * @throws Refused: nothing of it is to be taken
 */
export function* itemsOf(body: Buffer, bytesMax: number): Generator<Item> {
  const start = firstByteOf(body);
  const isArray = body[start] === bracketOpen;
  let [count, objects] = [0, 0];
  for (const bytes of isArray ? elementsOf(body, start + 1) : linesOf(body, start)) {
    if (++count > itemsMax) throw tooMany();
    const isParsed = bytes.length <= Math.max(bytesMax, parsedBytesMax);
    const names = isParsed ? namesIn(bytes) : namesInHead(bytes);
    if (names === "not JSON" && isArray)
      throw new Refused(400, `item ${count} of the batch is not JSON; none of it was taken`);
    const hasNames = typeof names !== "string";
    if (hasNames) objects++;
    yield { bytes, names: hasNames ? names : namesInHead(bytes) };
  }
  if (count === 0) throw new Refused(400, "the batch is empty");
  if (objects > 0) return;
  const what = isArray ? "item" : "line";
  throw new Refused(400, `no ${what} of the batch is a JSON object; none of it was taken`);
}

const named = ["tenant_id", "device_id", "msg_type"];

function namesIn(bytes: Buffer): Names | "not JSON" | "no object" {
  let body: unknown;
  try {
    body = parseNaming(bytes.toString(), named);
  } catch {
    return "not JSON";
  }
  if (!isObject(body)) return "no object";
  const { tenant_id, device_id, msg_type } = body;
  return { tenant_id, device_id, msg_type };
}

const headBytes = 1024;
const pairs = /"(tenant_id|device_id|msg_type)"\s*:\s*"([^"\\]*)"/g;

/** Of a message that is rejected by its size or its form: whose it probably is. */
function namesInHead(bytes: Buffer): Names {
  const head = bytes.toString("utf8", 0, headBytes);
  return Object.fromEntries([...head.matchAll(pairs)].map(([, name = "", value]) => [name, value]));
}

const [newline, quote, backslash, comma] = [0x0a, 0x22, 0x5c, 0x2c];
const [bracketOpen, bracketClose, braceOpen, braceClose] = [0x5b, 0x5d, 0x7b, 0x7d];
const byteOrderMark = [0xef, 0xbb, 0xbf];
const isBlank = (byte: number | undefined) =>
  byte === 0x20 || byte === 0x09 || byte === newline || byte === 0x0d;

/** Behind a byte order mark, which may be passed over (RFC 8259, 8.1), as the judge does. */
function firstByteOf(body: Buffer): number {
  let at = byteOrderMark.every((byte, i) => body[i] === byte) ? byteOrderMark.length : 0;
  while (isBlank(body[at])) at++;
  return at;
}

const tooMany = () => new Refused(413, `a batch has at most ${itemsMax} messages`);

/** Lines that are not blank. Blank ones are few, too: a body of nothing else would take the thread for a second. */
function* linesOf(body: Buffer, start: number): Generator<Buffer> {
  let count = 0;
  for (let from = start; from < body.length;) {
    if (++count > 2 * itemsMax) throw tooMany();
    const end = body.indexOf(newline, from);
    const line = trimmed(body.subarray(from, end === -1 ? body.length : end));
    if (line.length > 0) yield line;
    from = end === -1 ? body.length : end + 1;
  }
}

/** What stands between the commas of the outermost array. Whether each is JSON is for JSON.parse to say. @throws Refused */
function* elementsOf(body: Buffer, start: number): Generator<Buffer> {
  let depth = 0;
  let from = start;
  for (let at = start; at < body.length; at++) {
    const byte = body[at];
    if (byte === quote) at = endOfString(body, at);
    else if (byte === bracketOpen || byte === braceOpen) depth++;
    else if (byte === braceClose || (byte === bracketClose && depth > 0)) depth--;
    else if (depth === 0 && (byte === comma || byte === bracketClose)) {
      const element = trimmed(body.subarray(from, at));
      const isEmptyArray = byte === bracketClose && from === start && element.length === 0;
      if (element.length > 0) yield element;
      else if (!isEmptyArray) break;
      from = at + 1;
      if (byte === bracketClose) {
        if (trimmed(body.subarray(from)).length > 0) break;
        return;
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
