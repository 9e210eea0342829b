import { describe, expect, test } from "bun:test";
import { withoutTokens } from "../../src/judge/redact.ts";
import { isPending } from "../../src/judge/contract.ts";
import { aBody, aDevice, aMessage, sha256 } from "../kit/builders.ts";
import { seededRandom } from "../../src/simulator/random.ts";
import { formsOf, hidings, secrets } from "../kit/secrets.ts";
import { endOfPlainText } from "../../src/judge/plain-text.ts";
import { namesSecret, secretSign } from "../../src/judge/secret-names.ts";
import { court, dev, entryOf } from "./court.ts";

test("a plain text ends at its quote, and one that names a secret or holds a token is none", () => {
  const signs = ["token", "passw", "passphrase", "secret", "authorisation", "authorization", "pwd", "tok-"];
  const keys = ["", " ", ".", "_", "-"].map((between) => `api${between}key`);
  const beyond = ["\t", "\u00a0", "\u2003", "\ufeff"].map((between) => `api${between}key`);
  const plain = [
    "",
    "eco",
    "on 21.5",
    "tok",
    "totoke",
    "pass",
    "pas\u00a0swd",
    "passphras",
    "pw",
    "api--key",
    "secre",
    "a'b",
  ];
  const pieces = [
    "to",
    "tok",
    "ken",
    "pass",
    "phrase",
    "sec",
    "ret",
    "api",
    "key",
    "pw",
    "d",
    "authori",
    "s",
    "z",
    "ation",
    " ",
    "-",
    "°",
  ] as const;
  const random = seededRandom(5);
  const joined = Array.from({ length: 20_000 }, () =>
    Array.from({ length: random.whole(1, 6) }, () => {
      const piece = random.pick(pieces);
      return random.whole(0, 3) === 0 ? piece.toUpperCase() : piece;
    }).join(""),
  );
  for (const text of [...signs, ...keys, ...beyond, ...plain, ...joined]) {
    // Whatever is no printable ASCII may be white space.
    const isPlain = !/\t|tok-|api[^ -~]key/i.test(text) && !secretSign.test(text);
    for (const isAscii of [false, true]) {
      const isOne = isPlain && !(isAscii && /[^ -~]/.test(text));
      const end = endOfPlainText(`"${text}","`, 1, 256, isAscii);
      expect([text, isAscii, end]).toEqual([text, isAscii, isOne ? text.length + 1 : -1]);
    }
  }
});

test("a plain text is as long as allowed, has no escape and no control character, and ends", () => {
  const end = (text: string, isAscii = false) => endOfPlainText(text, 0, 8, isAscii);
  expect([end('12345678"'), end('123456789"'), end("1234567"), end("")]).toEqual([8, -1, -1, -1]);
  expect([end('a\\"b"'), end('a\nb"'), end('a\u0000"'), end('a\u001fb"')]).toEqual([-1, -1, -1, -1]);
  expect([end('20 °C"'), end('20 °C"', true), end('温度"'), end('温度"', true)]).toEqual([5, -1, 2, -1]);
});

describe("a name of a secret is found in long text as in short", () => {
  const signs = ["token", "passw", "passphrase", "secret", "authorisation", "authorization", "pwd", "apikey"];
  const split = [" ", "\t", ".", "_", "-", "\u00a0", "\u2003", "\ufeff"].map((between) => `api${between}key`);
  const near = [
    "toke",
    "pass",
    "passphras",
    "secre",
    "authori_ation",
    "pw",
    "api--key",
    "api\u200bkey",
    "key",
    "to ken",
  ];
  const fillings = ["p", "temp 21 ", "20 °C ", "温度", "\ud83d\ude00", "Aa0", "key ", "ap"];
  const cases = (sign: string) => [sign, sign.toUpperCase(), sign.replace(/^./, (c) => c.toUpperCase())];

  test.each(fillings)("among %j", (filling) => {
    for (const sign of [...signs, ...split, ...near].flatMap(cases)) {
      for (const [before, after] of [
        [0, 300],
        [300, 0],
        [150, 150],
        [299, 1],
      ] as const) {
        const text = filling.repeat(before) + sign + filling.repeat(after);
        expect([text, namesSecret(text)]).toEqual([text, secretSign.test(text)]);
      }
    }
    expect([...signs, ...split].every((sign) => namesSecret(filling.repeat(300) + sign))).toBe(true);
    expect(namesSecret(filling.repeat(300))).toBe(false);
  });
});

describe("a secret is nowhere in what is kept, shown or passed on", () => {
  test.each(secrets)("%s", (secret) => {
    const it = court({ policy: dev });
    it.device = aDevice({ tokenHash: sha256(secret) });
    const leaks: string[] = [];
    let count = 0;
    for (const { what, topic, payload } of hidings(secret)) {
      const message = aMessage(payload, { topic });
      const outcome = it.judge.judge(message);
      if (isPending(outcome)) throw new Error("the device is at hand");
      const kept = JSON.stringify({ ...outcome, tokenHash: null });
      const passedOn = Buffer.from(withoutTokens(message.payload)).toString();
      // However many backslashes the levels of JSON add.
      const bare = (text: string) => text.replaceAll("\\", "");
      const isIn = (text: string) => formsOf(secret).some((form) => bare(text).includes(bare(form)));
      if (isIn(kept) || isIn(passedOn)) leaks.push(`${what}: ${kept}`);
      count++;
    }
    expect(leaks.slice(0, 5)).toEqual([]);
    expect(count).toBeGreaterThan(1_000);
  });

  test.each([
    "provision-token: SECRET-value-1",
    "Authorization: Bearer SECRET-value-1",
    "token=SECRET-value-1&a=1",
    "a=1;Password = SECRET-value-1",
    "<apiKey>SECRET-value-1</apiKey>",
    "{'clientSecret': 'SECRET-value-1'",
    "api key: SECRET-value-1",
    '{"meta":{"API.Key":"SECRET-value-1"}}',
    "Bearer SECRET-value-1",
    '[{"wifi_secret":{"a":"SECRET-value-1"}}]',
    '[{"wifi_pass!word":"SECRET-value-1"}]',
    '{"accessToken":"SECRET-value-1","a":',
    'temp 21 "passwd" : "SECRET-value-1 with blanks"',
  ])("by its name alone: %s", (text) => {
    const it = court({ policy: dev });
    const outcome = it.judge.judge(aMessage(text));
    expect(JSON.stringify(outcome)).not.toContain("SECRET");
    expect(JSON.stringify(outcome)).not.toContain("with blanks");
  });

  test.each(["provision_token", "provision_tokens", "wifi_password", "secret", "api_key"])(
    "if the message is rejected, also under a name %p that was damaged anywhere",
    (name) => {
      const it = court({ policy: dev });
      const leaks: string[] = [];
      for (let at = 1; at < name.length; at++)
        for (const foreign of [
          "\x7f",
          "!",
          " ",
          ".",
          "_",
          "-",
          ",",
          "{",
          "\u200b",
          "\u00ad",
          "°",
          "温",
          "  \x7f",
        ]) {
          const damaged = name.slice(0, at) + foreign + name.slice(at);
          const text = JSON.stringify({ site_id: "lab-1", [damaged]: "1234567890", metrics: { a: 1 } });
          const { kind, payload } = entryOf(it.judge.judge(aMessage(text)));
          expect(kind).toBe("reject");
          if (payload.includes("1234567890")) leaks.push(payload);
        }
      expect(leaks).toEqual([]);
    },
  );

  test("written with other escapes, in JSON that cannot be stored", () => {
    const text = '{"provision_token":"gehäuse-17","note":"geh\\u00e4use-17","x":"\\u0000"}';
    const { reason, payload } = entryOf(court({ policy: dev }).judge.judge(aMessage(text)));
    expect(reason).toBe("UNSTORABLE_TEXT");
    expect(payload).not.toContain("use-17");
  });

  test("in the topic, named far within what is no JSON", () => {
    const message = aMessage(`${"x ".repeat(2_000)}token=SECRET-value-1`, {
      topic: "tenant/acme/device/SECRET-value-1/telemetry",
    });
    expect(JSON.stringify(court({ policy: dev }).judge.judge(message))).not.toContain("SECRET");
  });

  test("in UTF-16 that has bytes of something else within it", () => {
    const token = "tok-QhRzcv3lm8NjBNQ0fnjOEp0BTRBtMPp6";
    const [before, after] = [`{"site_id":"${token.slice(0, 5)}`, `${token.slice(5)}","metrics":{"a":1}}`];
    const parts = [Buffer.from(before, "utf16le"), Buffer.from([0xff, 0xfe]), Buffer.from(after, "utf16le")];
    const { payload } = entryOf(court({ policy: dev }).judge.judge(aMessage(Buffer.concat(parts))));
    expect(payload).toContain("site_id");
    expect(payload.replaceAll(/[^\w-]/g, "")).not.toContain(token);
  });

  test("what only looks like such a name without its separators keeps its words", () => {
    const text = `{"site_id":"lab-1","netto_kennung":"A-12345678","foto_kenwort":"B-12345678","metrics":{"netto_kendo":1234567}}`;
    expect(entryOf(court({ policy: dev }).judge.judge(aMessage(text)))).toMatchObject({
      kind: "reject",
      payload: text,
    });
  });

  // If it were quadratic, it would take hours.
  test("very long text does not take very long", () => {
    const it = court({ policy: { ...dev, payloadBytesMax: 1_000_000 } });
    for (const part of [
      "token",
      "token-",
      "tokentoken ",
      "token ",
      "token\\\\ ",
      '"token',
      "bearer ",
      "pwd==",
    ]) {
      const entry = entryOf(it.judge.judge(aMessage(part.repeat(1_000_000 / part.length))));
      expect(entry.reason).toBe("MALFORMED_JSON");
    }
  }, 60_000);

  test("nor do sixteen secrets that stand among many strings, and once more in some", () => {
    const it = court({ policy: { ...dev, payloadBytesMax: 1_000_000 } });
    const secretOf = (i: number) => `value-of-secret-${i}.`;
    const named = Array.from({ length: 15 }, (_, i) => [`m${i}_secret`, secretOf(i)]);
    const strings = Array.from({ length: 190_000 }, (_, i) => (i % 9_999 === 0 ? secretOf(i / 9_999) : "a"));
    const body = { ...aBody(), ...Object.fromEntries(named), strings };
    const { reason, payload } = entryOf(it.judge.judge(aMessage(body)));
    expect(reason).toBeNull();
    // Of the twenty copies five are of no secret that has a name.
    expect(payload.match(/value-of-secret/g)?.length).toBe(5);
  }, 60_000);
});
