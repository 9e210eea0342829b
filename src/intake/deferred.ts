/**
 * What waits on the disk for the registry: of which devices, whose next message must not overtake it, and how many bytes.
 *
 * Of a fixed size, however many names a flood makes up while the registry is away: devices are counted in as many cells
 * as there are, by a hash of their name. Two that share one wait for each other, at the price of some delay. (A list of names with
 * a bound had every device wait once it was full; those filled it again, and it never emptied while the flood went on.)
 */
import { deviceKey } from "../core/device.ts";
import { payloadBytes, type Deferred } from "../core/entry.ts";

/** A power of two; four bytes each. */
export const cells = 1_048_576;
/** What an entry weighs besides its topic and payload. */
const entryBytes = 200;

export class DeferredDevices {
  /** Made when there is something to count. */
  #counts: Uint32Array | undefined;
  #bytes = 0;
  /** False: there may be more than it was told of. */
  isWhole = true;

  /** Of all that waits, about. */
  get bytes(): number {
    return this.#bytes;
  }

  add(entry: Deferred): void {
    if (hasProved(entry)) return;
    this.#counts ??= new Uint32Array(cells);
    this.#change(this.#counts, entry, 1);
  }

  remove(entry: Deferred): void {
    if (this.#counts && !hasProved(entry)) this.#change(this.#counts, entry, -1);
  }

  /** Must the next message of this device (`deviceKey`) wait too? */
  holds(key: string): boolean {
    return !this.isWhole || (this.#counts !== undefined && this.#counts[cellOf(key)] !== 0);
  }

  #change(counts: Uint32Array, entry: Deferred, by: 1 | -1): void {
    const cell = cellOf(deviceKey(entry.tenantId, entry.deviceId));
    counts[cell] = (counts[cell] ?? 0) + by;
    this.#bytes += by * (entryBytes + entry.topic.length + payloadBytes(entry));
  }
}

/** It waits for the clock alone: its device goes on, and is looked up as ever. */
function hasProved({ reason }: Deferred): boolean {
  return reason === "CLOCK_NOT_SET";
}

function cellOf(key: string): number {
  return Bun.hash.crc32(key) % cells;
}
