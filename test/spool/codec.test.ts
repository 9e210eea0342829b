/** Groups as bytes: nothing is lost in them, and no damage passes unseen. */
import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addresses } from "../../src/core/address.ts";
import { copyText } from "../../src/core/text/copy-text.ts";
import type { Entry } from "../../src/core/entry.ts";
import { candidateOf, toReject } from "../../src/judge/candidate.ts";
import { rejection } from "../../src/judge/verdict.ts";
import { decodeGroup, encodeGroup } from "../../src/spool/codec.ts";
import { anEntry, entries, plain } from "../kit/spool.ts";

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  fc.constantFrom("", "\\N", "\\", "\t", "\n", "\r", "\u0000", "\u2028", "\ufeff", "\\t\\n", "a\\\nb"),
);
const maybe = fc.option(text);

const entry: fc.Arbitrary<Entry> = fc.record({
  seq: fc.constant(0),
  kind: fc.constantFrom("event", "reject", "deferred"),
  receivedMs: fc.nat({ max: 4e12 }),
  topic: text,
  tenantId: maybe,
  deviceId: maybe,
  msgType: maybe,
  siteId: maybe,
  eventMs: fc.option(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 })),
  eventNs: fc.nat({ max: 999_999 }),
  reason: maybe,
  detail: maybe,
  payload: fc.oneof(text, fc.json()),
  mirror: fc.constantFrom(undefined, true),
  tokenHash: maybe,
  returned: fc.option(
    fc.record({
      target: fc.option(fc.constantFrom("postgres", "influx")),
      quarantineId: fc.option(fc.nat()),
    }),
  ),
}) as fc.Arbitrary<Entry>;

/** As the layout at the head of codec.ts says. */
function plainRecord(e: Entry): string {
  const { kind, receivedMs, eventMs, eventNs, payload, returned } = e;
  const speaker = [e.topic, e.tenantId, e.deviceId, e.msgType, e.siteId].map(copyText);
  const isEscaped = payload.includes("\n");
  const back = returned === null ? "" : `:${returned.target ?? ""}:${returned.quarantineId ?? ""}`;
  const flags = (e.mirror ? "m" : "") + (isEscaped ? "e" : "") + back;
  const rest = [copyText(e.reason), copyText(e.detail), flags, copyText(e.tokenHash)];
  const times = [eventMs ?? "\\N", eventNs];
  return [kind[0], receivedMs, ...speaker, ...times, ...rest, isEscaped ? copyText(payload) : payload].join(
    "\t",
  );
}

/** Most say nothing particular, as in service, and some are that in all but one of the members. */
const usual = fc
  .record({
    receivedMs: fc.oneof(
      fc.integer({ min: 1e12, max: 4e12 }),
      fc.constantFrom(0, 1e12 - 1, 1e12, 1e13 - 1, 1e13),
    ),
    eventMs: fc.oneof(
      fc.integer({ min: 1e12, max: 4e12 }),
      fc.constantFrom(-1, 0, 1e12 - 1, 1e12, 1_764_000_000_000, 1_764_000_999_999, 1e13 - 1, 1e13),
    ),
    eventNs: fc.constantFrom(0, 0, 0, 1, 999_999),
    topic: fc.constantFrom("tenant/acme/device/a/telemetry", "t/\u00e9/\ud83d\ude00", "t\tb"),
    siteId: fc.constantFrom("lab-1", "lab-2", "l\u00e4b\\"),
    detail: fc.constantFrom(null, null, null, "TELEMETRY_WITHOUT_METRICS"),
    mirror: fc.constantFrom(undefined, undefined, undefined, true),
    payload: fc.constantFrom("{}", "{}", '{"a":"\u00e9"}', '{"a":"\u6f22"}', "{\n}", ""),
    returned: fc.constantFrom(null, null, null, { target: null, quarantineId: 7 }),
  })
  .map((changed) => anEntry({ ...changed, seq: 0 }));

describe("a group", () => {
  test("has the records that its layout says, however they are written", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(usual, usual, usual, entry), { minLength: 1, maxLength: 40 }),
        (group) => {
          const { body, codec } = encodeGroup(group);
          const bytes = codec === 1 ? Bun.zstdDecompressSync(body) : body;
          expect(Buffer.from(bytes)).toEqual(Buffer.from(group.map(plainRecord).join("\n")));
          const back = decodeGroup(encodeGroup(group), 1, group.length);
          expect(encodeGroup(back).body).toEqual(body);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("comes back as it was, whatever its strings hold", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1 }),
        (group, first) => {
          const back = decodeGroup(encodeGroup(group), first, group.length);
          expect(back.map(plain)).toEqual(group.map((e, i) => ({ ...e, seq: first + i })));
          const sizes = group.map(({ payload }) => Buffer.byteLength(payload));
          expect(group.map(({ bytes }) => bytes)).toEqual(sizes);
          expect(back.map(({ bytes }) => bytes)).toEqual(sizes);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("comes back as it was, whatever is encoded after it", () => {
    const groups = [entries(2), entries(2, 90)];
    const [first, second] = groups.map(encodeGroup);
    expect([first, second].map((group) => group && decodeGroup(group, 0, 2).map(plain))).toEqual(
      groups.map((group) => group.map((each, seq) => ({ ...each, seq }))),
    );
  });

  test("comes back as it was, however large it is", () => {
    const sizes = [200_000, 1, 90_000, 3, 600_000, 2, 170_000];
    const group = sizes.map((chars, i) =>
      anEntry({ seq: 7 + i, payload: JSON.stringify({ a: "漢".repeat(chars) }) }),
    );
    expect(decodeGroup(encodeGroup(group), 7, group.length).map(plain)).toEqual(group);
  });

  test("comes back as it was, also if it is large by its names", () => {
    const group = Array.from({ length: 700 }, (_, i) =>
      anEntry({ seq: 1 + i, deviceId: "漢".repeat(300), payload: "{}" }),
    );
    expect(decodeGroup(encodeGroup(group), 1, group.length).map(plain)).toEqual(group);
  });

  test("is plain if it has few lines, and compressed to a fraction if it has many", () => {
    const few = encodeGroup(entries(2));
    const many = encodeGroup(entries(500));
    expect([few.codec, many.codec]).toEqual([0, 1]);
    expect(many.body.length).toBeLessThan(few.body.length * 250 * 0.2);
  });

  test.each([2, 500])("of %i entries with a flipped bit anywhere is not decoded", (size) => {
    const group = encodeGroup(entries(size));
    for (let at = 0; at < group.body.length; at++) {
      const body = Uint8Array.from(group.body);
      body[at] = (body[at] ?? 0) ^ (1 << (at % 8));
      expect(() => decodeGroup({ ...group, body }, 1, size)).toThrow("checksum");
    }
  });

  test("that was shortened or lengthened is not decoded", () => {
    const group = encodeGroup(entries(3));
    for (const body of [group.body.slice(0, -1), Buffer.concat([group.body, Buffer.of(0)])])
      expect(() => decodeGroup({ ...group, body }, 1, 3)).toThrow("checksum");
  });

  test("with another count than noted, or an unknown codec, is not decoded", () => {
    const group = encodeGroup(entries(3));
    expect(() => decodeGroup(group, 1, 2)).toThrow("it holds 3 entries, not 2");
    expect(() => decodeGroup({ ...group, codec: 7 }, 1, 3)).toThrow("codec 7 is unknown");
  });

  test.each([
    ["x\t1\tt", "ends at its topic"],
    [`x${"\t0".repeat(12)}\t{}`, 'unknown kind "x"'],
  ])("whose line is %j is not decoded", (line, why) => {
    const body = Buffer.from(line);
    const group = { body, codec: 0, crc: Bun.hash.crc32(body) };
    expect(() => decodeGroup(group, 1, 1)).toThrow(why);
  });

  test("has entries of the judge's shape, with the address of a device that is known", () => {
    const message = { receivedMs: 1, topic: "x", payload: new Uint8Array(), retained: false };
    const judged = toReject(candidateOf(message), rejection("MALFORMED_JSON"), false, false);
    const said = anEntry({ deviceId: "dev-known", topic: "tenant/acme/device/dev-known/telemetry" });
    const [reject, event] = decodeGroup(encodeGroup([judged, said]), 1, 2);
    expect(Object.keys(reject ?? {})).toEqual(Object.keys(judged));
    expect(Object.keys(event ?? {})).toEqual(Object.keys(judged));
    expect(event?.address).toBe(addresses.find(said.topic));
    expect(event?.address?.deviceId).toBe("dev-known");
  });

  test("keeps the payload byte for byte, so that numbers keep their digits", () => {
    const payload = '{"a":1.0,"b":1152921504606846976,"c":"\\u00e9 \\ud83d"}';
    expect(decodeGroup(encodeGroup([anEntry({ payload })]), 1, 1)[0]?.payload).toBe(payload);
  });

  test.each([
    ["in ASCII", "x"],
    ["beyond it", "漢"],
  ])("%s is let go of by who keeps one of its entries", (_what, char) => {
    const group = encodeGroup(Array.from({ length: 200 }, () => anEntry({ payload: char.repeat(1_000) })));
    const heapBytes = () => {
      // The first may only end one that is under way.
      Bun.gc(true);
      Bun.gc(true);
      return heapStats().heapSize;
    };
    const before = heapBytes();
    const kept = Array.from({ length: 100 }, (_, i) => decodeGroup(group, i * 200 + 1, 200)[7]);
    // Of all 20,000 entries it is twenty to forty million.
    expect(heapBytes() - before).toBeLessThan(2_000_000);
    expect(kept[99]?.seq).toBe(19_808);
  });
});
