/**
 * A lane: the entries of one division of a sink that have been read and wait to be delivered, in order.
 *
 * A lane on a detour holds only the batch at hand; the rest of its entries wait in the spool, from `scanned` on.
 */
import { payloadBytes, type Entry } from "../core/entry.ts";
import type { Sink } from "../core/sink.ts";
import { Trouble } from "./trouble.ts";

export class Lane {
  readonly key: string;
  /** A delivery is under way. */
  busy = false;
  readonly trouble = new Trouble();
  /** Not before this (monotonic ms). */
  retryAtMs = 0;
  /** When the oldest waiting entry came (monotonic ms). */
  sinceMs = 0;
  /** Of the payloads, in UTF-8. */
  bytes = 0;
  /** On a detour: the next seq of the spool to look at; undefined while it is read with the others. */
  scanned: number | undefined = undefined;
  /** On a detour: its unsettled entries at or before the drain's cursor. */
  waiting = 0;
  readonly #queue: Entry[] = [];
  /** The bytes of each: an entry has left the processor's cache long before it is delivered, and to ask it again waits for memory. */
  readonly #sizes: number[] = [];

  constructor(key: string) {
    this.key = key;
  }

  get length(): number {
    return this.#queue.length;
  }

  get isDetoured(): boolean {
    return this.scanned !== undefined;
  }

  /** A full batch of this sink. */
  isFullFor({ batchMax, batchBytesMax }: Pick<Sink, "batchMax" | "batchBytesMax">): boolean {
    return this.#queue.length >= batchMax || this.bytes >= batchBytesMax;
  }

  /** The first seq that is not settled; for a lane without entries, the next it will look at. */
  get unsettledFrom(): number {
    return this.#queue[0]?.seq ?? this.scanned ?? 0;
  }

  /** @returns the bytes of its payload */
  push(entry: Entry, nowMs: number): number {
    if (this.#queue.length === 0) this.sinceMs = nowMs;
    const bytes = payloadBytes(entry);
    this.#queue.push(entry);
    this.#sizes.push(bytes);
    this.bytes += bytes;
    return bytes;
  }

  /** The oldest entries up to the bounds, or up to seq `last`; at least one. They stay until `drop`. */
  peek(countMax: number, bytesMax: number, last: number): Entry[] {
    let bytes = 0;
    let n = 0;
    for (const size of this.#sizes) {
      bytes += size;
      if (n > 0 && (n >= countMax || bytes > bytesMax)) break;
      n++;
    }
    while (n > 1 && (this.#queue[n - 1]?.seq ?? 0) > last) n--;
    return this.#queue.slice(0, n);
  }

  /** Forgets the oldest `n`. */
  drop(n: number, nowMs: number): void {
    this.#queue.splice(0, n);
    for (const size of this.#sizes.splice(0, n)) this.bytes -= size;
    this.sinceMs = nowMs;
  }

  /** Takes everything out. */
  empty(): Entry[] {
    this.bytes = 0;
    this.#sizes.length = 0;
    return this.#queue.splice(0);
  }
}
