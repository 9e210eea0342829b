/**
 * An entry: what became of one message, as the spool keeps it and the sinks read it.
 *
 * Plain data of one shape (monomorphic on the hot path). The payload is text, not a parsed object: PostgreSQL gets
 * the device's own digits (1.0 stays 1.0, 2^60 keeps its digits) and only a sink that needs the parts parses them.
 */

/**
 * event: accepted. reject: the judge said no; `reason` says why. deferred: durable and acknowledged, but its device could not
 * be looked up (`REGISTRY_UNAVAILABLE`) or nobody knows the time (`CLOCK_NOT_SET`); it is judged again and then appended anew as
 * an event or a reject.
 */
export type Kind = "event" | "reject" | "deferred";

/** What an operator brought back: a dead letter, or a kept reject that the judge lets in now. */
export interface Returned {
  /** The one sink that it is for; the others ignore it. null: it is for all. */
  readonly only: string | null;
  /** The row of quarantine_events in whose place it comes: that row goes in the transaction that stores this. null: none. */
  readonly quarantineId: number | null;
}

export interface Entry {
  /** Position in the spool, from 1, without holes; 0 until the spool has appended it. */
  seq: number;
  readonly kind: Kind;
  /** Wall clock at arrival, ms since the epoch. */
  readonly receivedMs: number;
  readonly topic: string;
  /** From the topic; null where the topic has not the shape tenant/…/device/…/… */
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly msgType: string | null;
  /** From the payload; null where it has none. */
  readonly siteId: string | null;
  /** Event time: whole ms since the epoch, and the nanoseconds within that ms (0…999999). null where it could not be read, or (deferred) is not known yet. */
  readonly eventMs: number | null;
  readonly eventNs: number;
  /** Reject code (see judge/reasons.ts); null for an event. */
  readonly reason: string | null;
  /**
   * What exactly was wrong, for people; null where the code says it all. Of an event: that it is telemetry without metrics
   * (TELEMETRY_WITHOUT_METRICS), else null. Never holds a token.
   */
  readonly detail: string | null;
  /**
   * The payload as one line of valid JSON, tokens blanked. "" where a reject is counted but not kept (see
   * STORE_REJECTS). What was not JSON is kept as {"_raw": "…"}.
   */
  readonly payload: string;
  /** Also write this reject into raw_events with accepted = false (MIRROR_REJECTS_TO_RAW). */
  readonly mirror: boolean;
  /** Lower-case hex SHA-256 of the token a deferred message presented, so that it can be judged later; else null. */
  readonly tokenHash: string | null;
  /** null for what came in by itself. */
  readonly returned: Returned | null;
}

/** What is deferred is for no sink: it comes again as an event or a reject. What was brought back may be for one sink alone. */
export function isFor(sink: string, { kind, returned }: Entry): boolean {
  return kind !== "deferred" && (returned === null || returned.only === null || returned.only === sink);
}

/** What an event's payload holds for a time-series store. Entries are valid by construction: this cannot fail on an event. */
export interface Telemetry {
  readonly seq: number | undefined;
  readonly metrics: Readonly<Record<string, number | boolean | string | null>>;
}

export function telemetryOf(entry: Entry): Telemetry {
  const { seq, metrics } = JSON.parse(entry.payload) as {
    seq?: number | null;
    metrics?: Telemetry["metrics"] | null;
  };
  return { seq: seq ?? undefined, metrics: metrics ?? {} };
}

/** Event time in nanoseconds since the epoch as decimal digits, as line protocol wants it. */
export function nanoseconds(ms: number, ns: number): string {
  if (ms === 0) return String(ns);
  return ms > 0 ? `${ms}${String(ns).padStart(6, "0")}` : String(BigInt(ms) * 1_000_000n + BigInt(ns));
}
