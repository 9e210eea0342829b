/**
 * When each device was heard, how often since the start and how often in the last minute. It is given every group that reached the disk;
 * a message costs two look-ups in a map and no allocation.
 *
 * Only events count: a device that may not speak has no row, so strangers cannot fill the table. The table is bounded in two generations.
 * Up to `activeDevicesMax` devices it keeps all; of a larger fleet it forgets those that were silent longest, which then rank among the
 * silent. Rejected alternatives: one map with the last heard moved to its end, because that costs a removal per message; the look-up of
 * latest values, because it knows no counts and only a page of devices at a time.
 */
import type { DeviceId } from "../core/device.ts";
import type { Entry } from "../core/entry.ts";

/** Devices per generation. */
export const activeDevicesMax = 65_536;
const minuteMs = 60_000;

interface Row {
  lastMs: number;
  count: number;
  /** Number of the minute in which it was heard last, and its messages in that one and in the one before. */
  minute: number;
  inMinute: number;
  inMinuteBefore: number;
}

export interface Activity {
  /** By arrival. */
  readonly seenMs: number;
  readonly messages: number;
  readonly perMinute: number;
}

/** Tenant → device → row. */
type Generation = Map<string, Map<string, Row>>;

export class DeviceActivity {
  #young: Generation = new Map();
  #old: Generation = new Map();
  #youngSize = 0;

  note(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind !== "event" || entry.returned !== null) continue;
      const row = this.#young.get(entry.tenantId)?.get(entry.deviceId) ?? this.#enter(entry);
      count(row, entry.receivedMs);
    }
  }

  /** undefined: not heard since the start, or forgotten. */
  of({ tenantId, deviceId }: DeviceId, nowMs: number): Activity | undefined {
    const row = this.#young.get(tenantId)?.get(deviceId) ?? this.#old.get(tenantId)?.get(deviceId);
    return row && { seenMs: row.lastMs, messages: row.count, perMinute: perMinute(row, nowMs) };
  }

  #enter({ tenantId, deviceId }: DeviceId): Row {
    if (this.#youngSize >= activeDevicesMax) {
      [this.#old, this.#young, this.#youngSize] = [this.#young, new Map(), 0];
    }
    const row = this.#old.get(tenantId)?.get(deviceId) ?? newRow();
    const devices = this.#young.get(tenantId) ?? new Map<string, Row>();
    // Copies, for an id may be a part of a topic or a payload, which it would keep in memory.
    if (devices.size === 0) this.#young.set(copyOf(tenantId), devices);
    devices.set(copyOf(deviceId), row);
    this.#youngSize++;
    return row;
  }
}

function newRow(): Row {
  return { lastMs: 0, count: 0, minute: 0, inMinute: 0, inMinuteBefore: 0 };
}

function count(row: Row, receivedMs: number): void {
  row.count++;
  const minute = Math.floor(receivedMs / minuteMs);
  // Judged later than it came.
  if (minute < row.minute) return;
  if (minute > row.minute) {
    row.inMinuteBefore = minute === row.minute + 1 ? row.inMinute : 0;
    row.inMinute = 0;
    row.minute = minute;
  }
  row.inMinute++;
  if (receivedMs > row.lastMs) row.lastMs = receivedMs;
}

/** Of the sixty seconds before now: all of this minute's, and of the one before the share that is not yet past. */
function perMinute({ minute, inMinute, inMinuteBefore }: Row, nowMs: number): number {
  const now = nowMs / minuteMs;
  const left = 1 - (now - Math.floor(now));
  if (Math.floor(now) === minute) return Math.round(inMinute + inMinuteBefore * left);
  return Math.floor(now) === minute + 1 ? Math.round(inMinute * left) : 0;
}

const copyOf = (text: string) => Buffer.from(text).toString();
