/**
 * Invariants of every entry that the judge makes, whatever the message was. Each check is written from the promises
 * (README.md, core/entry.ts) and independently of the code that keeps them; it returns what is broken, or null.
 */
import { type Entry, telemetryOf } from "../../src/core/entry.ts";
import { reasons } from "../../src/judge/reasons.ts";
import type { Generated } from "./generate.ts";

const codes = new Set(reasons.map(({ code }) => code));
const minMs = -9_223_372_036_854;
const maxMs = 9_223_372_036_853;
/** Shorter tokens would be found in innocent text and are blanked only where they are presented (redact.ts). */
const tokenCharsSearched = 8;

export function brokenPromise(entry: Entry, generated: Generated): string | null {
  return (
    kindFault(entry) ??
    textFault(entry) ??
    timeFault(entry) ??
    payloadFault(entry) ??
    tokenFault(entry, generated) ??
    eventFault(entry, generated)
  );
}

function kindFault({
  kind,
  reason,
  detail,
  tokenHash,
  mirror,
  siteId,
  tenantId,
  deviceId,
  msgType,
}: Entry): string | null {
  if (kind === "event") {
    if (reason !== null || mirror) return "an event with a reject's marks";
    if (detail !== null && !/^(no metrics|metrics holds no value)/.test(detail))
      return "an event with a detail that is no remark on its metrics";
    if (!siteId || !tenantId || !deviceId || !msgType) return "an event of nobody";
    if (/\p{Cc}/u.test(tenantId + deviceId + msgType)) return "a name with control characters";
  } else if (reason === null || !codes.has(reason)) return `the reason ${reason} is in no table`;
  if (reason === "JUDGE_FAULT") return `the judge failed: ${detail}`;
  if (kind === "deferred" && reason !== "REGISTRY_UNAVAILABLE" && reason !== "CLOCK_NOT_SET")
    return `deferred for ${reason}`;
  if (tokenHash !== null && (kind !== "deferred" || !/^[0-9a-f]{64}$/.test(tokenHash)))
    return "a token hash where none belongs";
  return null;
}

function textFault({ topic, tenantId, deviceId, msgType, siteId, detail }: Entry): string | null {
  for (const text of [topic, tenantId, deviceId, msgType, siteId, detail]) {
    if (text !== null && (!text.isWellFormed() || text.includes("\0")))
      return `text that no store holds: ${JSON.stringify(text)}`;
  }
  return detail !== null && detail.length > 201 ? "an endless detail" : null;
}

function timeFault({ kind, receivedMs, eventMs, eventNs }: Entry): string | null {
  if (!Number.isSafeInteger(receivedMs)) return "no time of arrival";
  if (!Number.isInteger(eventNs) || eventNs < 0 || eventNs > 999_999) return `${eventNs} ns`;
  if (eventMs === null) return kind === "event" ? "an event without a time" : null;
  return Number.isInteger(eventMs) && eventMs >= minMs && eventMs <= maxMs ? null : `event time ${eventMs}`;
}

function payloadFault({ kind, payload }: Entry): string | null {
  if (payload === "") return kind === "reject" ? null : `a ${kind} without payload`;
  if (/[\r\n\0]/.test(payload) || !payload.isWellFormed()) return "a payload that is not one line of text";
  try {
    const value: unknown = JSON.parse(payload);
    return typeof value === "object" && value !== null ? nakedToken(value) : "a payload that is no object";
  } catch {
    return "a payload that is not JSON";
  }
}

/** A member whose name names a secret has the value *** or one that cannot be a secret. */
function nakedToken(value: object): string | null {
  for (const [key, member] of Object.entries(value)) {
    const name = key.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
    const isSecret = /(?:token|password|secret|authorization)$/.test(name);
    const canBeOne = typeof member === "number" ? Number.isInteger(member) && member >= 100_000 : true;
    if (isSecret && canBeOne && member !== "***" && member !== null && typeof member !== "boolean")
      return "a token that is not blanked";
    const inside = typeof member === "object" && member !== null ? nakedToken(member) : null;
    if (inside !== null) return inside;
  }
  return null;
}

/**
 * A token that the registry issued is nowhere at all. A token that an operator made up is nowhere once it was
 * presented, except in a topic that must stay as it is: it may be the device's own name.
 */
function tokenFault(entry: Entry, { device: { token }, message, waited = false }: Generated): string | null {
  const issued = /^tok-[\w-]{32}$/.test(token);
  const isRead = entry.reason !== "PAYLOAD_TOO_LARGE" && presents(message.payload, token);
  if (!issued && (token.length < tokenCharsSearched || !isRead)) return null;
  const unread = entry.payload === "" || entry.payload.startsWith('{"_raw":');
  const keepsTopic = !issued && (waited || unread || entry.kind !== "reject");
  const names = keepsTopic ? [] : [entry.topic, entry.tenantId, entry.deviceId, entry.msgType];
  if ([entry.detail, entry.siteId, ...names].some((text) => text?.includes(token)))
    return "the token, beside the payload";
  if (entry.payload === "") return null;
  // Escapes could hide it, and so could the U+0000 of UTF-16.
  const value = JSON.stringify(JSON.parse(entry.payload));
  const plain = issued && message.payload.includes(0) ? value.replaceAll("\ufffd", "") : value;
  return [entry.payload, plain].some((text) => text.includes(token)) ? "the token, in the payload" : null;
}

function presents(payload: Uint8Array, token: string): boolean {
  try {
    return JSON.parse(new TextDecoder().decode(payload)).provision_token === token;
  } catch {
    return false;
  }
}

/** An event is what the device sent, except for the token. */
function eventFault(entry: Entry, { message }: Generated): string | null {
  if (entry.kind !== "event") return null;
  const { seq, metrics } = telemetryOf(entry);
  if (seq !== undefined && !Number.isSafeInteger(seq)) return `seq ${seq}`;
  for (const value of Object.values(metrics)) {
    if (typeof value === "number" ? !Number.isFinite(value) : typeof value === "object" && value !== null)
      return "a metric that is no value";
  }
  const said: unknown = JSON.parse(new TextDecoder().decode(message.payload));
  return same(said, JSON.parse(entry.payload)) ? null : "an event that is not what the device said";
}

function same(said: unknown, kept: unknown): boolean {
  if (typeof said !== "object" || said === null)
    return Object.is(said, kept) || (typeof kept === "string" && kept.includes("***"));
  if (typeof kept !== "object" || kept === null) return kept === "***";
  if (Array.isArray(said) !== Array.isArray(kept)) return false;
  const members = Object.entries(kept);
  const before = Object.entries(said);
  if (before.length !== members.length) return false;
  return before.every(([key, value], at) => {
    const [name = "", now] = members[at] ?? [];
    return (name === key || name.includes("***")) && same(value, now);
  });
}
