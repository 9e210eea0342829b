/** What a form tells of a payload is what is found out stage by stage: each text is judged both ways, and the verdicts are compared. */
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addresses, type Address } from "../../src/core/address.ts";
import type { Entry } from "../../src/core/entry.ts";
import type { Message } from "../../src/core/message.ts";
import { createShelf, formsMax } from "../../src/judge/form-shelf.ts";
import { aDevice, aMessage, aToken, sha256, type TestMessage } from "../kit/builders.ts";
import { court, dev, entryOf, pendingOf, type Court } from "./court.ts";

const topic = "tenant/acme/device/dev-0001/telemetry";

function addressOf(of = topic): Address {
  const address = addresses.find(of);
  if (address === undefined) throw new Error("nobody was accepted there");
  return address;
}

/** Nothing is known of its payloads. */
function forget(of = topic) {
  const address = addresses.find(of);
  if (address !== undefined) [address.form, address.formSite, address.formless] = [-1, "", 0];
}

/** Judged by the form that is known, if it fits; and by stages. */
function bothWays({ judge }: Court, message: Message): readonly [Entry, Entry, isFit: boolean] {
  const address = addressOf(message.topic);
  const { form, formSite } = address;
  // So that neither way learns.
  address.formless = 1;
  const quick = entryOf(judge.judge(message));
  const isFit = address.formless === 1 && quick.kind === "event";
  [address.form, address.formless] = [-1, 1];
  const staged = entryOf(judge.judge(message));
  [address.form, address.formSite] = [form, formSite];
  // Of what form a payload is, only the quick way tells.
  return [{ ...quick, form: undefined }, staged, isFit];
}

const usual = {
  site_id: "lab-1",
  seq: 7,
  provision_token: aToken,
  ts: "2026-11-20T10:00:00.125Z",
  metrics: { temp_c: 21.5, rssi_dbm: -60, on: true, mode: "eco", gone: null },
};
const textOf = (changes: Record<string, unknown>) => JSON.stringify({ ...usual, ...changes });

function taught(text: string, changes: Partial<TestMessage> = {}): Court {
  const it = court({ policy: dev });
  forget();
  expect(entryOf(it.judge.judge(aMessage(text, changes))).kind).toBe("event");
  return it;
}

beforeEach(() => forget());

describe("a payload of a form that its device used before", () => {
  test.each<[string, string, string]>([
    [
      "other numbers",
      textOf({}),
      textOf({ seq: 8, metrics: { ...usual.metrics, temp_c: -0.5, rssi_dbm: 0 } }),
    ],
    [
      "an epoch of more digits than a double holds",
      textOf({ ts: 0 }).replace('"ts":0', '"ts":1764363600123456789'),
      textOf({ ts: 0 }).replace('"ts":0', '"ts":1764363600123456999'),
    ],
    ["another flag", textOf({}), textOf({ metrics: { ...usual.metrics, on: false } })],
    [
      "another text",
      textOf({}),
      textOf({ metrics: { ...usual.metrics, mode: "away, °C" } }).replace("°", "o"),
    ],
    ["another time", textOf({}), textOf({ ts: "2024-02-29T23:59:59Z" })],
    ["a time with a zone", textOf({}), textOf({ ts: "2026-11-20T10:00:00.123456+05:30" })],
    ["an epoch", textOf({ ts: 1_764_000_000 }), textOf({ ts: 1_764_000_001.5 })],
    ["no time", textOf({ ts: undefined }), textOf({ ts: undefined, seq: 9 })],
    [
      "its own names",
      textOf({ tenant_id: "acme", device_id: "dev-0001", msg_type: "telemetry" }),
      textOf({ tenant_id: "acme", device_id: "dev-0001", msg_type: "telemetry", seq: 9 }),
    ],
    ["other characters", textOf({ unit: "°C" }), textOf({ unit: "°F", seq: 9 })],
    [
      "blanks",
      `{ "site_id" : "lab-1", "provision_token" : "${aToken}" ,"metrics":{"a" : 1}}`,
      `{ "site_id" : "lab-1", "provision_token" : "${aToken}" ,"metrics":{"a" : 2}}`,
    ],
    [
      "members within others, called as its own",
      textOf({ metrics: { seq: 1, ts: 5 } }),
      textOf({ metrics: { seq: 1.5, ts: -7 } }),
    ],
    ["arrays", textOf({ raw: [1, 2.5, [3, "x"]] }), textOf({ raw: [10, 0.5, [-3, "y"]] })],
  ])("%s", (_, first, second) => {
    const [quick, staged, isFit] = bothWays(taught(first), aMessage(second));
    expect(quick).toEqual(staged);
    expect(quick.kind).toBe("event");
    expect(isFit).toBe(true);
  });

  test("without a token, of a device that proved itself at CONNECT, or beside a token's hash", () => {
    const text = textOf({ provision_token: undefined, site_id: undefined });
    for (const proof of [
      { speaker: { tenantId: "acme", deviceId: "dev-0001" } },
      { tokenHash: sha256(aToken) },
    ]) {
      const [quick, staged, isFit] = bothWays(
        taught(text, proof),
        aMessage(text.replace("21.5", "22.5"), proof),
      );
      expect(quick).toEqual(staged);
      expect(isFit).toBe(true);
    }
    const it = taught(text, { tokenHash: sha256(aToken) });
    expect(entryOf(it.judge.judge(aMessage(text))).reason).toBe("MISSING_SITE_ID");
    expect(
      entryOf(it.judge.judge(aMessage(text, { speaker: { tenantId: "acme", deviceId: "other" } }))).reason,
    ).toBe("MISSING_SITE_ID");
  });
});

describe("what does not fit is judged stage by stage", () => {
  const values = [
    "1e5",
    "01",
    "1.",
    "-",
    ".5",
    "+1",
    "1e999",
    "NaN",
    "null",
    "{}",
    "[]",
    '"',
    '""',
    '"a\\u0000b"',
    '"\t"',
    '"\\""',
    '"tok-abc"',
    '"tok-\u007f"',
    '"tok-\u0001"',
    "1".repeat(400),
    `"${aToken}"`,
    '"my password is x"',
    '"é"',
    '"\u007f"',
    `"${"x".repeat(300)}"`,
    `"${"x".repeat(3_000)}"`,
    "123456789012345678901234567890123456789012345",
    "9007199254740993",
    "truefalse",
    "-0",
    "0.0",
    "true",
    "12",
  ];
  const places = [
    "7",
    "21.5",
    "-60",
    "true",
    '"eco"',
    "null",
    '"2026-11-20T10:00:00.125Z"',
    '"lab-1"',
    `"${aToken}"`,
  ];

  test.each(places.flatMap((place) => values.map((value): [string, string] => [place, value])))(
    "in place of %s: %s",
    (place, value) => {
      const it = taught(textOf({}));
      const [quick, staged] = bothWays(it, aMessage(textOf({}).replace(place, value)));
      expect(quick).toEqual(staged);
    },
  );

  test.each<[string, Record<string, unknown>, Partial<TestMessage>, string]>([
    ["another's token", { provision_token: "tok-wrong" }, {}, "TOKEN_INVALID"],
    [
      "another's token, though the device proved itself at CONNECT",
      { provision_token: "tok-wrong" },
      { speaker: { tenantId: "acme", deviceId: "dev-0001" } },
      "TOKEN_INVALID",
    ],
    ["another site", { site_id: "lab-2" }, {}, "SITE_MISMATCH_REGISTRY_VS_PAYLOAD"],
    ["another tenant", { tenant_id: "evil" }, {}, "TENANT_MISMATCH_TOPIC_VS_PAYLOAD"],
    ["retained, and no time", { ts: undefined }, { retained: true }, "RETAINED_WITHOUT_TIME"],
  ])("%s", (_, changes, message, reason) => {
    const own = { tenant_id: "acme" };
    const it = taught(textOf({ ...own, ...("ts" in changes ? changes : {}) }));
    const [quick, staged] = bothWays(it, aMessage(textOf({ ...own, ...changes }), message));
    expect(quick).toEqual(staged);
    expect(quick.reason).toBe(reason);
  });

  test("and leaves nothing of it to the next: a time to the nanosecond, and one to the second", () => {
    const it = taught(textOf({}));
    for (const ts of ["2026-11-20T10:00:00.123456789Z", "2026-11-20T10:00:00Z"]) {
      const [quick, staged, isFit] = bothWays(it, aMessage(textOf({ ts })));
      expect(quick).toEqual(staged);
      expect(isFit).toBe(true);
    }
  });

  test.each([
    ["an escape", "tok-a\\u0041", "tok-aA"],
    ["another character", "tok-é", "tok-é"],
  ])("a right token that is written with %s", (_, written, token) => {
    const it = taught(textOf({}));
    it.device = aDevice({ tokenHash: sha256(token) });
    const [quick, staged] = bothWays(it, aMessage(textOf({}).replace(aToken, written)));
    expect(quick).toEqual(staged);
    expect(quick.kind).toBe("event");
  });

  test("a payload that lies within others' bytes", () => {
    const it = taught(textOf({}));
    const text = textOf({ seq: 8 });
    const bytes = new TextEncoder().encode(` ${text} `).subarray(1, text.length + 1);
    const [quick, staged, isFit] = bothWays(it, aMessage(bytes));
    expect([quick, isFit]).toEqual([staged, true]);
  });

  test("a time that the policy does not take, with its reject's payload", () => {
    const it = taught(textOf({}));
    it.policy = { ...it.policy, tsFutureSecondsMax: 60 };
    const [quick, staged] = bothWays(it, aMessage(textOf({ ts: "2027-01-01T00:00:00Z" })));
    expect(quick).toEqual(staged);
    expect(quick.reason).toBe("TIMESTAMP_OUT_OF_RANGE");
  });

  test("a device that names no site is of the one that it is registered for now", () => {
    const proof = { speaker: { tenantId: "acme", deviceId: "dev-0001" } };
    const text = textOf({ provision_token: undefined, site_id: undefined });
    const it = taught(text, proof);
    it.device = aDevice({ siteId: "lab-2" });
    const [quick, staged, isFit] = bothWays(it, aMessage(text, proof));
    expect([quick.siteId, isFit]).toEqual(["lab-2", true]);
    expect(quick).toEqual(staged);
  });

  test("a device that was registered for another site since", () => {
    const it = taught(textOf({}));
    it.device = aDevice({ siteId: "lab-2" });
    expect(entryOf(it.judge.judge(aMessage(textOf({})))).reason).toBe("SITE_MISMATCH_REGISTRY_VS_PAYLOAD");
    expect(entryOf(it.judge.judge(aMessage(textOf({ site_id: "lab-2" }))))).toMatchObject({
      kind: "event",
      siteId: "lab-2",
    });
  });
});

describe("learning", () => {
  const never = [
    ["a secret besides", textOf({ wifi_password: "hunter22" })],
    ["a name that only speaks of one", textOf({ metrics: { token_count: 5 } })],
    ["a token elsewhere", textOf({ note: aToken })],
    ["an escape", `{"site_id":"lab-1","provision_token":"${aToken}","metrics":{"a\\u00b0":1}}`],
    ["a line break", `{"site_id":"lab-1",\n"provision_token":"${aToken}","metrics":{"a":1}}`],
    [
      "a tab, which COPY would escape",
      `{"site_id":"lab-1",\t"provision_token":"${aToken}","metrics":{"a":1}}`,
    ],
    ["a member twice", `{"site_id":"lab-1","seq":1,"seq":2,"provision_token":"${aToken}","metrics":{"a":1}}`],
    ["a remark", textOf({ metrics: undefined })],
    ["values without end", textOf({ raw: Array.from({ length: 300 }, (_, i) => i) })],
  ] as const;

  test.each(never)("nothing of %s", (_, text) => {
    taught(text);
    expect(addressOf().form).toBe(-1);
  });

  test("a token that was not issued here has to be searched for", () => {
    const it = court();
    it.device = aDevice({ tokenHash: sha256("temp_c") });
    entryOf(it.judge.judge(aMessage(textOf({ provision_token: "temp_c" }))));
    expect(addressOf().form).toBe(-1);
  });

  test("a new form is learned after some messages, and devices share it", () => {
    const it = taught(textOf({}));
    const first = addressOf().form;
    const changed = textOf({ metrics: { renamed: 1 } });
    for (let i = 0; i < 64; i++) entryOf(it.judge.judge(aMessage(changed)));
    expect(addressOf().form).not.toBe(first);
    const other = "tenant/acme/device/dev-0002/telemetry";
    forget(other);
    it.device = aDevice({ deviceId: "dev-0002" });
    entryOf(it.judge.judge(aMessage(textOf({ seq: 1 }), { topic: other })));
    expect(addressOf(other).form).toBe(first);
  });

  test("a device whose site is not ASCII takes no form that is", () => {
    const it = taught(textOf({}));
    const { form } = addressOf();
    const other = "tenant/acme/device/dev-0003/telemetry";
    forget(other);
    it.device = aDevice({ deviceId: "dev-0003", siteId: "Köln" });
    const say = (seq: number) =>
      entryOf(it.judge.judge(aMessage(textOf({ site_id: "Köln", seq }), { topic: other })));
    say(1);
    expect(addressOf(other).form).not.toBe(form);
    expect(say(2).form).toBe(addressOf(other).form);
  });

  test("of the first message of a device that had to be looked up", () => {
    const it = taught(textOf({}));
    const { form } = addressOf();
    forget();
    it.device = undefined;
    const pending = pendingOf(it.judge.judge(aMessage(textOf({ seq: 1 }))));
    expect(addressOf().form).toBe(-1);
    expect(it.judge.resume(pending, aDevice()).kind).toBe("event");
    expect(addressOf().form).toBe(form);
  });
});

test("a flag and a number in one place are two forms", () => {
  const shelf = createShelf();
  expect(shelf.learn('{"a":1}')).not.toBe(shelf.learn('{"a":true}'));
});

test("the forms that were learned last stand first, and are few", () => {
  const shelf = createShelf();
  const learn = (i: number) => shelf.learn(`{"m${i}":1}`) ?? -1;
  const numbers = Array.from({ length: 9 }, (_, i) => learn(i));
  expect(shelf.last).toEqual(numbers.slice(1).toReversed());
  learn(4);
  const [first, ...others] = shelf.last;
  expect([first, others.length, others.includes(numbers[4] ?? -1)]).toEqual([numbers[4], 7, false]);
});

test("with one form too many all are forgotten, and no number is given twice", () => {
  const shelf = createShelf();
  const textAt = (i: number) => `{"m${i}":1}`;
  const numbers = Array.from({ length: formsMax }, (_, i) => shelf.learn(textAt(i)) ?? -1);
  expect(shelf.learn(textAt(0))).toBe(numbers[0]);
  expect(numbers.every((number) => shelf.at(number) !== undefined)).toBe(true);
  const further = [formsMax, 0].map((i) => shelf.learn(textAt(i)) ?? -1);
  expect(numbers.some((number) => shelf.at(number) !== undefined)).toBe(false);
  expect(new Set([...numbers, ...further]).size).toBe(formsMax + 2);
  expect(shelf.at(-1)).toBeUndefined();
});

test("whatever is cut, put in or put twice: both ways find the same", () => {
  const texts = [
    textOf({}),
    textOf({ unit: "°C", ts: 1_764_000_000 }),
    textOf({ tenant_id: "acme", note: "all is well", raw: [1, [2]] }),
  ];
  const pieces = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "-",
    ".",
    "e",
    "0",
    "9",
    "tok-",
    "token",
    "é",
    "\0",
    "\n",
    "\u2028",
    " ",
    "true",
    "null",
    '"seq":1,',
    '"provision_token":"x",',
  ];
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.integer({ min: 0, max: 4 }),
    put: fc.constantFrom("", ...pieces),
  });
  for (const text of texts) {
    const it = taught(text);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        let edited = text;
        for (const { at, cut, put } of edits) {
          const from = Math.floor(at * edited.length);
          edited = edited.slice(0, from) + put + edited.slice(from + cut);
        }
        const [quick, staged] = bothWays(it, aMessage(edited));
        expect(quick).toEqual(staged);
      }),
      { numRuns: 2_000 },
    );
  }
});
