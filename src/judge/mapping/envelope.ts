/**
 * The canonical envelope, in which a mapped message is stored, so that spool, tables and sinks need not know about
 * mappings. `ts` is ISO 8601, `seq` and `metrics` are as in our own messages, and `raw` is what the device sent.
 *
 * While an entry waits on disk to be judged, what the device sent is always its last member, because a reject keeps
 * what was sent: `_raw_kept` becomes `raw` in the event, `_raw` is removed (`raw = false`).
 */
import { rawJson } from "../../core/text/json-digits.ts";
import { endOfString, endOfValue, skipBlank } from "../../core/text/json-scan.ts";
import { wrapRaw } from "../scrub.ts";
import { isUsual, type Instant } from "../timestamp.ts";
import type { Gathered } from "./gather.ts";

interface Reading {
  /** The time as the device wrote it. */
  readonly ts: unknown;
  /** The same, parsed; null if the device gave no time. */
  readonly time: Instant | null;
  readonly seq: number | null;
  readonly metrics: Gathered["metrics"];
}

export function envelopeOf({ ts: said, time, seq, metrics }: Reading): string {
  const ts = time === null ? "" : `"ts":"${isUsual(said) ? said : isoOf(time)}",`;
  return `{${ts}${seq === null ? "" : `"seq":${seq},`}"metrics":${jsonOf(metrics)}}`;
}

/** @param raw one JSON value */
export function withRaw(envelope: string, raw: string): string {
  return withLast(envelope, "raw", raw);
}

/** The envelope of an entry that waits to be judged. `keepsRaw`: `text` already holds what the device sent. */
export function whileDeferred(text: string, raw: string, keepsRaw: boolean): string {
  return keepsRaw
    ? withLast(`${text.slice(0, -raw.length - lastBytes)}}`, kept, raw)
    : withLast(text, dropped, raw);
}

const [kept, dropped] = ["_raw_kept", "_raw"];
/** The length of `,"raw":` and of the brace at the end. */
const lastBytes = 8;

function withLast(envelope: string, key: string, raw: string): string {
  return `${envelope.slice(0, -1)},"${key}":${raw}}`;
}

/** Takes apart what `whileDeferred` put together: the event's text, and what the device sent. */
export function keptOf(payload: string): { readonly text: string; readonly raw: string | null } {
  for (let at = skipBlank(payload, 1); at < payload.length;) {
    const end = endOfString(payload, at);
    const key = payload.slice(at + 1, end - 1);
    const from = skipBlank(payload, skipBlank(payload, end) + 1);
    const to = endOfValue(payload, from);
    const raw = payload.slice(from, to);
    const envelope = `${payload.slice(0, Math.max(at - 1, 1))}}`;
    if (key === kept) return { text: withRaw(envelope, raw), raw };
    if (key === dropped) return { text: envelope, raw };
    at = skipBlank(payload, skipBlank(payload, to) + 1);
  }
  return { text: payload, raw: null };
}

/**
 * What the device sent, in the form that a reject keeps: an object as it is, everything else as text from which the
 * same can be read again.
 */
export function forReplay(raw: string): string {
  if (raw.startsWith("{")) return raw;
  return wrapRaw(raw.startsWith('"') ? String(JSON.parse(raw)) : raw);
}

/** JSON in which whole numbers beyond 2^53 have all their digits. */
export function jsonOf(value: unknown): string {
  try {
    // Without a replacer this is ten times as fast, and throws at a bigint.
    return JSON.stringify(value);
  } catch {
    return JSON.stringify(value, exact);
  }
}

function exact(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? rawJson(String(value)) : value;
}

function isoOf({ ms, ns }: Instant): string {
  const text = new Date(ms).toISOString();
  return ns === 0 ? text : `${text.slice(0, -1)}${String(ns).padStart(6, "0")}Z`;
}
