/** The packet reader against mqtt-packet's parser: the same packets, wherever the stream is split, and whatever is too large shortened. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import mqttPacket, { type IPublishPacket, type Packet } from "mqtt-packet";
import type { MqttMessage } from "../../../src/source/mqtt/outstanding.ts";
import { headBytes } from "../../../src/source/payload-head.ts";
import { createPacketReader } from "../../../src/source/mqtt/packet-reader.ts";

const BOUND = 1000;
const LARGE = 200_000;
const NOW = 1_790_000_000_000;

type Seen = { message: MqttMessage } | { other: Buffer };

/** Reads the chunks; at each packet `stops` says whether it is to wait, and it then goes on at once. */
function readAll(
  version: 4 | 5,
  chunks: readonly Buffer[],
  stops: () => boolean = () => false,
  payloadBytesMax = () => BOUND,
): Seen[] {
  const seen: Seen[] = [];
  const note = (one: Seen) => {
    seen.push(one);
    return !stops();
  };
  const reader = createPacketReader({
    version,
    payloadBytesMax,
    wallMs: () => NOW,
    publish: (message) => note({ message }),
    other: (packet) => note({ other: Buffer.from(packet) }),
  });
  for (const chunk of chunks)
    for (let rest = reader.read(chunk); rest !== undefined;) rest = reader.read(rest);
  return seen;
}

function parsed(version: 4 | 5, bytes: Buffer): Packet[] {
  const packets: Packet[] = [];
  const parser = mqttPacket.parser({ protocolVersion: version });
  parser.on("packet", (packet) => void packets.push(packet));
  parser.on("error", (error) => {
    throw error;
  });
  parser.parse(bytes);
  return packets;
}

const bytesOf = (packet: Packet, version: 4 | 5) => mqttPacket.generate(packet, { protocolVersion: version });

function split(bytes: Buffer, at: readonly number[]): Buffer[] {
  const marks = [0, ...at.map((n) => n % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return marks.slice(1).map((end, i) => bytes.subarray(marks[i], end));
}

const byteByByte = (bytes: Buffer) => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));

const id = fc.integer({ min: 1, max: 65_535 });
const word = fc.string({ maxLength: 12, unit: "grapheme" });
const properties: fc.Arbitrary<IPublishPacket["properties"]> = fc.option(
  fc.record(
    {
      payloadFormatIndicator: fc.boolean(),
      messageExpiryInterval: fc.nat(0xffff_ffff),
      contentType: word,
      responseTopic: word,
      correlationData: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      userProperties: fc.dictionary(
        word.filter((name) => name !== ""),
        word,
        { minKeys: 1, maxKeys: 3 },
      ),
      subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);

const anyPublish = (version: 4 | 5): fc.Arbitrary<Packet> =>
  fc
    .record({
      topic: fc.string({ minLength: 1, maxLength: 200, unit: "grapheme" }),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        fc.integer({ min: BOUND, max: LARGE + 70_000 }).map((size) => Buffer.alloc(size, size)),
      ),
      qos: fc.constantFrom(0, 1, 2),
      dup: fc.boolean(),
      retain: fc.boolean(),
      messageId: id,
      properties: version === 5 ? properties : fc.constant(undefined),
    })
    .map(({ messageId, properties: said, ...fields }) => ({
      cmd: "publish",
      ...fields,
      dup: fields.dup && fields.qos > 0,
      ...(fields.qos > 0 && { messageId }),
      ...(said !== undefined && { properties: said }),
    }));

const anyOther = fc.oneof(
  fc.constant({ cmd: "pingresp" }),
  fc.constant({ cmd: "connack", sessionPresent: true, returnCode: 0, reasonCode: 0 }),
  fc.record({ cmd: fc.constantFrom("puback", "pubrec", "pubrel", "pubcomp"), messageId: id }),
  fc.record({
    cmd: fc.constantFrom("suback", "unsuback"),
    messageId: id,
    granted: fc.array(fc.constantFrom(0, 0x80), { minLength: 1, maxLength: 200 }),
  }),
) as fc.Arbitrary<Packet>;

function expectSame(seen: Seen | undefined, packet: Packet, bytes: Buffer): void {
  if (packet.cmd !== "publish") return expect(seen).toEqual({ other: bytes });
  if (seen === undefined || !("message" in seen)) throw new Error("no message for a PUBLISH");
  const { message } = seen;
  const payload = packet.payload as Buffer;
  const isLarge = payload.length > BOUND;
  expect(message).toMatchObject({
    topic: packet.topic,
    qos: packet.qos,
    dup: packet.dup,
    retained: packet.retain,
    packetId: packet.messageId ?? 0,
    receivedMs: NOW,
    sender: "",
  });
  expect(message.wholeBytes).toBe(isLarge ? payload.length : undefined);
  expect(Buffer.compare(message.payload, isLarge ? payload.subarray(0, headBytes) : payload)).toBe(0);
}

describe.each([4, 5] as const)("level %d", (version) => {
  test("any packets, split anywhere and held anywhere, are what mqtt-packet reads", () => {
    const packets = fc.array(fc.oneof(anyPublish(version), anyOther), { maxLength: 12 });
    fc.assert(
      fc.property(packets, fc.array(fc.nat(), { maxLength: 30 }), fc.nat(4), (given, at, often) => {
        const pieces = given.map((packet) => bytesOf(packet, version));
        const whole = Buffer.concat(pieces);
        let turn = 0;
        const seen = readAll(version, split(whole, at), () => often > 0 && ++turn % often === 0);
        const expected = parsed(version, whole);
        expect(seen).toHaveLength(expected.length);
        expected.forEach((packet, i) => expectSame(seen[i], packet, pieces[i] ?? Buffer.alloc(0)));
      }),
      { numRuns: 150 },
    );
  });

  test("byte by byte", () => {
    const small = fc.array(fc.oneof(anyPublish(version), anyOther), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(small, (given) => {
        const pieces = given.map((packet) => bytesOf(packet, version)).filter(({ length }) => length < 2000);
        const whole = Buffer.concat(pieces);
        const seen = readAll(version, byteByByte(whole));
        parsed(version, whole).forEach((packet, i) => expectSame(seen[i], packet, pieces[i] ?? whole));
        expect(seen).toHaveLength(pieces.length);
      }),
      { numRuns: 60 },
    );
  });

  test("spoilt bytes are refused or read, and never read beyond", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(anyPublish(version), anyOther), { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (given, spoils, at) => {
          const whole = Buffer.concat(given.map((packet) => bytesOf(packet, version)));
          for (const [where, byte] of spoils) whole[where % whole.length] = byte;
          try {
            const taken = readAll(version, split(whole, at)).map((seen) =>
              "other" in seen ? seen.other.length : seen.message.payload.length + seen.message.topic.length,
            );
            expect(taken.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(whole.length);
          } catch (error) {
            expect(String(error)).toContain("Error: it sends ");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a payload lies in its chunk, and is no copy", () => {
    const chunk = bytesOf(
      { cmd: "publish", topic: "t", payload: "hello", qos: 0, dup: false, retain: false },
      version,
    );
    const [seen] = readAll(version, [chunk]);
    expect(seen).toMatchObject({ message: { payload: Buffer.from("hello") } });
    chunk[chunk.length - 1] = 0x4f;
    expect(seen).toMatchObject({ message: { payload: Buffer.from("hellO") } });
  });

  test("a bound that is raised while a large packet comes does not make what is left of it a whole one", () => {
    const payload = Buffer.alloc(LARGE, 1);
    const bytes = bytesOf(
      { cmd: "publish", topic: "t", payload, qos: 1, messageId: 7, dup: false, retain: false },
      version,
    );
    let asked = 0;
    const raised = () => (asked++ === 0 ? BOUND : 5_000_000);
    const [seen] = readAll(version, split(bytes, [1000, 150_000]), () => false, raised);
    expect(seen).toMatchObject({ message: { wholeBytes: LARGE } });
  });

  const head = (first: number, ...body: number[]) => Buffer.from([first, body.length, ...body]);
  test.each<[string, Buffer, string]>([
    ["a large packet that is no PUBLISH", Buffer.from([0x90, 0xff, 0xff, 0xff, 0x7f]), "268435455 bytes"],
    ["a length of five bytes", Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), "no MQTT"],
    ["QoS 3", head(0x36, 0, 1, 0x74, 0, 1, 0), "QoS 3"],
    ["an empty PUBLISH", head(0x30), "without an end"],
    ["a PUBLISH of half a topic length", head(0x30, 0), "without an end"],
    ["a topic beyond the packet", head(0x30, 0, 9, 0x74, 0), "without an end"],
    ["no packet identifier", head(0x32, 0, 1, 0x74), "without an end"],
    ["half a packet identifier", head(0x32, 0, 1, 0x74, 0), "without an end"],
  ])("%s is refused, also if more is behind it, and byte by byte", (_, bytes, why) => {
    for (const all of [bytes, Buffer.concat([bytes, Buffer.alloc(300, 1)])]) {
      expect(() => readAll(version, [all])).toThrow(why);
      expect(() => readAll(version, byteByByte(all))).toThrow(why);
    }
  });
});

const five = (...body: number[]) => Buffer.from([0x30, body.length, ...body]);
test.each<[string, Buffer, string]>([
  ["no properties", five(0, 1, 0x74), "without an end"],
  ["properties beyond the packet", five(0, 1, 0x74, 9, 1, 1), "without an end"],
  ["a length of properties without an end", five(0, 1, 0x74, 0xff), "without an end"],
  ["a length of properties of five bytes", five(0, 1, 0x74, 0xff, 0xff, 0xff, 0xff, 0), "no MQTT"],
  ["a Topic Alias for a topic", five(0, 0, 3, 0x23, 0, 1), "Topic Alias"],
])("MQTT 5: %s is refused, also if more is behind it", (_, bytes, why) => {
  expect(() => readAll(5, [bytes, Buffer.alloc(300, 1)])).toThrow(why);
  expect(() => readAll(5, [Buffer.concat([bytes, Buffer.alloc(300, 1)])])).toThrow(why);
});

test("properties are passed over, however odd, and even if they alone are too large", () => {
  const odd = Buffer.from([0x30, 8, 0, 1, 0x74, 2, 0xfe, 0xff, 0x7b, 0x7d]);
  expect(readAll(5, [odd])).toMatchObject([{ message: { topic: "t", payload: Buffer.from("{}") } }]);
  for (const size of [10, 200_000]) {
    const userProperties = Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`k${i}`, "x".repeat(size / 10)]),
    );
    const bytes = bytesOf(
      {
        cmd: "publish",
        topic: "t/7",
        payload: Buffer.alloc(LARGE),
        qos: 1,
        messageId: 7,
        dup: false,
        retain: false,
        properties: { userProperties },
      },
      5,
    );
    for (const chunks of [[bytes], split(bytes, [70_000, 140_000])]) {
      const [seen] = readAll(5, chunks);
      if (seen === undefined || !("message" in seen)) throw new Error("no message");
      expect(seen.message).toMatchObject({ topic: "t/7", packetId: 7 });
      expect(seen.message.wholeBytes).toBeGreaterThanOrEqual(LARGE);
      expect(seen.message.payload.length).toBeLessThanOrEqual(headBytes);
    }
  }
});
