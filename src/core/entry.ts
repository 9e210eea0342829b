/**
 * An entry: what became of one message, as the spool keeps it and the sinks read it.
 *
 * Plain data of one shape (monomorphic on the hot path), of eighteen fields: with one more the engine gives it 64 bytes more. The payload
 * is text, not a parsed object: PostgreSQL gets the device's own digits (1.0 stays 1.0, 2^60 keeps its digits) and only a sink that needs
 * the parts parses them.
 */

import type { Address } from "./address.ts";

/** What an operator replays: a dead letter, or a kept reject that the judge lets in now. */
export interface Returned {
  /** The one sink that it is for; the others ignore it. null: it is for all. */
  readonly target: string | null;
  /** The row of quarantine_events in whose place it comes: that row goes in the transaction that stores this. null: none. */
  readonly quarantineId: number | null;
}

/** What became of a message: one record with these members in this order, whatever the kind. */
export type Entry = Event | Reject | Deferred;

export type Kind = Entry["kind"];

/** Accepted. */
export interface Event extends Common, Speaker {
  readonly kind: "event";
  readonly siteId: string;
  readonly eventMs: number;
  readonly reason: null;
  readonly tokenHash: null;
}

/** The judge said no. */
export interface Reject extends Common {
  readonly kind: "reject";
  /** null if it could not be read who speaks. */
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly msgType: string | null;
  /** From the payload; null if it has none. */
  readonly siteId: string | null;
  /** null if it could not be read. */
  readonly eventMs: number | null;
  /** Its code; see judge/reasons.ts. */
  readonly reason: string;
  readonly tokenHash: null;
}

/** Durable and acknowledged, and still to be judged: then it is appended anew, as an event or a reject. */
export interface Deferred extends Common, Speaker {
  readonly kind: "deferred";
  readonly siteId: string | null;
  /** null while nobody knows the time. */
  readonly eventMs: number | null;
  /** Its device could not be looked up (REGISTRY_UNAVAILABLE), or nobody knows the time (CLOCK_NOT_SET). */
  readonly reason: string;
  /** Lower-case hex SHA-256 of the token that it presented, so that it can be judged later; null if it had none. */
  readonly tokenHash: string | null;
}

/** From the topic, or as the source said. */
interface Speaker {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly msgType: string;
}

interface Common {
  /** Position in the spool, from 1, without holes; 0 until the spool has appended it. */
  seq: number;
  /** Wall clock at arrival, ms since the epoch. */
  readonly receivedMs: number;
  readonly topic: string;
  /** Nanoseconds within the ms of the event time (`eventMs`, whole ms since the epoch): 0…999999. */
  readonly eventNs: number;
  /**
   * What exactly was wrong, for people; null if the code says it all. Of an event: that it is telemetry without metrics
   * (TELEMETRY_WITHOUT_METRICS), else null. Never holds a token.
   */
  readonly detail: string | null;
  /**
   * The payload as one line of valid JSON, tokens blanked. "" if a reject is counted but not kept (see
   * STORE_REJECTS). What was not JSON is kept as {"_raw": "…"}.
   */
  readonly payload: string;
  /** Of the payload, in UTF-8; 0 or absent until the spool has written it, which counts them on the way. */
  bytes?: number;
  /** Also write this reject into raw_events with accepted = false (MIRROR_REJECTS_TO_RAW); all others have no such field. */
  readonly mirror?: true | undefined;
  /** null for what came in by itself. */
  readonly returned: Returned | null;
  /** Of an event, if it is at hand: who speaks, with what is kept of that. Everything in it stands in the entry, too. */
  readonly address?: Address | undefined;
  /**
   * Of an event, if it is at hand: the payloads of one number have their values in the same places, and all else is alike. A number there
   * has no exponent, a string no escape and no control character; nor is there a backslash, a tab or an end of a line anywhere else.
   */
  readonly form?: number | undefined;
}

/** In UTF-8, as bounds in bytes count it: the length of a string counts a Chinese character, of three bytes, as one. */
export function payloadBytes({ bytes = 0, payload }: Entry): number {
  return bytes > 0 ? bytes : Buffer.byteLength(payload);
}

/** What is deferred is for no sink: it comes again as an event or a reject. What is replayed may be for one sink alone. */
export function isFor(sink: string, { kind, returned }: Entry): boolean {
  return kind !== "deferred" && (returned === null || returned.target === null || returned.target === sink);
}

/** What an event's payload holds for a time-series store. Entries are valid by construction: this cannot fail on an event. */
export interface Telemetry {
  readonly seq: number | undefined;
  readonly metrics: Readonly<Record<string, number | boolean | string | null>>;
}

export function telemetryOf({ payload }: Pick<Entry, "payload">): Telemetry {
  const { seq, metrics } = JSON.parse(payload) as {
    seq?: number | null;
    metrics?: Telemetry["metrics"] | null;
  };
  return { seq: seq ?? undefined, metrics: metrics ?? {} };
}

/** Event time in nanoseconds since the epoch as decimal digits, as line protocol wants it. */
export function nanoseconds(ms: number, ns: number): string {
  return ms > 0 ? `${ms}${String(ns).padStart(6, "0")}` : String(BigInt(ms) * 1_000_000n + BigInt(ns));
}
