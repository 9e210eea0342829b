/**
 * The look-up of the latest values: one interface, whether they are kept in Redis (redis/redis-latest.ts) or read from the tables
 * (admin/latest-of-tables.ts), and one contract suite over both. Every call rejects with LatestUnavailable if it cannot be answered:
 * nothing is left out without a word, so an empty answer means that there is nothing.
 */
import type { DeviceId } from "./device.ts";
import type { SeenDevice } from "./recent.ts";

/** Devices in one call. */
export const latestIdsMax = 1_000;

export interface LatestValue {
  readonly metric: string;
  /** As the device sent it, as JSON. */
  readonly json: string;
  /** Event time; not later than the arrival. */
  readonly timeMs: number;
}

export interface LatestDevice extends SeenDevice {
  readonly expiresMs: number;
  /** The names that readers of the keys in Redis know: last_updated, datatype_id, site_id, msg_type … */
  readonly metadata: Readonly<Record<string, string>>;
  readonly values: readonly LatestValue[];
}

export interface SeenQuery {
  /** Absent: all. */
  readonly tenantId?: string | undefined;
  /** Heard since then. */
  readonly sinceMs: number;
  /** The last device of the page before. */
  readonly after?: SeenDevice | undefined;
  readonly limit: number;
}

export interface SeenPage {
  /** The last heard first. */
  readonly devices: readonly SeenDevice[];
  /** Where the next page goes on; null: this was the last. A page may be empty and not the last. */
  readonly next: SeenDevice | null;
}

export interface LatestView {
  /** In the order of `ids`, at most `latestIdsMax`; null: nothing is known of it, or it has expired. */
  get(ids: readonly DeviceId[]): Promise<(LatestDevice | null)[]>;
  seen(query: SeenQuery): Promise<SeenPage>;
  close(): void;
}

/** It cannot be told now; the message says why and what to do. */
export class LatestUnavailable extends Error {
  override readonly name = "LatestUnavailable";
}

/** What answers about latest values are made of. */
export interface LatestParts {
  readonly view: LatestView;
  readonly ttlMs: number;
  readonly nowMs: () => number;
}
