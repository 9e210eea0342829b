/** Sizes and durations in the form in which people write them. */
import { describe, expect, test } from "bun:test";
import { integer, optionalInteger } from "../../src/core/settings.ts";

const of = (unit: string) => integer({ name: "X", help: "", unit, default: 0 }).schema;

describe("a setting", () => {
  test.each([
    ["bytes", "1048576", 1_048_576],
    ["bytes", "10GB", 10_000_000_000],
    ["bytes", "10 GB", 10_000_000_000],
    ["bytes", "10GiB", 10_737_418_240],
    ["bytes", "0.067GB", 67_000_000],
    ["bytes", "1.5KiB", 1536],
    ["bytes", "2tib", 2_199_023_255_552],
    ["bytes", "7B", 7],
    ["ms", "250", 250],
    ["ms", "250ms", 250],
    ["ms", "1.5s", 1500],
    ["ms", "10m", 600_000],
    ["seconds", "90", 90],
    ["seconds", "2000ms", 2],
    ["seconds", "15min", 900],
    ["seconds", "12h", 43_200],
    ["seconds", "7d", 604_800],
    ["days", "2w", 14],
    ["days", "48h", 2],
    ["messages", "20000", 20_000],
  ] as const)("in %s: %s is %d", (unit, said, meant) => {
    expect(of(unit).parse(said)).toBe(meant);
  });

  test.each([
    ["bytes", "10G", "such as 512MB (10^6) or 10GiB (2^30)"],
    ["bytes", "7d", "(bytes)"],
    ["bytes", "1.5", "a whole number"],
    ["bytes", "1.5B", "a whole number"],
    ["bytes", "-1", "a whole number"],
    ["bytes", "1e9", "a whole number"],
    ["bytes", "9007199254740993", "a whole number"],
    ["seconds", "1500ms", "a whole number"],
    ["seconds", "10GB", "such as 500ms, 30s, 15m, 12h or 7d"],
    ["seconds", "1 month", "a whole number"],
    ["days", "36h", "a whole number"],
    ["messages", "20k", "a whole number, 0 or more"],
    ["messages", "", "a whole number"],
  ] as const)("in %s: %s is a mistake", (unit, said, wanted) => {
    const read = of(unit).safeParse(said);
    expect(read.success ? "" : read.error.issues[0]?.message).toContain(wanted);
  });

  test.each([
    ["bytes", 10 * 2 ** 30, "10GiB"],
    ["bytes", 64 * 2 ** 20, "64MiB"],
    ["bytes", 8_192, "8192"],
    ["bytes", 0, "0"],
    ["seconds", 2 ** 30, "1073741824"],
  ])("in %s: the default %i is written %s, which reads as the same", (unit, number, text) => {
    const setting = integer({ name: "X", help: "", unit, default: number });
    expect([setting.default, setting.schema.parse(text)]).toEqual([text, number]);
  });

  test("that may be absent, is", () => {
    const { schema } = optionalInteger({ name: "X", help: "", unit: "seconds", min: 1 });
    expect(schema.parse(undefined)).toBeUndefined();
    expect(schema.parse("7d")).toBe(604_800);
    expect(schema.safeParse("0").success).toBe(false);
  });
});
