/**
 * The redelivery window: which packets are already on disk, so that one that the sender sends again (DUP set) is
 * recognised.
 *
 * A fingerprint stands for sender, packet identifier, topic and bytes. A publisher that means to say the same thing
 * twice sends it without DUP, and both count. The window covers the last `size` packets; the spool keeps the
 * fingerprints with the groups, so the window survives a restart.
 *
 * The window is a ring, but no device can push another's packets out: each packet belongs to the device that proved
 * itself with it, and half of the window is shared out among the devices in it. When room is made, the newest packets
 * of a device, up to its share, are passed over. All packets that proved nothing (rejects, messages that wait
 * unjudged) belong to one owner, so a flood of them takes room only from itself. Shares are per device. Rejected
 * alternative: per client id, because anybody can make up client ids. The other half of the window goes by age alone,
 * so that it covers what a broker may have under way to us (MQTT_RECEIVE_MAXIMUM), whoever sent it.
 *
 * Only what is sent again asks, and most gateways go for days without that. So the ring is all that is kept at all times; what answers is
 * made from it at the first question, and let go once a whole window has come without one.
 */
import type { DeviceId } from "../core/device.ts";
import type { Entry } from "../core/entry.ts";
import { contentOf } from "../core/redelivery-key.ts";

/** The owner of all packets that proved nothing. */
export const unproven = 0;
/**
 * Devices are told apart by a hash, which costs less than a list of names; the few devices with the same hash share
 * one share.
 */
const ownersMax = 65_536;

export function ownerOf(entry: Entry): number {
  if (entry.kind !== "event") return unproven;
  const { address } = entry;
  if (address === undefined) return ownerBy(entry);
  if (address.owner < 0) address.owner = ownerBy(entry);
  return address.owner;
}

function ownerBy({ tenantId, deviceId }: DeviceId): number {
  return 1 + (hashOf(deviceId, hashOf(tenantId, basis)) % (ownersMax - 1));
}

/** FNV-1a over UTF-16 units: a native hash would want one string put together for each packet. An earlier version's owners, by CRC-32, age out. */
function hashOf(text: string, from: number): number {
  let hash = from;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  return hash >>> 0;
}

const basis = 0x811c_9dc5;

export class RedeliveryWindow {
  readonly #fingerprints: Float64Array;
  readonly #owners: Uint16Array;
  /** How often each packet, and each content, is in the window. */
  #known: Map<number, number> | undefined;
  #contents: Map<number, number> | undefined;
  /** So many packets have come since somebody asked. */
  #unasked = 0;
  /** How many packets of each owner are in the window; `#holders` counts the owners that have some. */
  readonly #held = new Uint32Array(ownersMax);
  #holders = 0;
  /** The index of the oldest packet, once the ring is full. */
  #next = 0;
  #filled = 0;

  /** @param kept packets in the form that `pairs` returns */
  constructor(size: number, kept: ArrayLike<number> = []) {
    this.#fingerprints = new Float64Array(size);
    this.#owners = new Uint16Array(size);
    for (let i = 0; i < kept.length; i += 2) this.add(kept[i] ?? 0, (kept[i + 1] ?? unproven) % ownersMax);
  }

  has(fingerprint: number): boolean {
    this.#unasked = 0;
    this.#known ??= countsOf(this.#fingerprints.subarray(0, this.#filled));
    return this.#known.has(fingerprint);
  }

  /** Did a packet with the same sender, topic and bytes come, whatever its packet identifier? */
  holdsContent(fingerprint: number): boolean {
    this.#unasked = 0;
    this.#contents ??= countsOf(this.#fingerprints.subarray(0, this.#filled).map(contentOf));
    return this.#contents.has(contentOf(fingerprint));
  }

  add(fingerprint: number, owner: number): void {
    if (this.#filled === this.#fingerprints.length) this.#makeRoom();
    else this.#filled++;
    if (++this.#unasked > this.#fingerprints.length) this.#known = this.#contents = undefined;
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

  /**
   * Forgets one packet. Passing over a packet makes it the newest. All shares together are half of the ring, so there
   * is always one to forget.
   */
  #makeRoom(): void {
    const share = Math.floor(this.#fingerprints.length / 2 / this.#holders);
    while ((this.#held[this.#owners[this.#next] ?? unproven] ?? 0) <= share)
      this.#next = (this.#next + 1) % this.#fingerprints.length;
    this.#count(this.#fingerprints[this.#next] ?? 0, this.#owners[this.#next] ?? unproven, -1);
  }

  #count(fingerprint: number, owner: number, by: 1 | -1): void {
    const held = (this.#held[owner] ?? 0) + by;
    this.#held[owner] = held;
    if (held === (by === 1 ? 1 : 0)) this.#holders += by;
    if (this.#known) change(this.#known, fingerprint, by);
    if (this.#contents) change(this.#contents, contentOf(fingerprint), by);
  }
}

function change(counts: Map<number, number>, key: number, by: number): void {
  const times = (counts.get(key) ?? 0) + by;
  if (times > 0) counts.set(key, times);
  else counts.delete(key);
}

function countsOf(keys: Float64Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const key of keys) change(counts, key, 1);
  return counts;
}
