/**
 * The redelivery window: which packets are on the disk already, so that one the sender sends again (DUP set) is known.
 *
 * A fingerprint stands for sender, packet identifier, topic and bytes. A publisher that means to say the same thing
 * twice sends without DUP, and is heard twice. The window covers the last packets, of which there may be `size`; the spool keeps
 * the fingerprints with the groups, so it survives a restart.
 *
 * It is a ring, but nobody can push another's packets out: each belongs to the device that proved itself with it, and half of the
 * window is shared out among the devices in it. The newest of a device, up to its share, are passed over when room is made. All
 * that proved nothing (rejects, what waits unjudged) belongs to one owner, so a flood of it takes room from itself. By device and not
 * by client id, because anybody can make up client ids; the other half still goes by age, so that what a broker may have on
 * the way to us (MQTT_RECEIVE_MAXIMUM) is covered whoever sent it.
 */
import type { Entry } from "../core/entry.ts";
import { contentOf } from "../core/redelivery-key.ts";

/** Of all that proved nothing. */
export const unproven = 0;
/** Devices are told apart by a hash, which costs less than a list of names; the few that share one share their part. */
const ownersMax = 65_536;

export function ownerOf({ kind, tenantId, deviceId }: Entry): number {
  return kind === "event" ? 1 + (Bun.hash.crc32(`${tenantId}/${deviceId}`) % (ownersMax - 1)) : unproven;
}

export class RedeliveryWindow {
  readonly #fingerprints: Float64Array;
  readonly #owners: Uint16Array;
  readonly #known = new Map<number, number>();
  /** How many packets of each owner are in the window, and how many owners have some. */
  readonly #held = new Uint32Array(ownersMax);
  #holders = 0;
  /** How often each content is in the window; only once somebody asked. */
  #contents: Map<number, number> | undefined;
  /** Where the oldest is, once it is full. */
  #next = 0;
  #filled = 0;

  /** @param kept as `pairs` gives them */
  constructor(size: number, kept: ArrayLike<number> = []) {
    this.#fingerprints = new Float64Array(size);
    this.#owners = new Uint16Array(size);
    for (let i = 0; i < kept.length; i += 2) this.add(kept[i] ?? 0, (kept[i + 1] ?? unproven) % ownersMax);
  }

  has(fingerprint: number): boolean {
    return this.#known.has(fingerprint);
  }

  /** Did a packet with the same sender, topic and bytes come, whatever its identifier? */
  holdsContent(fingerprint: number): boolean {
    this.#contents ??= countsOf([...this.#known].map(([known, times]) => [contentOf(known), times]));
    return this.#contents.has(contentOf(fingerprint));
  }

  add(fingerprint: number, owner: number): void {
    if (this.#filled === this.#fingerprints.length) this.#makeRoom();
    else this.#filled++;
    this.#fingerprints[this.#next] = fingerprint;
    this.#owners[this.#next] = owner;
    this.#next = (this.#next + 1) % this.#fingerprints.length;
    this.#count(fingerprint, owner, 1);
  }

  /** Fingerprint and owner of each packet, one after the other, oldest first. */
  pairs(): Float64Array {
    const size = this.#fingerprints.length;
    const from = this.#filled === size ? this.#next : 0;
    const pairs = new Float64Array(2 * this.#filled);
    for (let i = 0; i < this.#filled; i++) {
      const at = (from + i) % size;
      pairs[2 * i] = this.#fingerprints[at] ?? 0;
      pairs[2 * i + 1] = this.#owners[at] ?? unproven;
    }
    return pairs;
  }

  /** Passing over one makes it the newest. All shares together are half of the ring, so there is always one to be forgotten. */
  #makeRoom(): void {
    const share = Math.floor(this.#fingerprints.length / 2 / this.#holders);
    while ((this.#held[this.#owners[this.#next] ?? unproven] ?? 0) <= share)
      this.#next = (this.#next + 1) % this.#fingerprints.length;
    this.#count(this.#fingerprints[this.#next] ?? 0, this.#owners[this.#next] ?? unproven, -1);
  }

  #count(fingerprint: number, owner: number, by: 1 | -1): void {
    change(this.#known, fingerprint, by);
    const held = (this.#held[owner] ?? 0) + by;
    this.#held[owner] = held;
    if (held === (by === 1 ? 1 : 0)) this.#holders += by;
    if (this.#contents) change(this.#contents, contentOf(fingerprint), by);
  }
}

function change(counts: Map<number, number>, key: number, by: number): void {
  const times = (counts.get(key) ?? 0) + by;
  if (times > 0) counts.set(key, times);
  else counts.delete(key);
}

function countsOf(pairs: readonly (readonly [number, number])[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const [key, times] of pairs) change(counts, key, times);
  return counts;
}
