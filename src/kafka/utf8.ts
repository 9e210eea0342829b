/**
 * Text on its way to the wire, as UTF-8: one growing buffer that is written over for the next text.
 *
 * Rejected alternative: strings. To join a value of twenty pieces, and to count and write its bytes, took half of what a record cost.
 */
import { withRoom } from "../core/memory/with-room.ts";

const firstBytes = 4 * 1024;
const bytesPerCharMax = 3;
/** Longer pieces are worth a call of the engine's encoder, which looks at many signs at once. */
const loopCharsMax = 64;
const zero = 48;

export class Utf8 {
  buffer = Buffer.allocUnsafe(firstBytes);
  /** Of what is written; what lies behind may be anything. */
  length = 0;

  string(text: string): void {
    this.#reserve(text.length > firstBytes ? Buffer.byteLength(text) : text.length * bytesPerCharMax);
    this.length += this.buffer.write(text, this.length);
  }

  /** A piece of a text. */
  slice(text: string, from: number, to: number): void {
    if (to - from > loopCharsMax) return this.string(text.slice(from, to));
    this.#reserve(to - from);
    const { buffer } = this;
    let at = this.length;
    for (let i = from; i < to; i++) {
      const char = text.charCodeAt(i);
      if (char > 127) return this.string(text.slice(from, to));
      buffer[at++] = char;
    }
    this.length = at;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Writes a number from 0 to 999 over what is at `at`. */
  threeDigits(at: number, value: number): void {
    const tens = (value / 10) | 0;
    const hundreds = (value / 100) | 0;
    this.buffer[at] = zero + hundreds;
    this.buffer[at + 1] = zero + tens - hundreds * 10;
    this.buffer[at + 2] = zero + value - tens * 10;
  }

  toString(): string {
    return this.buffer.toString("utf8", 0, this.length);
  }

  #reserve(more: number): void {
    if (this.length + more > this.buffer.length) this.buffer = withRoom(this.buffer, this.length, more);
  }
}
