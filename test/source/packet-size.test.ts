import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { packetSizeGuard } from "../../src/source/packet-size.ts";
import { connectPacket, publishPacket } from "../kit/wire.ts";

/** Cuts bytes into chunks at the given places, in whatever order these are. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [
    0,
    ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b),
    bytes.length,
  ];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

const sizes = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 20 });
const places = fc.array(fc.nat(), { maxLength: 30 });

describe("packetSizeGuard", () => {
  test("passes packets within the bound, however the bytes are cut", () => {
    fc.assert(
      fc.property(sizes, places, (payloads, cuts) => {
        const packets = [
          mqttPacket.generate(connectPacket("c")),
          ...payloads.map((size, i) => mqttPacket.generate(publishPacket(i + 1, "x".repeat(size)))),
        ];
        const tooLarge = packetSizeGuard(3100);
        for (const chunk of cut(Buffer.concat(packets), cuts)) expect(tooLarge(chunk)).toBeUndefined();
      }),
    );
  });

  test("reports the first packet beyond the bound from its header alone, however the bytes are cut", () => {
    fc.assert(
      fc.property(sizes, places, (payloads, cuts) => {
        const before = payloads.map((size, i) => mqttPacket.generate(publishPacket(i + 1, "x".repeat(size))));
        const header = mqttPacket.generate(publishPacket(9, "y".repeat(200_000))).subarray(0, 4);
        const tooLarge = packetSizeGuard(3100);
        const found = cut(Buffer.concat([...before, header]), cuts).map((chunk) => tooLarge(chunk));
        expect(found.findLast((size) => size !== undefined)).toBeGreaterThan(200_000 - 1);
      }),
    );
  });
});
