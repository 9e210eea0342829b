import { describe, expect, test } from "bun:test";
import type { Entry } from "../../src/core/entry.ts";
import { createJudge, isPending, type Judge, type Pending, type Policy } from "../../src/judge/judge.ts";
import { reasons } from "../../src/judge/reasons.ts";
import type { DeviceAuth } from "../../src/registry/registry.ts";
import { aBody, aDevice, aMessage, aPolicy, aToken, sha256 } from "../kit/builders.ts";
import { simulatedClock, type SimulatedClock } from "../kit/clock.ts";

interface Court {
  readonly judge: Judge;
  readonly clock: SimulatedClock;
  device: DeviceAuth | undefined;
  mayReread: boolean;
  policy: Policy;
}

function court(options: { policy?: Partial<Policy>; requireToken?: boolean } = {}): Court {
  const clock = simulatedClock();
  const it: Court = {
    clock,
    device: aDevice(),
    mayReread: false,
    policy: aPolicy(options.policy),
    judge: createJudge({
      policy: () => it.policy,
      auth: { get: () => it.device, mayReread: () => it.mayReread },
      requireToken: options.requireToken ?? true,
      clock,
    }),
  };
  return it;
}

function entryOf(outcome: Entry | Pending): Entry {
  if (isPending(outcome)) throw new Error("pending");
  return outcome;
}

function pendingOf(outcome: Entry | Pending): Pending {
  if (!isPending(outcome)) throw new Error(`not pending but ${outcome.reason ?? outcome.kind}`);
  return outcome;
}

const dev = { mode: "DEV", storeRejects: true, rateLimitRps: 0 } as const;
const body = (changes: Record<string, unknown>) => aMessage(aBody(changes));
const onTopic = (name: string) => aMessage(aBody(), { topic: name });
const metrics = (value: unknown) => body({ metrics: value });
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`m${at}`, at]));

/** Each reason, and what brings it about. */
const rejects: [
  reason: string,
  what: string,
  message: ReturnType<typeof aMessage>,
  device?: Partial<DeviceAuth>,
][] = [
  ["PAYLOAD_TOO_LARGE", "8193 bytes, JSON or not", aMessage("x".repeat(8193))],
  [
    "PAYLOAD_TOO_LARGE",
    "too large and a bad topic: size is asked first",
    aMessage("x".repeat(8193), { topic: "a/b" }),
  ],
  ["BAD_TOPIC_FORMAT", "four levels", onTopic("tenant/acme/device/dev-0001")],
  ["BAD_TOPIC_FORMAT", "six levels", onTopic("tenant/acme/device/dev-0001/telemetry/x")],
  ["BAD_TOPIC_FORMAT", "an empty tenant", onTopic("tenant//device/dev-0001/telemetry")],
  ["BAD_TOPIC_FORMAT", "an empty device", onTopic("tenant/acme/device//telemetry")],
  ["BAD_TOPIC_FORMAT", "an empty type", onTopic("tenant/acme/device/dev-0001/")],
  ["BAD_TOPIC_FORMAT", "another word", onTopic("tenants/acme/device/dev-0001/telemetry")],
  ["BAD_TOPIC_FORMAT", "a line break", onTopic("tenant/acme/device/dev\n1/telemetry")],
  ["BAD_TOPIC_FORMAT", "a NUL", onTopic("tenant/acme/device/dev\u00001/telemetry")],
  [
    "BAD_TOPIC_FORMAT",
    "a level of 513 characters",
    onTopic(`tenant/acme/device/${"d".repeat(513)}/telemetry`),
  ],
  ["MALFORMED_JSON", "nothing", aMessage("")],
  ["MALFORMED_JSON", "half an object", aMessage('{"site_id":"lab-1"')],
  ["MALFORMED_JSON", "NaN", aMessage('{"site_id":"lab-1","metrics":{"a":NaN}}')],
  ["MALFORMED_JSON", "not UTF-8", aMessage(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]))],
  ["NOT_AN_OBJECT", "an array", aMessage('["ts"]')],
  ["NOT_AN_OBJECT", "null", aMessage("null")],
  ["NOT_AN_OBJECT", "a number", aMessage("5")],
  ["UNSTORABLE_TEXT", "\\u0000", body({ note: "\0" })],
  ["UNSTORABLE_TEXT", "half a surrogate pair", aMessage('{"site_id":"lab-1","note":"\\ud800"}')],
  ["TENANT_MISMATCH_TOPIC_VS_PAYLOAD", "another tenant", body({ tenant_id: "other" })],
  ["TENANT_MISMATCH_TOPIC_VS_PAYLOAD", "true", body({ tenant_id: true })],
  ["DEVICE_MISMATCH_TOPIC_VS_PAYLOAD", "another device", body({ device_id: "dev-0002" })],
  ["DEVICE_MISMATCH_TOPIC_VS_PAYLOAD", "a number", body({ device_id: 1 })],
  ["MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD", "another type", body({ msg_type: "heartbeat" })],
  ["MISSING_SITE_ID", "none", body({ site_id: undefined })],
  ["MISSING_SITE_ID", "null", body({ site_id: null })],
  ["MISSING_SITE_ID", "empty", body({ site_id: "" })],
  ["MISSING_SITE_ID", "a number", body({ site_id: 7 })],
  ["BAD_TIMESTAMP", "no time", body({ ts: "yesterday" })],
  ["BAD_TIMESTAMP", "an object", body({ ts: {} })],
  ["BAD_SEQ", "a fraction", body({ seq: 1.5 })],
  ["BAD_SEQ", "text", body({ seq: "120" })],
  ["BAD_SEQ", "beyond 2^53", body({ seq: 2 ** 53 })],
  ["TOO_MANY_METRICS", "51", metrics(many(51))],
  ["METRIC_KEY_INVALID", "empty", metrics({ "": 1 })],
  ["METRIC_KEY_INVALID", "129 characters", metrics({ ["k".repeat(129)]: 1 })],
  ["METRIC_KEY_INVALID", "a line break", metrics({ "a\nb": 1 })],
  ["METRIC_VALUE_INVALID", "nested", metrics({ a: { b: 1 } })],
  ["METRIC_VALUE_INVALID", "a list", metrics({ a: [1] })],
  ["METRIC_VALUE_INVALID", "not an object", metrics([1])],
  ["METRIC_VALUE_INVALID", "text instead of metrics", metrics("full")],
  ["METRIC_VALUE_INVALID", "no finite number", aMessage('{"site_id":"lab-1","metrics":{"a":1e999}}')],
  ["DEVICE_REVOKED", "not ACTIVE", aMessage(), { status: "REVOKED" }],
  ["SITE_MISMATCH_REGISTRY_VS_PAYLOAD", "another site", aMessage(), { siteId: "lab-2" }],
  ["TOKEN_NOT_SET_IN_REGISTRY", "no hash", aMessage(), { tokenHash: null }],
  ["TOKEN_NOT_SET_IN_REGISTRY", "an empty hash", aMessage(), { tokenHash: "" }],
  ["TOKEN_MISSING", "no token", body({ provision_token: undefined })],
  ["TOKEN_MISSING", "an empty token", body({ provision_token: "" })],
  ["TOKEN_MISSING", "a number", body({ provision_token: 5 })],
  ["TOKEN_INVALID", "another token", body({ provision_token: "tok-another" })],
  ["TOKEN_INVALID", "a hash in the registry that is none", aMessage(), { tokenHash: "zz" }],
  ["TOKEN_INVALID", "64 characters that are no hex", aMessage(), { tokenHash: "z".repeat(64) }],
];

describe("rejects", () => {
  test.each(rejects.map(([reason, what, message, device = {}]) => [reason, what, message, device] as const))(
    "%s: %s",
    (reason, _, message, device) => {
      const it = court({ policy: dev });
      it.device = aDevice(device);
      const entry = entryOf(it.judge.judge(message));
      expect(entry.kind).toBe("reject");
      expect(entry.reason).toBe(reason);
      expect(entry.seq).toBe(0);
      expect(entry.payload).not.toContain(aToken);
      expect(typeof JSON.parse(entry.payload)).toBe("object");
    },
  );

  test("every reason but those of the registry's absence, the rate and our own faults is in this table", () => {
    const elsewhere = new Set(["UNREGISTERED_DEVICE", "REGISTRY_UNAVAILABLE", "RATE_LIMITED", "JUDGE_FAULT"]);
    const wanted = reasons.map((row) => row.code).filter((code) => !elsewhere.has(code));
    expect([...new Set(rejects.map(([reason]) => reason))].toSorted()).toEqual(wanted.toSorted());
  });

  test("every reason says in one sentence what it means and what to do", () => {
    for (const { code, stage, help, remedy } of reasons) {
      expect(code).toMatch(/^[A-Z_]+$/);
      expect(stage).toMatch(/^[a-z]+$/);
      expect(help).toMatch(/^[^.]{10,}.*\.$/);
      expect(remedy.length).toBeGreaterThan(10);
    }
    expect(new Set(reasons.map((row) => row.code)).size).toBe(reasons.length);
  });

  test("a reject holds of the message what was known by then", () => {
    const it = court({ policy: dev });
    const entry = entryOf(it.judge.judge(body({ tenant_id: "other" })));
    expect(entry).toMatchObject({
      tenantId: "acme",
      deviceId: "dev-0001",
      msgType: "telemetry",
      siteId: "lab-1",
    });
    it.device = aDevice({ status: "REVOKED" });
    expect(entryOf(it.judge.judge(aMessage()))).toMatchObject({
      siteId: "lab-1",
      eventMs: Date.UTC(2026, 10, 21),
      eventNs: 0,
    });
  });

  test("of a payload that is too large the beginning is kept, without the token", () => {
    const it = court({ policy: dev });
    const entry = entryOf(
      it.judge.judge(aMessage(`{"provision_token":"${aToken}","x":"${"é".repeat(9000)}"}`)),
    );
    const kept = JSON.parse(entry.payload) as { _raw: string; _bytes: number };
    expect(kept._bytes).toBeGreaterThan(18_000);
    expect(kept._raw.length).toBeLessThanOrEqual(1024);
    expect(kept._raw).toStartWith('{"provision_token":"***"');
  });

  test("a topic that holds a NUL is kept in a form that PostgreSQL takes", () => {
    const it = court({ policy: dev });
    const entry = entryOf(it.judge.judge(onTopic("tenant/acme/device/dev\0/telemetry")));
    expect(entry.topic).toBe("tenant/acme/device/dev\uFFFD/telemetry");
  });

  test("a token in the topic, the site or a detail is blanked there too", () => {
    const it = court({ policy: dev });
    const message = aMessage(aBody({ device_id: undefined, site_id: `at ${aToken}` }), {
      topic: `tenant/acme/device/${aToken}/telemetry`,
    });
    const entry = entryOf(it.judge.resume(pendingOf(withoutDevice(it).judge.judge(message)), null));
    expect(entry).toMatchObject({ reason: "UNREGISTERED_DEVICE", deviceId: "***", siteId: "at ***" });
    const bad = entryOf(it.judge.judge(body({ ts: `${"x".repeat(180)}${aToken}` })));
    for (const kept of [entry, bad]) expect(JSON.stringify(kept)).not.toContain(aToken.slice(0, 12));
  });
});

function withoutDevice(it: Court): Court {
  it.device = undefined;
  return it;
}

describe("events", () => {
  test("the payload is the device's own text with the token blanked", () => {
    const it = court();
    const text = `{"site_id":"lab-1", "seq":1.0,\r\n "provision_token":"${aToken}","big":1152921504606846977}`;
    const entry = entryOf(it.judge.judge(aMessage(text)));
    expect(entry.kind).toBe("event");
    expect(entry.payload).toBe(
      '{"site_id":"lab-1", "seq":1.0,   "provision_token":"***","big":1152921504606846977}',
    );
    expect(entry).toMatchObject({
      reason: null,
      detail: null,
      mirror: false,
      tokenHash: null,
      siteId: "lab-1",
    });
  });

  test("a message without ts gets the time of its arrival", () => {
    const entry = entryOf(court().judge.judge(aMessage(aBody({ ts: null }), { receivedMs: 1234 })));
    expect(entry).toMatchObject({ kind: "event", eventMs: 1234, eventNs: 0, receivedMs: 1234 });
  });

  test("null counts as absent for every optional member", () => {
    const nothing = { ts: null, seq: null, tenant_id: null, device_id: null, msg_type: null, metrics: null };
    expect(entryOf(court().judge.judge(body(nothing))).kind).toBe("event");
  });

  test("an identity may be claimed as a number", () => {
    const it = court();
    it.device = aDevice({ tenantId: "7", deviceId: "17" });
    const message = aMessage(aBody({ tenant_id: 7, device_id: 17 }), {
      topic: "tenant/7/device/17/telemetry",
    });
    expect(entryOf(it.judge.judge(message)).kind).toBe("event");
  });

  test("any message type is an event, and its metrics are held to the same rules", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    const topic = "tenant/acme/device/dev-0001/door-opened";
    expect(entryOf(it.judge.judge(aMessage(aBody({ msg_type: undefined }), { topic }))).msgType).toBe(
      "door-opened",
    );
    const bad = aMessage(aBody({ msg_type: undefined, metrics: { a: {} } }), { topic });
    expect(entryOf(it.judge.judge(bad)).reason).toBe("METRIC_VALUE_INVALID");
  });

  test("50 metrics, with names of 128 characters counted by code points, are taken", () => {
    const it = court();
    const named = Object.fromEntries(
      Object.entries(many(50)).map(([key, value]) => [key.padEnd(128, "x"), value]),
    );
    expect(entryOf(it.judge.judge(metrics(named))).kind).toBe("event");
    expect(entryOf(it.judge.judge(metrics({ ["🌡".repeat(128)]: null, b: "text" }))).kind).toBe("event");
  });

  test("hashes in upper case are good", () => {
    const it = court();
    it.device = aDevice({ tokenHash: sha256(aToken).toUpperCase() });
    expect(entryOf(it.judge.judge(aMessage())).kind).toBe("event");
  });

  test("the previous token is good until its time, by the moment of arrival", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    const untilMs = Date.UTC(2026, 10, 21) + 1;
    it.device = aDevice({
      tokenHash: sha256("new"),
      previousTokenHash: sha256(aToken),
      previousTokenUntilMs: untilMs,
    });
    expect(entryOf(it.judge.judge(aMessage())).kind).toBe("event");
    expect(entryOf(it.judge.judge(aMessage(aBody(), { receivedMs: untilMs }))).reason).toBe("TOKEN_INVALID");
  });

  test("REQUIRE_TOKEN=0 asks for no token, but for registration, status and site", () => {
    const it = court({ requireToken: false, policy: { rateLimitRps: 0 } });
    it.device = aDevice({ tokenHash: null });
    expect(entryOf(it.judge.judge(body({ provision_token: undefined }))).kind).toBe("event");
    it.device = aDevice({ siteId: "lab-2" });
    expect(entryOf(it.judge.judge(aMessage())).reason).toBe("SITE_MISMATCH_REGISTRY_VS_PAYLOAD");
  });
});

describe("devices that must be looked up", () => {
  test("a device that is not cached is pending, and its answer decides", () => {
    const it = withoutDevice(court());
    const pending = pendingOf(it.judge.judge(aMessage()));
    expect(pending).toMatchObject({
      key: "acme/dev-0001",
      tenantId: "acme",
      deviceId: "dev-0001",
      siteId: "lab-1",
    });
    expect(it.judge.resume(pending, aDevice()).kind).toBe("event");
    expect(it.judge.resume(pending, null).reason).toBe("UNREGISTERED_DEVICE");
  });

  test("what can be told without the registry is not looked up", () => {
    const it = withoutDevice(court());
    expect(entryOf(it.judge.judge(body({ seq: 0.5 }))).reason).toBe("BAD_SEQ");
  });

  test.each([
    [
      "a fresh token",
      {},
      body({ provision_token: "tok-fresh" }),
      aDevice({ tokenHash: sha256("tok-fresh") }),
    ],
    ["a new site", {}, body({ site_id: "lab-2" }), aDevice({ siteId: "lab-2" })],
    ["an activation", { status: "REVOKED" }, aMessage(), aDevice()],
    ["a first token", { tokenHash: null }, aMessage(), aDevice()],
  ] as const)(
    "%s is accepted at once: the cached row that says no is read anew",
    (_, cached, message, row) => {
      const it = court();
      it.device = aDevice(cached);
      expect(entryOf(it.judge.judge(message)).kind).toBe("reject");
      it.mayReread = true;
      expect(it.judge.resume(pendingOf(it.judge.judge(message)), row).kind).toBe("event");
    },
  );

  test("a missing token is not worth a look-up", () => {
    const it = court();
    it.mayReread = true;
    expect(entryOf(it.judge.judge(body({ provision_token: undefined }))).reason).toBe("TOKEN_MISSING");
  });

  test("when the registry cannot be asked the message is deferred, with the token's hash and not the token", () => {
    const it = withoutDevice(court());
    const entry = it.judge.resume(pendingOf(it.judge.judge(aMessage())), "unavailable");
    expect(entry).toMatchObject({
      kind: "deferred",
      reason: "REGISTRY_UNAVAILABLE",
      tokenHash: sha256(aToken),
    });
    expect(entry.payload).toContain('"provision_token":"***"');
    expect(JSON.stringify(entry)).not.toContain(aToken);
  });

  test.each([
    ["an event", aDevice(), "event", null],
    ["UNREGISTERED_DEVICE", null, "reject", "UNREGISTERED_DEVICE"],
    ["TOKEN_INVALID", aDevice({ tokenHash: sha256("x") }), "reject", "TOKEN_INVALID"],
    ["DEVICE_REVOKED", aDevice({ status: "REVOKED" }), "reject", "DEVICE_REVOKED"],
  ] as const)("a deferred entry becomes %s under today's answer", (_, answer, kind, reason) => {
    const it = withoutDevice(court({ policy: dev }));
    const deferred = it.judge.resume(pendingOf(it.judge.judge(aMessage())), "unavailable");
    const entry = it.judge.rejudge({ ...deferred, seq: 9 }, answer);
    const { topic, receivedMs, payload, eventMs, siteId } = deferred;
    expect(entry).toMatchObject({
      seq: 0,
      kind,
      reason,
      topic,
      receivedMs,
      payload,
      eventMs,
      siteId,
      tokenHash: null,
    });
  });

  test("a deferred entry without a token is TOKEN_MISSING later", () => {
    const it = withoutDevice(court());
    const pending = pendingOf(it.judge.judge(body({ provision_token: undefined })));
    expect(it.judge.rejudge(it.judge.resume(pending, "unavailable"), aDevice()).reason).toBe("TOKEN_MISSING");
  });

  test("deviceOf tells the device by the topic alone", () => {
    const { judge } = court();
    expect(judge.deviceOf(aMessage("no JSON"))).toBe("acme/dev-0001");
    expect(judge.deviceOf(onTopic("a/b"))).toBeUndefined();
  });
});

describe("replay", () => {
  test("a kept reject is judged anew without its token", () => {
    const it = court({ policy: dev });
    it.device = aDevice({ siteId: "lab-2" });
    const reject = entryOf(it.judge.judge(aMessage()));
    expect(reject.kind).toBe("reject");
    expect(it.judge.replay(reject, aDevice())).toMatchObject({
      kind: "event",
      receivedMs: reject.receivedMs,
      seq: 0,
    });
    expect(it.judge.replay(reject, null).reason).toBe("UNREGISTERED_DEVICE");
  });

  test("what was wrong in itself stays wrong, and what MAX_PAYLOAD_BYTES forbade may pass now", () => {
    const it = court({ policy: { ...dev, payloadBytesMax: 100 } });
    const malformed = entryOf(it.judge.judge(aMessage("{nonsense")));
    expect(it.judge.replay(malformed, aDevice()).reason).toBe("MALFORMED_JSON");
    expect(JSON.parse(it.judge.replay(malformed, aDevice()).payload)).toEqual({ _raw: "{nonsense" });
    const large = entryOf(it.judge.judge(aMessage()));
    expect(large.reason).toBe("PAYLOAD_TOO_LARGE");
    it.policy = aPolicy(dev);
    expect(it.judge.replay(large, aDevice()).kind).toBe("event");
  });
});

describe("rates", () => {
  test("a device that proved itself spends its burst, and then its rate", () => {
    const it = court();
    const outcomes = () => Array.from({ length: 25 }, () => entryOf(it.judge.judge(now(it))).reason);
    expect(outcomes().filter((reason) => reason === null)).toHaveLength(20);
    it.clock.advance(1000);
    expect(outcomes().filter((reason) => reason === null)).toHaveLength(5);
    expect(outcomes().every((reason) => reason === "RATE_LIMITED")).toBe(true);
  });

  test("what fails under a device's name never spends the device's own allowance", () => {
    const it = court();
    for (let at = 0; at < 100; at++) it.judge.judge(now(it, aBody({ provision_token: "tok-wrong" })));
    for (let at = 0; at < 100; at++) it.judge.judge(now(it, "{"));
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
  });

  test("what fails too often becomes RATE_LIMITED, and the detail names the first reason", () => {
    const it = court();
    const outcomes = Array.from({ length: 21 }, () => entryOf(it.judge.judge(now(it, "{"))));
    expect(outcomes.slice(0, 20).every((entry) => entry.reason === "MALFORMED_JSON")).toBe(true);
    expect(outcomes.at(-1)).toMatchObject({ reason: "RATE_LIMITED", detail: "after MALFORMED_JSON" });
  });

  test("messages that waited for the registry are charged by the time they came", () => {
    const it = withoutDevice(court({ policy: { rateLimitRps: 10, rateLimitBurst: 1 } }));
    const parked: Pending[] = [];
    for (let at = 0; at < 30; at++) {
      parked.push(pendingOf(it.judge.judge(now(it))));
      it.clock.advance(100);
    }
    expect(parked.map((pending) => it.judge.resume(pending, aDevice()).kind)).toEqual(
      parked.map(() => "event"),
    );
  });

  test("the limits in force are those of this moment, and 0 is none", () => {
    const it = court({ policy: { rateLimitRps: 1, rateLimitBurst: 1 } });
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
    expect(entryOf(it.judge.judge(now(it))).reason).toBe("RATE_LIMITED");
    it.policy = aPolicy({ rateLimitRps: 0 });
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
  });

  function now(it: Court, payload: unknown = aBody()) {
    return aMessage(payload, { receivedMs: it.clock.wallMs() });
  }
});

describe("what is kept of a reject", () => {
  const at = (receivedMs: number, payload = "{") => aMessage(payload, { receivedMs });

  test("PROD keeps the first payload a device, reason and minute, whatever the other settings", () => {
    const it = court({ policy: { storeRejects: true, mirrorRejects: true, rateLimitRps: 0 } });
    const minute = Date.UTC(2026, 10, 21);
    const kept = [at(minute), at(minute + 59_999), at(minute + 1, "[]"), at(minute + 60_000)].map(
      (message) => {
        const entry = entryOf(it.judge.judge(message));
        expect(entry.mirror).toBe(false);
        return entry.payload !== "";
      },
    );
    expect(kept).toEqual([true, false, true, true]);
  });

  test("PROD keeps a bounded number of payloads a minute, of all devices together", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    let kept = 0;
    for (let device = 0; device < 3000; device++) {
      const message = aMessage("{", { topic: `tenant/acme/device/d${device}/telemetry` });
      if (entryOf(it.judge.judge(message)).payload !== "") kept++;
    }
    expect(kept).toBe(1000);
  });

  test.each([
    [{ storeRejects: true, mirrorRejects: false }, true, false],
    [{ storeRejects: true, mirrorRejects: true }, true, true],
    [{ storeRejects: false, mirrorRejects: true }, true, true],
    [{ storeRejects: false, mirrorRejects: false }, false, false],
  ])("DEV with %j", (settings, keeps, mirror) => {
    const it = court({ policy: { mode: "DEV", rateLimitRps: 0, ...settings } });
    it.judge.judge(at(0));
    const second = entryOf(it.judge.judge(at(0)));
    expect([second.payload !== "", second.mirror]).toEqual([keeps, mirror]);
  });
});

test("a bug in the judge costs one message, not the gateway, and tells no token", () => {
  const clock = simulatedClock();
  const judge = createJudge({
    policy: () => aPolicy(dev),
    auth: {
      get: () => {
        throw new Error(`broken by provision_token=${aToken}`);
      },
      mayReread: () => false,
    },
    requireToken: true,
    clock,
  });
  const entry = entryOf(judge.judge(aMessage()));
  expect(entry).toMatchObject({ kind: "reject", reason: "JUDGE_FAULT", deviceId: "dev-0001" });
  expect(JSON.stringify(entry)).not.toContain(aToken);
});
