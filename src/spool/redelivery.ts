/**
 * The redelivery window: which packets are on the disk already, so that one the sender sends again (DUP set) is known.
 *
 * A fingerprint stands for sender, packet identifier, topic and bytes. A publisher that means to say the same thing
 * twice sends without DUP, and is heard twice. The window covers the last `size` acknowledged packets; the spool keeps
 * the fingerprints with the groups, so it survives a restart.
 */
import type { Message } from "../core/message.ts";

/** The packet identifier in the last 16 bits, so that what it came with can be known without it (`holdsContent`). */
export function fingerprint({ sender, topic, payload, packetId }: Message): number {
  const seed = Bun.hash.crc32(`${sender}\n${topic}`);
  return Number(Bun.hash.wyhash(payload, BigInt(seed)) & 0x1f_ffff_ffffn) * packetIds + packetId;
}

const packetIds = 65_536;
const contentOf = (print: number) => Math.floor(print / packetIds);

export class RedeliveryWindow {
  readonly #ring: Float64Array;
  readonly #known = new Map<number, number>();
  /** How often each content is in the window; only once somebody asked. */
  #contents: Map<number, number> | undefined;
  #next = 0;
  #filled = 0;

  constructor(size: number) {
    this.#ring = new Float64Array(size);
  }

  has(print: number): boolean {
    return this.#known.has(print);
  }

  /** Did a packet with the same sender, topic and bytes come, whatever its identifier? */
  holdsContent(print: number): boolean {
    this.#contents ??= countsOf([...this.#known].map(([known, times]) => [contentOf(known), times]));
    return this.#contents.has(contentOf(print));
  }

  add(print: number): void {
    if (this.#filled === this.#ring.length) this.#forget(this.#ring[this.#next] ?? 0);
    else this.#filled++;
    this.#ring[this.#next] = print;
    this.#next = (this.#next + 1) % this.#ring.length;
    change(this.#known, print, 1);
    if (this.#contents) change(this.#contents, contentOf(print), 1);
  }

  #forget(print: number): void {
    change(this.#known, print, -1);
    if (this.#contents) change(this.#contents, contentOf(print), -1);
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
