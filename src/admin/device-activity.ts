/**
 * When each device was heard, how often since the start and how often in the last minute. It is given every group that reached the disk;
 * a message costs no look-up if its device is at hand.
 *
 * Only events count: a device that may not speak has no row, so strangers cannot fill the table. The table is bounded in two generations.
 * As many devices as may be cached it keeps all; of a larger fleet it forgets those that were silent longest, which then rank among the
 * silent. Rejected alternatives: one map with the last heard moved to its end, because that costs a removal per message; the look-up of
 * latest values, because it knows no counts and only a page of devices at a time.
 */
import type { Found } from "../core/address.ts";
import { deviceKey, type DeviceId } from "../core/device.ts";
import type { Entry, Event } from "../core/entry.ts";

/** Devices per generation; more, if the auth cache may have more. */
export const activeDevicesMax = 131_072;
const minuteMs = 60_000;

interface Row extends Found {
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

export class DeviceActivity {
  #young = new Map<string, Row>();
  #old = new Map<string, Row>();
  readonly #youngMax: number;

  /** @param devicesMax so many may be cached */
  constructor(devicesMax = 0) {
    this.#youngMax = Math.max(activeDevicesMax, devicesMax);
  }

  note(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind !== "event" || entry.returned !== null) continue;
      count(this.#rowOf(entry), entry.receivedMs);
    }
  }

  #rowOf({ address, tenantId, deviceId }: Event): Row {
    if (address === undefined) return this.#find(deviceKey(tenantId, deviceId));
    if (address.heard?.home === this.#young) return address.heard as Row;
    const row = this.#find(address.key);
    address.heard = row;
    return row;
  }

  #find(key: string): Row {
    return this.#young.get(key) ?? this.#enter(key);
  }

  /** undefined: not heard since the start, or forgotten. */
  of({ tenantId, deviceId }: DeviceId, nowMs: number): Activity | undefined {
    const key = deviceKey(tenantId, deviceId);
    const row = this.#young.get(key) ?? this.#old.get(key);
    return row && { seenMs: row.lastMs, messages: row.count, perMinute: perMinute(row, nowMs) };
  }

  #enter(key: string): Row {
    if (this.#young.size >= this.#youngMax) this.#turn();
    const row = this.#old.get(key) ?? newRow();
    row.home = this.#young;
    this.#young.set(key, row);
    return row;
  }

  /** What is forgotten is emptied, for the address of a device that is silent from now on keeps it: as its row's home. */
  #turn(): void {
    this.#old.clear();
    [this.#old, this.#young] = [this.#young, new Map()];
  }
}

function newRow(): Row {
  return { home: undefined, lastMs: 0, count: 0, minute: 0, inMinute: 0, inMinuteBefore: 0 };
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
