/**
 * A candidate: a message on its way through the judge, and the entry that is made from it.
 *
 * It is one object that the stages fill in, so that a reject carries all that was known by then, and the usual
 * message costs one allocation. It holds the token; `toEvent`, `toDeferred` and `toReject` are the only ways out, and blank it.
 */
import type { DeviceId } from "../core/device.ts";
import type { Deferred, Entry, Event, Kind, Reject } from "../core/entry.ts";
import type { Message, MessageAddress } from "../core/message.ts";
import { tokenOf } from "./authorize.ts";
import { isObject } from "../core/text/is-object.ts";
import { ownText } from "../core/text/own-text.ts";
import { redact, secretsIn } from "./redact.ts";
import { mayNameSecret } from "./secret-names.ts";
import { forReplay, keptOf, whileDeferred } from "./mapping/envelope.ts";
import { hide, namedIn, wrapRaw, unwrapRaw, readable } from "./scrub.ts";
import type { Proof } from "./mapping/spec.ts";
import { Address, addresses } from "../core/address.ts";
import { addressFor, addressIn, storableTopic } from "./topic.ts";
import { isRejection, type Rejection } from "./verdict.ts";

type Arrival = Pick<
  Message,
  | "receivedMs"
  | "topic"
  | "address"
  | "payload"
  | "wholeBytes"
  | "retained"
  | "tokenHash"
  | "speaker"
  | "isJudged"
>;

export interface Candidate {
  readonly receivedMs: number;
  readonly topic: string;
  bytes: Uint8Array;
  readonly speaker: DeviceId | null | undefined;
  /** The payload's length as it was sent; more than `bytes` has if it was cut. */
  readonly wholeBytes: number;
  /** The payload has more bytes than are allowed: only its beginning is kept. */
  isOversize: boolean;
  /** The broker had retained the message: see `Message.retained`. */
  readonly isRetained: boolean;
  /** The message was judged before it came: see `Message.isJudged`. */
  readonly isJudged: boolean;
  /** The sender, if the message's source named it; undefined if the topic names it. */
  readonly given: MessageAddress | undefined;
  address: Address | null;
  /** Set once the payload is known to be a JSON object that can be stored. */
  text: string | null;
  /** The same as it is kept, its token blanked; null until that is asked for, unless its form told (forms.ts). */
  line: string | null;
  /** Of what form `line` is; see `Entry.form`. */
  form: number | undefined;
  /** Of a mapped message: what the device sent, as one JSON value, which a reject keeps. null if `text` is that. */
  raw: string | null;
  /** It goes on with the event, within `text`. */
  keepsRaw: boolean;
  /** What a mapping asks for instead of a token in the message. */
  proof: Proof;
  /** Of a message that makes several events: the devices that were already charged for it. */
  charged: Set<string> | null;
  token: string | undefined;
  /** The hash of a token of which only the hash is known: shown beside the payload, or kept in the spool. */
  tokenHash: string | null;
  siteId: string | null;
  /** False: the moment of arrival is no real time, for the host's clock was not set then. */
  isTimeKnown: boolean;
  /** null after examination: the event time is the moment of arrival, and that is not known. */
  eventMs: number | null;
  eventNs: number;
  /** A remark on a message that is accepted all the same; see metrics.ts. */
  remark: string | null;
}

/** In place of a token's hash: the site's broker, or CONNECT, vouched for the device. */
const provedElsewhere = "proved";
/** How much is kept of a payload that is too large. */
const headBytes = 1024;
/** How much of a payload that is no JSON object is searched for secrets that may stand in its topic too. */
const searchedBytes = 8_192;
/**
 * Length of a reject's topic, in UTF-16 units: longer than any topic that names a device, so that a cut topic never
 * names one.
 */
const topicCharsMax = 2_048;
/** Length of a reject's site, in UTF-16 units. */
const siteCharsMax = 512;
/** Length of a detail, in UTF-16 units. */
const detailCharsMax = 200;

const nowhere = new Address("", "", "", "", false);
const utf8 = new TextEncoder();

export function candidateOf(message: Arrival): Candidate {
  const {
    receivedMs,
    topic,
    address: given,
    payload,
    wholeBytes,
    retained,
    tokenHash = null,
    speaker,
  } = message;
  return {
    receivedMs,
    topic,
    given,
    bytes: payload,
    speaker,
    wholeBytes: wholeBytes ?? payload.length,
    isOversize: false,
    isRetained: retained,
    isJudged: message.isJudged ?? false,
    address: null,
    text: null,
    line: null,
    form: undefined,
    raw: null,
    keepsRaw: false,
    proof: "token",
    charged: null,
    token: undefined,
    tokenHash,
    siteId: null,
    isTimeKnown: true,
    eventMs: null,
    eventNs: 0,
    remark: null,
  };
}

/** A candidate from a deferred entry: its payload was read before, and its token is known only by its hash. */
export function fromSpool(entry: Deferred): Candidate {
  const { receivedMs, topic, payload, siteId, eventMs, eventNs, tokenHash, detail } = entry;
  const candidate = candidateOf({ receivedMs, topic, payload: utf8.encode(payload), retained: false });
  const own = addressIn({ topic });
  candidate.address = isRejection(own) ? namedBy(entry) : own;
  const known = isRejection(own) ? keptOf(payload) : { text: payload, raw: null };
  const proof = tokenHash === provedElsewhere ? "broker" : "token";
  return Object.assign(candidate, known, { tokenHash, siteId, eventMs, eventNs, proof, remark: detail });
}

/** A candidate from a kept reject, judged from the first stage on. */
export function fromReject(entry: Reject): Candidate {
  const { receivedMs, topic, payload, reason } = entry;
  const retained = reason === "RETAINED_WITHOUT_TIME";
  const address = namedBy(entry) ?? undefined;
  const { text, wholeBytes } = unwrapRaw(payload);
  // A beginning stays shorter than the whole, though as text it may be longer than all that was sent: what is no UTF-8 grows.
  const kept = utf8.encode(text).subarray(0, (wholeBytes ?? Infinity) - 1);
  // Who proved itself at CONNECT is not kept, so that it is whom the reject names.
  return candidateOf({ receivedMs, topic, address, payload: kept, wholeBytes, retained, speaker: address });
}

/** Who spoke, of a topic that is not in our form: the source or a mapping named the device when the message came. null: nobody did. */
function namedBy({ topic, tenantId, deviceId, msgType }: Deferred | Reject): Address | null {
  return tenantId === null
    ? null
    : addressFor(topic, { tenantId, deviceId: deviceId ?? "", msgType: msgType ?? "" });
}

/** The candidate's address; its parts are empty strings if the topic names no device. */
export function addressOf(candidate: Candidate): Address {
  return candidate.address ?? nowhere;
}

/** True if the very device of the topic proved itself at CONNECT. */
export function isSpeaker({ speaker, address }: Candidate): boolean {
  if (speaker === null || speaker === undefined) return false;
  return speaker.tenantId === address?.tenantId && speaker.deviceId === address.deviceId;
}

export function toEvent(candidate: Candidate): Event {
  if (candidate.address !== null) candidate.address = addresses.keep(candidate.address);
  return remarked(
    candidate,
    toEntry(
      candidate,
      "event",
      null,
      candidate.line ?? redact(candidate.text ?? "", candidate.token),
      null,
    ) as Event,
  );
}

/** Keeps the topic unchanged, even if it holds the token: without the topic the message could not be judged later. */
export function toDeferred(candidate: Candidate, why: Rejection, tokenHash: string | null): Deferred {
  const text =
    candidate.raw === null
      ? (candidate.text ?? "")
      : whileDeferred(candidate.text ?? "{}", candidate.raw, candidate.keepsRaw);
  const hash = candidate.proof === "token" ? tokenHash : provedElsewhere;
  const payload = redact(text, candidate.token);
  const entry = remarked(candidate, toEntry(candidate, "deferred", why, payload, hash) as Deferred);
  return entry.siteId === null ? entry : { ...entry, siteId: hide(entry.siteId, secretsOf(candidate)) };
}

function remarked<E extends Entry>(candidate: Candidate, entry: E): E {
  const { remark } = candidate;
  return remark === null ? entry : { ...entry, detail: detailOf(remark, candidate) };
}

/** Makes the reject: with its payload if `keeps`, else with "". */
export function toReject(candidate: Candidate, why: Rejection, keeps: boolean, mirror: boolean): Reject {
  const made = toEntry(candidate, "reject", why, keeps ? payloadOf(candidate) : "", null) as Reject;
  const entry: Reject = mirror ? { ...made, mirror: true } : made;
  const secrets = secretsOf(candidate);
  const shown = cut(hide(entry.topic, secrets), topicCharsMax);
  const siteId = candidate.siteId === null ? null : cut(hide(candidate.siteId, secrets), siteCharsMax);
  if (shown === entry.topic && siteId === candidate.siteId) return entry;
  const hidden = (text: string | null) => (text === null ? null : hide(text, secrets));
  return {
    ...entry,
    topic: shown,
    tenantId: hidden(entry.tenantId),
    deviceId: hidden(entry.deviceId),
    msgType: hidden(entry.msgType),
    siteId,
  };
}

/**
 * Cuts a topic or a site, which may be as long as a packet allows, since a reject is kept in memory and on disk like
 * any entry. Returns a copy: a slice would keep the whole string in memory.
 */
function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${ownText(text.slice(0, charsMax))}…`;
}

function payloadOf(candidate: Candidate): string {
  if (candidate.raw !== null) return forReplay(redact(candidate.raw, candidate.token, mayNameSecret));
  if (candidate.text !== null) return redact(candidate.text, candidate.token, mayNameSecret);
  if (candidate.isOversize) return headOf(candidate);
  return wrapRaw(blankedIfJson(readable(candidate.bytes)));
}

/** With the full length only if there was more: what is marked so is too large for good. */
function headOf({ bytes, wholeBytes }: Candidate): string {
  const head = bytes.subarray(0, headBytes);
  return wrapRaw(readable(head), head.length < wholeBytes ? wholeBytes : undefined);
}

/** Blanks secrets in a payload that is JSON but cannot be stored as JSON (U+0000, no object). */
function blankedIfJson(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    return redact(text, isObject(body) ? tokenOf(body) : undefined, mayNameSecret);
  } catch {
    return text;
  }
}

/** The secrets of a candidate, which must not be shown. */
function secretsOf({ text, raw, token, bytes }: Candidate): readonly string[] {
  if (raw !== null) return secretsIn(raw, token);
  return text === null ? namedIn(readable(bytes.subarray(0, searchedBytes))) : secretsIn(text, token);
}

/** One place that makes the record, so that all entries are of one shape; who calls knows what its kind has. */
function toEntry(
  candidate: Candidate,
  kind: Kind,
  why: Rejection | null,
  payload: string,
  tokenHash: string | null,
): Entry {
  const { address } = candidate;
  return {
    seq: 0,
    kind,
    receivedMs: candidate.receivedMs,
    topic: address?.topic ?? storableTopic(candidate.topic),
    tenantId: address === null ? null : address.tenantId,
    deviceId: address === null ? null : address.deviceId,
    msgType: address === null ? null : address.msgType,
    siteId: candidate.siteId,
    eventMs: candidate.eventMs,
    eventNs: candidate.eventNs,
    reason: why === null ? null : why.code,
    detail: why === null || why.detail === null ? null : detailOf(why.detail, candidate),
    payload,
    bytes: 0,
    tokenHash,
    returned: null,
    address: kind === "event" && address !== null ? address : undefined,
    form: kind === "event" ? candidate.form : undefined,
  } as Entry;
}

/** The detail with its secrets blanked first and cut afterwards: half a token could not be found. */
function detailOf(detail: string, candidate: Candidate): string {
  const shown = hide(detail, secretsOf(candidate));
  return shown.length <= detailCharsMax ? shown : `${shown.slice(0, detailCharsMax).toWellFormed()}…`;
}
