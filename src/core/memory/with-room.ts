/** A buffer that is written from its beginning and may become too small. */

/** The same buffer if `more` bytes fit behind the first `used`; else a larger one that begins with those. */
export function withRoom<B extends Buffer>(bytes: B, used: number, more: number): B {
  if (used + more <= bytes.length) return bytes;
  const larger: Buffer = Buffer.allocUnsafeSlow(2 * (used + more));
  bytes.copy(larger, 0, 0, used);
  return larger as B;
}
