/**
 * Watches the bytes of one connection for a packet larger than allowed, from its fixed header alone (MQTT 3.1.1 §2.2).
 *
 * aedes would buffer whatever a header announces, up to 256 MB a connection. This reads nothing but the headers and
 * skips the rest, so its cost does not depend on the size of the packets.
 */

/** Call with each chunk as it comes. Returns the size of the packet that is too large, else undefined. */
export function packetSizeGuard(bytesMax: number): (chunk: Uint8Array) => number | undefined {
  /** Bytes of the current packet that are still to come; 0: a header is next or has begun. */
  let skip = 0;
  let inLength = false;
  let length = 0;
  let scale = 1;

  return (chunk) => {
    let at = 0;
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (!inLength) {
        inLength = true;
        length = 0;
        scale = 1;
        continue;
      }
      length += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte >= 0x80 && scale <= LENGTH_SCALE_MAX) continue;
      if (length > bytesMax) return length;
      inLength = false;
      skip = length;
    }
    return undefined;
  };
}

/** After four bytes of length the parser reports an error by itself (§2.2.3). */
const LENGTH_SCALE_MAX = 128 ** 3;
