import { expect, test } from "bun:test";
import fc from "fast-check";
import { nanoseconds } from "../../src/core/entry.ts";
import { readTimestamp } from "../../src/judge/timestamp.ts";

const day = Date.UTC(2026, 10, 21);

test.each<[unknown, number, number]>([
  ["2026-11-21", day, 0],
  ["20261121", day, 0],
  ["2026-11-21T02:25:02Z", day + 8_702_000, 0],
  ["2026-11-21 02:25:02", day + 8_702_000, 0],
  ["20261121T022502Z", day + 8_702_000, 0],
  ["2026-11-21t02:25z", day + 8_700_000, 0],
  ["2026-11-21T02", day + 7_200_000, 0],
  ["2026-11-21T02:25:02.1234", day + 8_702_123, 400_000],
  ["2026-11-21T02:25:02,123456789Z", day + 8_702_123, 456_789],
  ["2026-11-21T00:00:00+01:30", day - 5_400_000, 0],
  ["2026-11-21T00:00:00-0130", day + 5_400_000, 0],
  ["2026-11-21T00:00:00+01", day - 3_600_000, 0],
  ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29), 0],
  ["1969-12-31T23:59:59.9999Z", -1, 900_000],
  ["1677-09-22", Date.UTC(1677, 8, 22), 0],
  [1_763_692_800, 1_763_692_800_000, 0],
  [1_763_692_800.5, 1_763_692_800_500, 0],
  [1_763_692_800.123456, 1_763_692_800_123, 456_000],
  [1_763_692_800_123, 1_763_692_800_123, 0],
  [1_763_692_800_123.25, 1_763_692_800_123, 250_000],
  [0, 0, 0],
  [-0.0001, -1, 900_000],
  [1.999_999_9, 2000, 0],
  [9_223_372_036, 9_223_372_036_000, 0],
  [100_000_000_000, 100_000_000_000, 0],
])("%p is read", (value, ms, ns) => {
  expect(readTimestamp(value)).toEqual({ ms, ns });
});

test.each<[unknown]>([
  [""],
  ["now"],
  ["2026-02-29"],
  ["2026-04-31T00:00:00Z"],
  ["2026-13-01"],
  ["2026-00-01"],
  ["2026-01-00"],
  ["2026-11-2"],
  ["2026-1121"],
  ["2026-11-21T24:00:00Z"],
  ["2026-11-21T23:59:60Z"],
  ["2026-11-21T23:60:00Z"],
  ["2026-11-21T00:00:00+24:00"],
  ["2026-11-21T00:00:00+01:60"],
  ["2026-11-21T00:00:00.1234567890Z"],
  ["2026-11-21T00:00:00.Z"],
  [" 2026-11-21"],
  ["2026-11-21T00:00:00Z\n"],
  ["0099-01-01"],
  ["1677-09-20"],
  ["2262-04-12"],
  ["١٩٩٩-١٢-١٢"],
  [Number.NaN],
  [Number.POSITIVE_INFINITY],
  [1e300],
  [99_999_999_999],
  [true],
  [{}],
  [[]],
])("%p is no time", (value) => {
  expect(readTimestamp(value)).toBeNull();
});

const inRange = fc.date({
  min: new Date("1677-09-22T00:00:00Z"),
  max: new Date("2262-04-10T00:00:00Z"),
  noInvalidDate: true,
});

test("whatever Date writes in ISO 8601 is read as the same time, in any zone and form", () => {
  fc.assert(
    fc.property(inRange, fc.integer({ min: -1439, max: 1439 }), fc.boolean(), (date, offset, isBasic) => {
      const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
      const two = (n: number) => String(Math.trunc(n)).padStart(2, "0");
      const zone = `${offset < 0 ? "-" : "+"}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`;
      const text = isBasic ? (local + zone.replace(":", "")).replace(/-(?=.*T)|:/g, "") : local + zone;
      expect(readTimestamp(text)).toEqual({ ms: date.getTime(), ns: 0 });
    }),
  );
});

test("nine digits of a fraction arrive as nanoseconds, even before 1970", () => {
  fc.assert(
    fc.property(inRange, fc.integer({ min: 0, max: 999_999_999 }), (date, nanos) => {
      const second = Math.floor(date.getTime() / 1000);
      const text = `${new Date(second * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, "0")}Z`;
      const read = readTimestamp(text);
      if (read === null) throw new Error(`${text} was not read`);
      expect(BigInt(nanoseconds(read.ms, read.ns))).toBe(BigInt(second) * 1_000_000_000n + BigInt(nanos));
    }),
  );
});

test("any number is a time in range or none, with its nanoseconds within the millisecond", () => {
  fc.assert(
    fc.property(fc.double(), (value) => {
      const read = readTimestamp(value);
      if (read === null) return;
      expect(Number.isInteger(read.ms)).toBe(true);
      expect(read.ns >= 0 && read.ns < 1_000_000).toBe(true);
      const size = Math.abs(value);
      const scale = size < 1e11 ? 1e3 : size < 1e14 ? 1 : size < 1e17 ? 1e-3 : 1e-6;
      expect(Math.abs(read.ms + read.ns / 1e6 - value * scale)).toBeLessThan(0.002);
    }),
  );
});
