import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { aToken } from "../kit/builders.ts";
import { redact } from "../../src/judge/redact.ts";
import { wrapRaw, unwrapRaw, scrub } from "../../src/judge/scrub.ts";

describe("redact", () => {
  test.each([
    ["the usual", `{"a":1.0,"provision_token":"${aToken}"}`, '{"a":1.0,"provision_token":"***"}'],
    ["with spaces", `{"provision_token" : "${aToken}" }`, '{"provision_token" : "***" }'],
    [
      "twice",
      `{"provision_token":"x","provision_token":"${aToken}"}`,
      '{"provision_token":"***","provision_token":"***"}',
    ],
    ["deep", `{"a":[{"provision_token":"s3cret"}]}`, '{"a":[{"provision_token":"***"}]}'],
    ["in another case", `{"Provision_Token":"s3cret"}`, '{"Provision_Token":"***"}'],
    ["a number", `{"provision_token":12345678.5}`, '{"provision_token":"***"}'],
    ["an object", `{"provision_token":{"a":["}"]},"b":1}`, '{"provision_token":"***","b":1}'],
    ["with an escaped quote", `{"provision_token":"a\\"b","b":1}`, '{"provision_token":"***","b":1}'],
    ["null says nothing", `{"provision_token":null}`, '{"provision_token":null}'],
    ["a key spelled with escapes", `{"provision\\u005ftoken":"s3cret"}`, '{"provision_token":"***"}'],
    [
      "an escaped key that a duplicate hides",
      `{"a":{"\\u0070rovision_token":"s3cret"},"a":1}`,
      '{"a":{"provision_token":"***"},"a":1}',
    ],
    ["an escaped backslash is no escape", `{"a":"\\\\u0041"}`, '{"a":"\\\\u0041"}'],
    [
      "other escapes stay",
      `{"unit":"\\u00b0C","provision_token":"x"}`,
      '{"unit":"\\u00b0C","provision_token":"***"}',
    ],
    ["a longer name", `{"my_provision_token":"x"}`, '{"my_provision_token":"***"}'],
    [
      "a name that only speaks of one: a number is none",
      `{"token_count":5,"a":"b"}`,
      '{"token_count":5,"a":"b"}',
    ],
    [
      "nor is its text one to be searched for",
      `{"token_type":"telemetry","m":"telemetry"}`,
      '{"token_type":"***","m":"telemetry"}',
    ],
    [
      "no secret in true, false or null",
      `{"token":null,"secret":true,"pwd":false}`,
      '{"token":null,"secret":true,"pwd":false}',
    ],
    [
      "an innocent value that holds the word",
      `{"site_id":"secret-lab","n":"passwords"}`,
      '{"site_id":"secret-lab","n":"passwords"}',
    ],
    ["a metric of that name", `{"pwd":21,"token":1.5,"secret":-3}`, '{"pwd":21,"token":1.5,"secret":-3}'],
    [
      "a number that is one",
      `{"password":123456,"provisionToken":7}`,
      '{"password":"***","provisionToken":"***"}',
    ],
    [
      "a number that a double cannot hold, elsewhere",
      `{"password":12345678901234567891,"note":"it is 12345678901234567891"}`,
      '{"password":"***","note":"it is ***"}',
    ],
    ["elsewhere", `{"note":"I am ${aToken}!","${aToken}":1}`, '{"note":"I am ***!","***":1}'],
    ["line breaks", `{\r\n"a":\n1}`, '{  "a": 1}'],
  ])("%s", (_, text, wanted) => {
    expect(redact(text, aToken)).toBe(wanted);
  });

  test.each([
    ["alone", `{"a":1,"provision_token":"${aToken}","b":2}`, '{"a":1,"provision_token":"***","b":2}'],
    [
      "once more behind it",
      `{"provision_token":"${aToken}","b":"${aToken}"}`,
      '{"provision_token":"***","b":"***"}',
    ],
    [
      "once more before it",
      `{"b":"${aToken}","provision_token":"${aToken}"}`,
      '{"b":"***","provision_token":"***"}',
    ],
    [
      "with another",
      `{"provision_token":"${aToken}","b":"tok-${"c".repeat(32)}"}`,
      '{"provision_token":"***","b":"tok-***"}',
    ],
  ])("a token as the registry issues it, %s", (_, text, wanted) => {
    expect(redact(text, aToken)).toBe(wanted);
  });

  // A part of a text that has an escape in it is searched whole.
  test.each(["the pressure rises ", "iVBORw0KGgo/AAA+", "20 °C ", "温度", "key ", "my secret pwd "])(
    "what stands beside a long string of %j is what a search of the whole text finds",
    (unit) => {
      const near = [
        `{"provision_token":"${aToken}","@":1,"n":"#"}`,
        `{"n":"#","provision_token":"${aToken}","m":"#"}`,
        `{"n":"#","password":"s3cretvalue","m":["#","I am s3cretvalue"],"provision_token":"${aToken}"}`,
        `{"password":"s3cretvalue","n":"#","m":"#","provision_token":"${aToken}"}`,
        `{"#password":"s3cretvalue","n":"#"}`,
        `{"secret#":"x","n":"#","apiKey" : "#"}`,
        `{"n":"#${aToken}#","provision_token":"${aToken}"}`,
        `{"n":"#tok-abcdefgh#","provision_token":"${aToken}"}`,
        `{"n":"#TOK-abcdefgh#"}`,
        ...["password=hunter2x", "token abcdefgh", "Bearer abcdefgh", "pwd: abcdefgh", "secret>abcdefgh"].map(
          (said) => `{"n":"# ${said} #","provision_token":"${aToken}"}`,
        ),
        `{"n":"#\\" ,\\"password\\":\\"abcdefgh\\"#"}`,
        `{"n":"#","n":"#\\\\","pwd":"abcdefgh","pwd":null}`,
      ];
      for (const form of near) {
        const text = form.replaceAll("#", unit.repeat(800));
        const whole = redact(`{"":"\\n",${text.slice(1, -1)},"":"\\n"}`, aToken);
        expect([form, `{"":"\\n",${redact(text, aToken).slice(1, -1)},"":"\\n"}`]).toEqual([form, whole]);
      }
    },
  );

  test("what stands between a name and its secret may be escaped twice", () => {
    const page = "the pressure rises ".repeat(80);
    const text = `{"n":"${page}","m":"${page} password\\\\u003aabcdefgh"}`;
    expect(redact(text, undefined)).not.toContain("abcdefgh");
  });

  test("the token that was presented, though another stands under its name", () => {
    const text = `{"provision_token":"${aToken}","key":"mine-12345"}`;
    expect(redact(text, "mine-12345")).toBe('{"provision_token":"***","key":"***"}');
  });

  test("JSON within JSON", () => {
    const text = JSON.stringify({ note: JSON.stringify({ provision_token: "s3cret", a: "b" }) });
    const out = redact(text, undefined);
    expect(out).not.toContain("s3cret");
    expect(JSON.parse(out)).toBeObject();
  });

  test("a token of digits does not break a number", () => {
    const text = '{"provision_token":"12345678","a":12345678.5,"b":"12345678"}';
    expect(redact(text, "12345678")).toBe('{"provision_token":"***","a":12345678.5,"b":"***"}');
  });

  test("a short token is blanked where it stands, and not searched for elsewhere", () => {
    expect(redact('{"provision_token":"lab","site_id":"lab"}', "lab")).toBe(
      '{"provision_token":"***","site_id":"lab"}',
    );
  });

  /** Keys that look like the name, values that hold the token, and anything else. */
  const token = fc
    .string({ minLength: 8, maxLength: 40, unit: "grapheme-ascii" })
    .filter((s) => s !== "********");
  const name = fc.constantFrom(
    "provision_token",
    "Provision_Token",
    "provision_token ",
    "note",
    "ts",
    "a\\",
    'q"',
  );

  test("no token survives, the text stays one line of valid JSON, and all other values stay", () => {
    fc.assert(
      fc.property(
        token,
        fc.array(name),
        fc.jsonValue(),
        fc.boolean(),
        fc.boolean(),
        (secret, names, other, pretty, escaped) => {
          const value = {
            ...Object.fromEntries(names.map((key, at) => [key, at % 2 ? `<${secret}>` : secret])),
            other,
          };
          const body = { provision_token: secret, deep: [value] };
          let text = JSON.stringify(body, null, pretty ? 2 : 0);
          if (escaped)
            text = text
              .replaceAll("_", "\\u005f")
              .replaceAll("e", "\\u0065")
              .replace(/\\\\u00/g, "\\\\\\\\u00");
          try {
            JSON.parse(text);
          } catch {
            return; // The generator put an escape where it is not one; such a case is of no interest.
          }
          const out = redact(text, secret);
          expect(out).not.toMatch(/[\r\n]/);
          const back = JSON.parse(out) as typeof body;
          expect(back.provision_token).toBe("***");
          expect(everyString(back).filter((string) => string.includes(secret))).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("text without a token stays byte for byte", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(!/provision_token/i.test(text) && !/\\u00[2-7]/.test(text));
        expect(redact(text, undefined)).toBe(text.replace(/[\r\n]/g, " "));
      }),
    );
  });
});

function everyString(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => [key, ...everyString(member)]);
}

test("data in base64 that spells a name by chance stays as it is", () => {
  for (const data of ["AQIDpwdBBBQ==", "cGFzpwd=", "tokenAAA=", "AApwd+/pwd=="]) {
    const text = JSON.stringify({ data, nested: { frm_payload: data } });
    expect(redact(text, undefined)).toBe(text);
  }
});

describe("text that is not JSON", () => {
  test.each([
    ['{"provision_token":"s3cret-value', '{"provision_token":"***'],
    ["{'provision_token': 's3cret', a", "{'provision_token': '***', a"],
    ["provision_token=s3cret&a=1", "provision_token=***&a=1"],
    ["<provision_token>s3cret</provision_token>", "<provision_token>***</provision_token>"],
    ["PROVISION-TOKEN: s3cret", "PROVISION-TOKEN: ***"],
    ["provision_token s3cret", "provision_token ***"],
    ['{\\"provision_token\\":\\"s3cret\\"', '{\\"provision_token\\":\\"***\\"'],
    ["hello tok-dev-0001 there", "hello tok-*** there"],
    ["provision_token=s3cret-value x s3cret-value", "provision_token=*** x ***"],
  ])("%p", (text, wanted) => {
    expect(scrub(text)).toBe(wanted);
  });

  test("is kept as one line of JSON that PostgreSQL takes, and found again", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const kept = wrapRaw(text);
        expect(kept).not.toMatch(/[\r\n]|\\u0000|\\ud[89a-f]/);
        expect(unwrapRaw(kept).text).toBe((JSON.parse(kept) as { _raw: string })._raw);
      }),
    );
    expect(unwrapRaw('{"_raw":"x","site_id":"lab-1"}').text).toBe('{"_raw":"x","site_id":"lab-1"}');
  });
});
