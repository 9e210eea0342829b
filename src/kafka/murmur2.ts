/**
 * Which partition a key goes to, as Java's client decides it: `(murmur2(key) & 0x7fffffff) % partitions`. A device's records have to
 * lie where other producers of the same pipeline put theirs; librdkafka's default is another one.
 */

const seed = 0x9747b28c;
const m = 0x5bd1e995;

export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}

export function murmur2(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const whole = key.length & ~3;
  let h = seed ^ key.length;
  for (let i = 0; i < whole; i += 4) {
    let k = Math.imul(view.getInt32(i, true), m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  let rest = 0;
  for (let i = key.length - 1; i >= whole; i--) rest = (rest << 8) | (key[i] ?? 0);
  if (whole < key.length) h = Math.imul(h ^ rest, m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}
