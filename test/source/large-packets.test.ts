/** Large packets are shortened in the stream, wherever it is split; everything else passes byte for byte. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import mqttPacket, { type IPublishPacket, type Packet } from "mqtt-packet";
import { headBytes, createPacketCutter } from "../../src/source/large-packets.ts";

const BOUND = 1000;
const LARGE = 200_000;

function parsed(version: 4 | 5, chunks: readonly Buffer[]): Packet[] {
  const packets: Packet[] = [];
  const parser = mqttPacket.parser({ protocolVersion: version });
  parser.on("packet", (packet) => void packets.push(packet));
  parser.on("error", (error) => {
    throw error;
  });
  for (const chunk of chunks) if (chunk.length > 0) parser.parse(chunk);
  return packets;
}

function split(bytes: Buffer, at: readonly number[]): Buffer[] {
  const marks = [0, ...at.map((n) => n % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return marks.slice(1).map((end, i) => bytes.subarray(marks[i], end));
}

const publish = (version: 4 | 5, messageId: number, size: number, more: Partial<IPublishPacket> = {}) =>
  mqttPacket.generate(
    {
      cmd: "publish",
      topic: `t/${messageId}`,
      payload: Buffer.alloc(size, messageId % 256),
      qos: 1,
      dup: false,
      retain: false,
      messageId,
      ...more,
    },
    { protocolVersion: version },
  );

describe.each([4, 5] as const)("level %d", (version) => {
  test("any packets, split anywhere: small ones pass unchanged, and only the beginning of large ones", () => {
    const sizes = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: LARGE, max: LARGE + 70_000 })), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(), { maxLength: 20 }), fc.nat(2), (given, at, qos) => {
        const whole = Buffer.concat(
          given.map((size, i) =>
            publish(version, i + 1, size, {
              qos: qos as 0 | 1 | 2,
              dup: qos > 0 && i % 2 === 1,
              retain: i % 3 === 0,
            }),
          ),
        );
        const cutter = createPacketCutter(version, () => BOUND);
        const packets = parsed(
          version,
          split(whole, at).map((chunk) => cutter.cut(chunk)),
        );
        expect(packets).toHaveLength(given.length);
        packets.forEach((packet, i) => {
          const size = given[i] ?? 0;
          const isLarge = size >= LARGE;
          expect(packet).toMatchObject({
            cmd: "publish",
            topic: `t/${i + 1}`,
            qos,
            retain: i % 3 === 0,
            dup: qos > 0 && i % 2 === 1,
          });
          if (qos > 0) expect(packet.messageId).toBe(i + 1);
          const payload = (packet as IPublishPacket).payload as Buffer;
          expect(payload.equals(Buffer.alloc(isLarge ? headBytes : size, (i + 1) % 256))).toBe(true);
          expect(cutter.nextWhole()).toBe(isLarge ? size : undefined);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("what passes whole is not copied", () => {
    const chunk = Buffer.concat([publish(version, 1, 10), publish(version, 2, 20)]);
    expect(createPacketCutter(version, () => BOUND).cut(chunk)).toBe(chunk);
  });

  test("a large packet that is no PUBLISH is refused", () => {
    const suback = Buffer.from([0x90, 0xff, 0xff, 0xff, 0x7f]);
    expect(() => createPacketCutter(version, () => BOUND).cut(suback)).toThrow("268435455 bytes");
  });

  test("garbage is refused", () => {
    const garbage = Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    expect(() => createPacketCutter(version, () => BOUND).cut(garbage)).toThrow("no MQTT");
  });
});

test("properties are cut off with the rest, even if they alone exceed the bound", () => {
  for (const size of [10, 200_000]) {
    const userProperties = Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`k${i}`, "x".repeat(size / 10)]),
    );
    const bytes = publish(5, 7, LARGE, { properties: { userProperties } });
    const cutter = createPacketCutter(5, () => BOUND);
    const [packet] = parsed(5, [cutter.cut(bytes)]);
    expect(packet).toMatchObject({ cmd: "publish", topic: "t/7", messageId: 7 });
    expect((packet as IPublishPacket).properties).toBeUndefined();
    expect(cutter.nextWhole()).toBeGreaterThanOrEqual(LARGE);
  }
});
