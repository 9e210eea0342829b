/**
 * Stages "size" and "json": from the bytes on the wire to an object whose text any of our stores can hold.
 *
 * The size is checked first, on the bytes as they came: a payload that is too large is never parsed. (The earlier
 * services measured the payload after parsing it and writing it anew, so a message's fate depended on its spelling.)
 */
import { isObject } from "../core/text/is-object.ts";
import { parseExactly, parseNaming } from "../core/text/json-digits.ts";
import { integer } from "../core/settings.ts";
import { unstorable } from "./unstorable.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const sizeReasons = {
  PAYLOAD_TOO_LARGE: {
    help: "The payload has more bytes than MAX_PAYLOAD_BYTES.",
    remedy: "Send less in one message, or raise MAX_PAYLOAD_BYTES.",
  },
} as const satisfies Reasons;

export const jsonReasons = {
  MALFORMED_JSON: {
    help: "The payload is not JSON in UTF-8.",
    remedy: "Fix the device's encoder; NaN, Infinity, comments and trailing commas are not JSON.",
  },
  NOT_AN_OBJECT: {
    help: "The payload is JSON, but not an object.",
    remedy: "Send one JSON object per message.",
  },
  UNSTORABLE_TEXT: {
    help: "The payload is JSON that PostgreSQL cannot hold: it contains \\u0000, half a surrogate pair or too large a number, or is nested too deep.",
    remedy: "Fix the device's encoder; encode binary data as base64.",
  },
} as const satisfies Reasons;

export const sizeSettings = {
  payloadBytesMax: integer({
    name: "MAX_PAYLOAD_BYTES",
    default: 8192,
    min: 1,
    unit: "bytes",
    help: "A message with a larger payload is rejected as PAYLOAD_TOO_LARGE before it is parsed.",
  }),
};

export type Body = Readonly<Record<string, unknown>>;

export interface Decoded {
  /** The text as the device wrote it. */
  readonly text: string;
  readonly body: Body;
}

const strict = new TextDecoder("utf-8", { fatal: true });

/**
 * Rejects a payload of more than `bytesMax` bytes. `wholeBytes` is its length as it was sent: a payload that was cut
 * on the way is too large, even if the limit has been raised since.
 */
export function oversize(
  payload: Uint8Array,
  wholeBytes: number,
  bytesMax: number,
): Rejection<keyof typeof sizeReasons> | null {
  return wholeBytes > bytesMax || wholeBytes > payload.length
    ? rejection("PAYLOAD_TOO_LARGE", `${wholeBytes} bytes, ${bytesMax} are allowed`)
    : null;
}

/** What a mapping reads: any JSON value, with the digits of whole numbers beyond 2^53 (bigint); or text. */
export interface Loose {
  readonly text: string;
  readonly value: unknown;
}

/** `takesText`: what is no JSON is a value by itself. */
export function decodeAny(
  payload: Uint8Array,
  takesText: boolean,
): Loose | Rejection<keyof typeof jsonReasons> {
  const text = utf8Of(payload);
  if (text === null) return rejection("MALFORMED_JSON", "not UTF-8");
  let value: unknown;
  try {
    value = parseExactly(text);
  } catch {
    if (!takesText) return rejection("MALFORMED_JSON", text === "" ? "empty" : null);
    value = text;
  }
  const why = unstorable(typeof value === "string" ? JSON.stringify(value) : text);
  return why === null ? { text, value } : rejection("UNSTORABLE_TEXT", why);
}

/** null: the bytes are no UTF-8. */
export function utf8Of(payload: Uint8Array): string | null {
  try {
    return strict.decode(payload);
  } catch {
    return null;
  }
}

/** Decodes the payload; ignores a byte order mark at its start, as RFC 8259 §8.1 allows. */
export function decode(payload: Uint8Array): Decoded | Rejection<keyof typeof jsonReasons> {
  const text = utf8Of(payload);
  return text === null ? rejection("MALFORMED_JSON", "not UTF-8") : decodeText(text);
}

/** Numbers that the stages read by their digits: who it is, and when. */
const named = ["tenant_id", "device_id", "msg_type", "ts"];

export function decodeText(text: string): Decoded | Rejection<keyof typeof jsonReasons> {
  let body: unknown;
  try {
    body = parseNaming(text, named);
  } catch {
    // The parser's message is not used: it quotes the text, and with it perhaps a token.
    return rejection("MALFORMED_JSON", text === "" ? "empty" : null);
  }
  const why = unstorable(text);
  if (why !== null) return rejection("UNSTORABLE_TEXT", why);
  return isObject(body) ? { text, body } : rejection("NOT_AN_OBJECT");
}
