/**
 * CRC-32C (Castagnoli), which guards a record batch. `Bun.hash.crc32` and `zlib.crc32` are the other CRC. Slicing by 8, as fast as what is
 * compiled to WebAssembly, and two places of the bytes at a time: a step waits for the one before it, so that one place alone takes almost twice as long.
 */

const polynomial = 0x82f63b78;
const slices = 8;
const tables = tablesOf();
/** Bytes of a stretch; the one that follows it is taken beside it. */
const stretchBytes = 2_048;
const behindStretch = behindZeros(stretchBytes);

export function crc32c(bytes: Uint8Array, from: number, to: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let crc = -1;
  let i = from;
  for (; i + 2 * stretchBytes <= to; i += 2 * stretchBytes) {
    let first = crc;
    let second = 0;
    for (let at = i; at < i + stretchBytes; at += slices) {
      const other = at + stretchBytes;
      first = advanced(first ^ view.getInt32(at, true), view.getInt32(at + 4, true));
      second = advanced(second ^ view.getInt32(other, true), view.getInt32(other + 4, true));
    }
    crc = summed(behindStretch, first) ^ second;
  }
  for (; i + slices <= to; i += slices)
    crc = advanced(crc ^ view.getInt32(i, true), view.getInt32(i + 4, true));
  for (; i < to; i++) crc = withByte(crc, view.getUint8(i));
  return ~crc >>> 0;
}

/** Over eight bytes, the first four of which hold the CRC so far. */
function advanced(low: number, high: number): number {
  // oxlint-disable typescript/no-non-null-assertion -- within bounds, and a check would cost half of the speed
  return (
    tables[1792 + (low & 255)]! ^
    tables[1536 + ((low >>> 8) & 255)]! ^
    tables[1280 + ((low >>> 16) & 255)]! ^
    tables[1024 + (low >>> 24)]! ^
    tables[768 + (high & 255)]! ^
    tables[512 + ((high >>> 8) & 255)]! ^
    tables[256 + ((high >>> 16) & 255)]! ^
    tables[high >>> 24]!
  );
  // oxlint-enable typescript/no-non-null-assertion
}

function withByte(crc: number, byte: number): number {
  return (crc >>> 8) ^ (tables[(crc ^ byte) & 255] ?? 0);
}

/** By four tables, one for each byte of the CRC. */
function summed(of: Int32Array, crc: number): number {
  const [low, high] = [(of[crc & 255] ?? 0) ^ (of[256 + ((crc >>> 8) & 255)] ?? 0), crc >>> 16];
  return low ^ (of[512 + (high & 255)] ?? 0) ^ (of[768 + (high >>> 8)] ?? 0);
}

/** What a CRC is after so many bytes of 0, as four tables: of a sum (XOR) it is the sum of what it is for each part. */
function behindZeros(count: number): Int32Array {
  const all = new Int32Array(4 * 256);
  for (let bits = 0; bits < 32; bits += 8)
    for (let byte = 0; byte < 256; byte++) {
      const known = byte & (byte - 1);
      // One bit alone is taken through, all others are two that are known.
      all[bits * 32 + byte] =
        known === 0
          ? behindBytes(byte << bits, count)
          : (all[bits * 32 + known] ?? 0) ^ (all[bits * 32 + (byte ^ known)] ?? 0);
    }
  return all;
}

function behindBytes(crc: number, count: number): number {
  let behind = crc;
  for (let i = 0; i < count; i++) behind = withByte(behind, 0);
  return behind;
}

function tablesOf(): Int32Array {
  const all = new Int32Array(slices * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    all[byte] = crc;
  }
  for (let i = 256; i < all.length; i++) {
    const before = all[i - 256] ?? 0;
    all[i] = (before >>> 8) ^ (all[before & 255] ?? 0);
  }
  return all;
}
