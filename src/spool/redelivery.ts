/**
 * The redelivery window: which packets are on the disk already, so that one the sender sends again (DUP set) is known.
 *
 * A fingerprint stands for sender, packet identifier, topic and bytes. A publisher that means to say the same thing
 * twice sends without DUP, and is heard twice. The window covers the last `size` acknowledged packets; the spool keeps
 * the fingerprints with the groups, so it survives a restart.
 */
import type { Message } from "../core/message.ts";

export function fingerprint(message: Message): number {
  const seed = Bun.hash.crc32(`${message.sender}\n${message.packetId}\n${message.topic}`);
  return Number(Bun.hash.wyhash(message.payload, BigInt(seed)) & 0x1f_ffff_ffff_ffffn);
}

export class RedeliveryWindow {
  readonly #ring: Float64Array;
  readonly #known = new Map<number, number>();
  #next = 0;
  #filled = 0;

  constructor(size: number) {
    this.#ring = new Float64Array(size);
  }

  has(print: number): boolean {
    return this.#known.has(print);
  }

  add(print: number): void {
    if (this.#filled === this.#ring.length) this.#forget(this.#ring[this.#next] ?? 0);
    else this.#filled++;
    this.#ring[this.#next] = print;
    this.#next = (this.#next + 1) % this.#ring.length;
    this.#known.set(print, (this.#known.get(print) ?? 0) + 1);
  }

  #forget(print: number): void {
    const times = this.#known.get(print) ?? 0;
    if (times > 1) this.#known.set(print, times - 1);
    else this.#known.delete(print);
  }
}
