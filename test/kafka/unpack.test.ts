/** Batches of Kafka that unpack to more than memory takes: none is, by whichever codec and whoever unpacks it. */
import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { boundedCodecs, unpacked, unpackedBytesMax } from "../../src/kafka/unpack.ts";

const codecs = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 };
const frame = Buffer.from("04224d18607073", "hex");
const end = Buffer.alloc(4);
const sized = (block: Buffer) => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length);
  return Buffer.concat([size, block]);
};

/** One letter, repeated. */
function lz4Of(bytes: number): Buffer {
  const rest = bytes - 1 - 4 - 15 - 5;
  const lengths = Buffer.alloc(Math.floor(rest / 255) + 1, 255);
  lengths[lengths.length - 1] = rest % 255;
  const head = Buffer.from([0x1f, 0x61, 1, 0]);
  return Buffer.concat([frame, sized(Buffer.concat([head, lengths, Buffer.from("Paaaaa")])), end]);
}

function snappyOf(bytes: number): Buffer {
  const said: number[] = [];
  for (let rest = bytes; ; rest = Math.floor(rest / 128)) {
    said.push(rest < 128 ? rest : (rest & 127) | 128);
    if (rest < 128) return Buffer.from([...said, 0, 0x61]);
  }
}

const inBlocks = (...blocks: Buffer[]) =>
  Buffer.concat([
    Buffer.from("\u0082SNAPPY\0", "latin1"),
    Buffer.alloc(8),
    ...blocks.flatMap((block) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(block.length);
      return [length, block];
    }),
  ]);

const large = Buffer.alloc(unpackedBytesMax + 1, "a");
const bombs: readonly (readonly [name: string, codec: number, bomb: Buffer])[] = [
  ["gzip", codecs.gzip, gzipSync(large, { level: 1 })],
  ["zstd", codecs.zstd, zstdCompressSync(large)],
  ["LZ4", codecs.lz4, lz4Of(unpackedBytesMax + 1)],
  ["Snappy", codecs.snappy, snappyOf(unpackedBytesMax + 1)],
  ["Snappy of 4 GB", codecs.snappy, snappyOf(2 ** 32 - 1)],
  ["Snappy in blocks", codecs.snappy, inBlocks(snappyOf(unpackedBytesMax), snappyOf(1))],
];

describe("a batch that holds too much", () => {
  test.each(bombs)("is not unpacked: %s", async (_, codec, bomb) => {
    await expect((async () => unpacked(bomb, codec))()).rejects.toThrow(/more than|larger than/i);
    // As the library's consumer does it.
    const findCodec = await boundedCodecs();
    await expect(findCodec(codec).decompress(bomb)).rejects.toThrow(/more than|larger than/i);
  });

  test("a block of Snappy without length does not hold the thread", async () => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(-4);
    const damaged = Buffer.concat([inBlocks(), length, Buffer.alloc(8)]);
    await expect((async () => unpacked(damaged, codecs.snappy))()).rejects.toThrow("damaged");
  });
});

describe("any other batch", () => {
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)));
  const texts = [
    Buffer.alloc(0),
    Buffer.from("a"),
    random,
    Buffer.alloc(5_000_000, "abc"),
    Buffer.concat([random, random]),
  ];
  test.each(["snappy", "lz4"] as const)("comes back as it was: %s", async (name) => {
    const findCodec = await boundedCodecs();
    for (const text of texts) {
      const packed = (await findCodec(codecs[name]).compress?.(text)) ?? end;
      expect((await unpacked(packed, codecs[name])).equals(text)).toBe(true);
    }
  });

  test("of a ratio of 255 is unpacked, too", async () => {
    const text = await unpacked(lz4Of(3_000_000), codecs.lz4);
    expect(text.equals(Buffer.alloc(3_000_000, "a"))).toBe(true);
  });
});
