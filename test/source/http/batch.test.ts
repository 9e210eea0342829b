/** A batch is taken apart byte for byte, whatever stands in its messages, and whatever is no batch is refused with a word. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isObject } from "../../../src/core/text/is-object.ts";
import { Refused } from "../../../src/source/http/answers.ts";
import { itemsOf } from "../../../src/source/http/batch.ts";

const item = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
const blank = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
const textsOf = (body: string) => [...itemsOf(Buffer.from(body), 8192)].map(({ bytes }) => bytes.toString());

test("an array and lines give their messages back, with any blanks around them", () => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 6 }), blank, blank, (items, before, after) => {
      const texts = items.map((one) => JSON.stringify(one));
      const array = `${before}[${before}${texts.join(`${after},${before}`)}${after}]${after}`;
      expect(textsOf(array)).toEqual(texts);
      expect(textsOf(`\uFEFF${array}`)).toEqual(texts);
      expect(textsOf(`\uFEFF${texts.join("\n")}`)).toEqual(texts);
      expect(textsOf(`${before}${texts.join(`${after}\n`)}${after}`)).toEqual(texts);
    }),
  );
});

function isJsonObject(text: string): boolean {
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

test("of what is not one, only a refusal comes, and an array is one only if JSON says so", () => {
  const sign = fc.constantFrom("[", "]", "{", "}", ",", ":", '"', "\\", "a", "1", " ", "\n");
  const nearly = fc.array(fc.oneof(sign, fc.constantFrom("{}", '{"a":1}', "[{}]")), { maxLength: 12 });
  fc.assert(
    fc.property(fc.constantFrom("", "["), nearly, (start, signs) => {
      const body = start + signs.join("");
      try {
        const texts = textsOf(body);
        if (body.trim().startsWith("[")) JSON.parse(body);
        expect(texts.filter(isJsonObject)).not.toEqual([]);
      } catch (error) {
        expect(error).toBeInstanceOf(Refused);
      }
    }),
    { numRuns: 5_000 },
  );
});
