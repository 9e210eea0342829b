/**
 * What a gateway still has of the events that it took: the spool those that some sink has yet to take, the tables the others.
 * For a sink whose downstream system can lose its memory (Redis) and is filled again from here, and for the look-up of latest values.
 */
import type { DeviceId } from "./device.ts";
import type { Entry, Event } from "./entry.ts";

/** The spool, as far as it may be read beside its drains. */
export interface HeldEntries {
  /** The last seq. */
  readonly head: number;
  /** Entries from `seq` on, or from the oldest held: at least one if there is one. */
  read(seq: number): readonly Entry[];
}

export interface SeenDevice extends DeviceId {
  /** Wall clock when it was last heard. */
  readonly seenMs: number;
}

/** raw_events, also as another service wrote it. */
export interface EventTable {
  /** Events that arrived since, the newest first, a page at a time; their `seq` is 0. Rejects while the table cannot be read. */
  recent(sinceMs: number): AsyncIterable<readonly Event[]>;
  /** What is told by an index on device and arrival; undefined while there is none, as in tables of existing deployments. */
  indexed(): Promise<IndexedEvents | undefined>;
  /** Creates that index. @returns what was done, one sentence; nothing if it was there */
  createIndex(): Promise<string[]>;
}

export interface IndexedEvents {
  /** The newest events of each of these devices, at most `each`, that arrived since. */
  newestOf(ids: readonly DeviceId[], sinceMs: number, each: number): Promise<readonly Event[]>;
  /** Registered devices that were heard since, the last heard first, then by name; those behind `after`. */
  lastSeen(query: {
    readonly tenantId: string | undefined;
    readonly sinceMs: number;
    readonly after: SeenDevice | undefined;
    readonly limit: number;
  }): Promise<readonly SeenDevice[]>;
}

/** A row of raw_events; times in µs since the epoch. */
export interface EventRow {
  readonly id: number;
  readonly ingestedMicros: number;
  readonly eventMicros: number | null;
  readonly topic: string;
  readonly tenantId: string;
  readonly siteId: string | null;
  readonly deviceId: string;
  readonly msgType: string | null;
  /** JSON as text. */
  readonly payload: string;
}

/** As the entry that became this row, as far as the row tells. */
export function entryOfRow(row: EventRow): Event {
  const { ingestedMicros, topic, tenantId, deviceId, payload } = row;
  const { siteId, msgType, eventMicros } = row;
  const micros = eventMicros ?? ingestedMicros;
  const eventMs = Math.floor(micros / 1000);
  return {
    seq: 0,
    kind: "event",
    receivedMs: Math.floor(ingestedMicros / 1000),
    topic,
    tenantId,
    siteId: siteId ?? "",
    deviceId,
    msgType: msgType ?? "",
    eventMs,
    eventNs: Math.round((micros - eventMs * 1000) * 1000),
    reason: null,
    detail: null,
    payload,
    tokenHash: null,
    returned: null,
  };
}
