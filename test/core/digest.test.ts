/** A digest as numbers is the digest: the same text again, equal to itself and to nothing that differs by a bit, wherever. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Digest, Presented } from "../../src/core/digest.ts";
import { sha256 } from "../kit/builders.ts";

const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const presented = new Presented();

test("it is the same text again, and equal to itself alone", () => {
  fc.assert(
    fc.property(hashes, fc.nat(255), (hash, bit) => {
      const hex = hash.toString("hex");
      const digest = Digest.read(hex.toUpperCase());
      hash[bit >> 3] = (hash[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const other = Digest.read(hash.toString("hex"));
      expect(presented.read(hex)).toBe(true);
      expect([digest?.hex(), digest?.is(presented), other?.is(presented)]).toEqual([hex, true, false]);
    }),
  );
});

test("it is the SHA-256 of a token", () => {
  const token = "tok-Zm9yIGEgdGVzdCBvZiBkaWdlc3Rz";
  presented.hash(token);
  expect(Digest.read(sha256(token))?.is(presented)).toBe(true);
  presented.hash(`${token} `);
  expect(Digest.read(sha256(token))?.is(presented)).toBe(false);
});

test.each(["", "ab", "ab".repeat(33), `${"ab".repeat(31)}xy`, "é".repeat(32), `${"a".repeat(63)} `])(
  "%p is none",
  (text) => {
    expect([Digest.read(text), presented.read(text)]).toEqual([undefined, false]);
  },
);
