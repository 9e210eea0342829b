import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeText } from "../../src/judge/decode.ts";
import { nestingMax, unstorable } from "../../src/judge/unstorable.ts";
import { isRejection } from "../../src/judge/verdict.ts";

const nested = (depth: number, open = "[", close = "]") => open.repeat(depth) + close.repeat(depth);

describe("what PostgreSQL cannot hold", () => {
  test.each([
    ["\\u0000 in a value", '{"a":"x\\u0000"}'],
    ["\\u0000 in a key", '{"\\u0000":1}'],
    ["\\u0000 that a duplicate key hides", '{"a":"\\u0000","a":1}'],
    ["a high surrogate alone", '{"a":"\\ud83d"}'],
    ["a high surrogate before something else", '{"a":"\\ud83d\\u0041"}'],
    ["a low surrogate alone", '{"a":"\\udc00"}'],
    ["surrogates in the wrong order", '{"a":"\\udc00\\ud83d"}'],
    ["nesting", `{"a":${nested(nestingMax)}}`],
    ["nesting of objects", nested(nestingMax + 1, '{"a":', "}").replace("}", "1}")],
    ["nesting that a duplicate key hides", `{"a":${nested(nestingMax)},"a":1}`],
    ["a large exponent", '{"a":1e131073}'],
    ["a small exponent", '{"a":1E-16384}'],
    ["an exponent beyond all bounds", `{"a":1e${"9".repeat(400)}}`],
    ["too many digits after the point", `{"a":0.${"1".repeat(16_384)}}`],
  ])("%s", (_, text) => {
    expect(unstorable(text)).toBeString();
    expect(decodeText(text)).toMatchObject({ code: "UNSTORABLE_TEXT" });
  });

  test.each([
    ["an escaped backslash before u0000", '{"a":"\\\\u0000"}'],
    ["a pair", '{"a":"\\ud83d\\ude00"}'],
    ["the first pair and the last", '{"a":"\\ud800\\udc00","b":"\\udbff\\udfff"}'],
    ["other escapes", '{"a":"\\u0001\\u00b0\\n\\"\\\\"}'],
    ["nesting to the bound", `{"a":${nested(nestingMax - 1)}}`],
    ["many brackets side by side", `{"a":[${Array(500).fill("{}").join()}]}`],
    ["many brackets around text and numbers", `{"a":[${Array(200).fill('["x"],[1],{"b":22}').join()}]}`],
    ["brackets in text", JSON.stringify({ a: "[{".repeat(500), b: '"[['.repeat(100) })],
    ["numbers that a double cannot hold, but numeric can", '{"a":1e400,"b":-1e-400,"c":1e9999}'],
    ["numbers of as many digits as numeric has", '{"a":1e131071,"b":1e-16383}'],
    ["what looks like an exponent in text", '{"a":"dev-1e99999"}'],
  ])("but it holds %s", (_, text) => {
    expect(unstorable(text)).toBeNull();
  });
});

test("any text is decoded or rejected, without an exception", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json(), fc.json().map(cutShort)), (text) => {
      const decoded = decodeText(text);
      if (!isRejection(decoded)) expect(decoded.text).toBe(text);
    }),
    { numRuns: 2000 },
  );
});

test("what JSON.stringify writes from storable values is accepted", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 20 })), (value) => {
      fc.pre(!/\\u0000/.test(JSON.stringify(value)));
      expect(isRejection(decodeText(JSON.stringify(value)))).toBe(false);
    }),
  );
});

function cutShort(text: string): string {
  return text.slice(0, -1);
}
