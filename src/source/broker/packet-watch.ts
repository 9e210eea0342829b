/**
 * Watches the bytes of one connection of a device, from the fixed headers alone (MQTT 3.1.1 §2.2): how large its packets are, how
 * many of which kind, and how much of one has come that is not complete.
 *
 * aedes would buffer whatever a header announces, up to 256 MB per connection. This reads nothing but the headers and skips the
 * rest, so its cost does not depend on the size of the packets.
 */

export interface PacketWatch {
  /** Looks at a chunk as it comes. @returns why the connection must end; undefined: it may go on */
  see(chunk: Uint8Array): string | undefined;
  /** Bytes that have come of a packet that is not complete. */
  unfinishedBytes(): number;
  /** Packets that have come whole. */
  packets(): number;
  /** Begins to count anew what is bounded in number. */
  startOver(): void;
}

export interface PacketBounds {
  /** The largest packet; asked at every header, since it changes. */
  bytesMax(isPublish: boolean): number;
  /** From one `startOver` to the next, of packets that are neither a PUBLISH nor of its acknowledgement. */
  readonly othersMax: number;
}

/** PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP. */
const publishType = 3;
const isOfPublish = (type: number) => type >= publishType && type <= 7;

/** After four bytes of length the parser reports an error by itself (§2.2.3). */
const lengthScaleMax = 128 ** 3;

export function watchPackets({ bytesMax, othersMax }: PacketBounds): PacketWatch {
  /** Bytes of the current packet that are still to come; 0: a header is next or has begun. */
  let skip = 0;
  let inLength = false;
  let length = 0;
  let scale = 1;
  let headerBytes = 0;
  let type = 0;
  let packets = 0;
  let others = 0;

  function end(): void {
    headerBytes = 0;
    packets += 1;
  }

  function see(chunk: Uint8Array): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
        if (skip === 0) end();
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      headerBytes += 1;
      if (!inLength) {
        [inLength, length, scale, type] = [true, 0, 1, byte >> 4];
        if (!isOfPublish(type) && ++others > othersMax)
          return `it sends more than ${othersMax} packets a second that are no messages`;
        continue;
      }
      length += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte >= 0x80 && scale <= lengthScaleMax) continue;
      if (length > bytesMax(type === publishType)) return `its packet of ${length} bytes is too large`;
      inLength = false;
      skip = length;
      if (length === 0) end();
    }
    return undefined;
  }

  return {
    see,
    unfinishedBytes: () => (skip > 0 ? length - skip + headerBytes : headerBytes),
    packets: () => packets,
    startOver() {
      others = 0;
    },
  };
}
