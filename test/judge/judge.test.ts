import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Deferred, Reject } from "../../src/core/entry.ts";
import { createJudge } from "../../src/judge/judge.ts";
import { aBody, aDevice, aMessage, aPolicy, aToken, sha256 } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";
import { anEntry } from "../kit/spool.ts";
import {
  body,
  court,
  deferredOf,
  dev,
  entryOf,
  rejectOf,
  many,
  metrics,
  onTopic,
  pendingOf,
  replay,
  withoutDevice,
} from "./court.ts";

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
      detail: "no metrics; beside it: big",
      tokenHash: null,
      siteId: "lab-1",
    });
  });

  test("a message without ts gets the time of its arrival", () => {
    const entry = entryOf(court().judge.judge(aMessage(aBody({ ts: null }), { receivedMs: 1234 })));
    expect(entry).toMatchObject({ kind: "event", eventMs: 1234, eventNs: 0, receivedMs: 1234 });
  });

  test("a message that another gateway judged needs neither token, registry nor rate, but must be well-formed", () => {
    const it = withoutDevice(court({ policy: { rateLimitRps: 1, rateLimitBurst: 1 } }));
    const judged = (changes: Record<string, unknown>) => aMessage(aBody(changes), { isJudged: true });
    for (let i = 0; i < 5; i++)
      expect(entryOf(it.judge.judge(judged({ provision_token: undefined, site_id: "any" })))).toMatchObject({
        kind: "event",
        siteId: "any",
      });
    // A reading of an existing pipeline may have more than a device may send.
    expect(entryOf(it.judge.judge(judged({ metrics: many(60) }))).kind).toBe("event");
    expect(entryOf(it.judge.judge(judged({ metrics: { a: {} } }))).reason).toBe("METRIC_VALUE_INVALID");
    expect(entryOf(it.judge.judge(judged({ site_id: undefined }))).reason).toBe("MISSING_SITE_ID");
    expect(entryOf(it.judge.judge(judged({ tenant_id: "other" }))).kind).toBe("reject");
    pendingOf(it.judge.judge(body({})));
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

  test("a number that a double cannot hold is an identity and a time to its last digit", () => {
    const it = court();
    const [deviceId, ts] = ["89490200001234567891", "1764363600123456789"];
    it.device = aDevice({ deviceId });
    const text = JSON.stringify(aBody({ device_id: 0, ts: 0 }));
    const sent = text.replace('"device_id":0', `"device_id":${deviceId}`).replace('"ts":0', `"ts":${ts}`);
    const topic = `tenant/acme/device/${deviceId}/telemetry`;
    expect(entryOf(it.judge.judge(aMessage(sent, { topic })))).toMatchObject({
      kind: "event",
      eventNs: 456_789,
    });
    const other = aMessage(sent.replace(deviceId, "89490200001234567892"), { topic });
    expect(entryOf(it.judge.judge(other))).toMatchObject({
      reason: "DEVICE_MISMATCH_TOPIC_VS_PAYLOAD",
      detail: `topic says ${deviceId}, payload says 89490200001234567892`,
    });
    const seq = aMessage(sent.replace(/"seq":\d+/, `"seq":${ts}`), { topic });
    expect(entryOf(it.judge.judge(seq))).toMatchObject({ reason: "BAD_SEQ", detail: `seq is ${ts}` });
  });

  test("any message type is an event, and the same rules apply to its metrics", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    const topic = "tenant/acme/device/dev-0001/door-opened";
    expect(entryOf(it.judge.judge(aMessage(aBody({ msg_type: undefined }), { topic }))).msgType).toBe(
      "door-opened",
    );
    const bad = aMessage(aBody({ msg_type: undefined, metrics: { a: {} } }), { topic });
    expect(entryOf(it.judge.judge(bad)).reason).toBe("METRIC_VALUE_INVALID");
  });

  test("50 metrics, with names of 128 characters counted by code points, are accepted", () => {
    const it = court();
    const named = Object.fromEntries(
      Object.entries(many(50)).map(([key, value]) => [key.padEnd(128, "x"), value]),
    );
    expect(entryOf(it.judge.judge(metrics(named))).kind).toBe("event");
    expect(entryOf(it.judge.judge(metrics({ ["🌡".repeat(128)]: null, b: "text" }))).kind).toBe("event");
  });

  test("hashes in upper case are valid", () => {
    const it = court();
    it.device = aDevice({ tokenHash: sha256(aToken).toUpperCase() });
    expect(entryOf(it.judge.judge(aMessage())).kind).toBe("event");
  });

  test("the previous token is valid until its time, by the moment of arrival", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    const untilMs = Date.UTC(2026, 10, 21) + 1;
    it.device = aDevice({
      tokenHash: sha256("new"),
      previousTokenHash: sha256(aToken),
      previousTokenUntilMs: untilMs,
    });
    expect(entryOf(it.judge.judge(aMessage())).kind).toBe("event");
    expect(entryOf(it.judge.judge(aMessage(aBody(), { receivedMs: untilMs }))).reason).toBe("TOKEN_INVALID");
    it.device = aDevice({ ...it.device, previousTokenHash: null });
    expect(entryOf(it.judge.judge(aMessage())).reason).toBe("TOKEN_INVALID");
  });

  test("REQUIRE_TOKEN=0 requires no token, but registration, status and site", () => {
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

  test("what can be decided without the registry is not looked up", () => {
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
    "%s is accepted at once: the cached row that leads to a reject is read again",
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

  test("while the registry does not answer the message is deferred, with the token's hash and not the token", () => {
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
  ] as const)("a deferred entry becomes %s by the answer of now", (_, answer, kind, reason) => {
    const it = withoutDevice(court({ policy: dev }));
    // A member that is called as what a mapped message keeps while it waits is the device's own.
    const sent = body({ _raw: 1, later: 2 });
    const deferred = deferredOf(it.judge.resume(pendingOf(it.judge.judge(sent)), "unavailable"));
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
    expect(it.judge.rejudge(deferredOf(it.judge.resume(pending, "unavailable")), aDevice()).reason).toBe(
      "TOKEN_MISSING",
    );
  });

  test("devicesOf names the device by the topic alone", () => {
    const { judge } = court();
    expect(judge.devicesOf(aMessage("no JSON"))).toEqual(["acme/dev-0001"]);
    expect(judge.devicesOf(onTopic("a/b"))).toEqual([]);
  });
});

describe("replay", () => {
  test("a kept reject is judged again without its token", () => {
    const it = court({ policy: dev });
    it.device = aDevice({ siteId: "lab-2" });
    const reject = rejectOf(it.judge.judge(aMessage()));
    expect(reject.kind).toBe("reject");
    expect(replay(it.judge, reject, aDevice())).toMatchObject({
      kind: "event",
      receivedMs: reject.receivedMs,
      seq: 0,
    });
    expect(replay(it.judge, reject, null).reason).toBe("UNREGISTERED_DEVICE");
  });

  test("of a device that proved itself at CONNECT, the message need not name its site", () => {
    const it = court({ policy: dev });
    it.device = aDevice({ status: "REVOKED" });
    const text = aBody({ provision_token: undefined, site_id: undefined });
    const reject = rejectOf(
      it.judge.judge(aMessage(text, { speaker: { tenantId: "acme", deviceId: "dev-0001" } })),
    );
    expect(reject.reason).toBe("DEVICE_REVOKED");
    expect(replay(it.judge, reject, aDevice()).kind).toBe("event");
  });

  test("what is wrong in itself stays wrong, and what exceeded MAX_PAYLOAD_BYTES may pass now", () => {
    const it = court({ policy: { ...dev, payloadBytesMax: 100 } });
    const malformed = rejectOf(it.judge.judge(aMessage("{nonsense")));
    expect(replay(it.judge, malformed, aDevice()).reason).toBe("MALFORMED_JSON");
    expect(JSON.parse(replay(it.judge, malformed, aDevice()).payload)).toEqual({ _raw: "{nonsense" });
    const large = rejectOf(it.judge.judge(aMessage()));
    expect(large.reason).toBe("PAYLOAD_TOO_LARGE");
    it.policy = aPolicy(dev);
    expect(replay(it.judge, large, aDevice()).kind).toBe("event");
  });
});

test("a bug in the judge costs one message, not the gateway, and reveals no token", () => {
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
    backlogBytesMax: 1e9,
    clock,
  });
  const entry = entryOf(judge.judge(aMessage()));
  expect(entry).toMatchObject({ kind: "reject", reason: "JUDGE_FAULT", deviceId: "dev-0001" });
  expect(JSON.stringify(entry)).not.toContain(aToken);
  const waited = anEntry({ kind: "deferred", reason: "REGISTRY_UNAVAILABLE", payload: '{"a":1}' });
  const broken = Object.defineProperty(aDevice(), "status", {
    get() {
      throw new Error("broken");
    },
  });
  expect(judge.rejudge(waited, broken)).toMatchObject({
    ...{ reason: "JUDGE_FAULT", deviceId: waited.deviceId },
    payload: '{"_raw":"{\\"a\\":1}"}',
  });
});

test("whatever comes becomes an entry or a look-up, in one line of JSON and without the token", () => {
  const it = court({ policy: dev });
  const part = fc.constantFrom(
    "{",
    "}",
    "[",
    '"',
    ":",
    ",",
    "\\",
    "\\u0000",
    "\n",
    "provision_token",
    aToken,
    "ts",
    "1e9",
    "null",
    "\u{1f321}",
  );
  const payload = fc.oneof(
    fc.array(part).map((parts) => parts.join("")),
    fc
      .dictionary(fc.constantFrom("ts", "seq", "site_id", "provision_token", "metrics", "x"), fc.anything())
      .map(writable),
    fc
      .dictionary(fc.string(), fc.constantFrom(aToken, 1, null))
      .map((found) => JSON.stringify(aBody({ metrics: found }))),
    fc.uint8Array(),
  );
  const topic = fc.oneof(fc.constant("tenant/acme/device/dev-0001/telemetry"), fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(payload, topic, fc.boolean(), (bytes, name, isCached) => {
      it.device = isCached ? aDevice() : undefined;
      const outcome = it.judge.judge(aMessage(bytes, { topic: name }));
      const entry = "pending" in outcome ? it.judge.resume(outcome, "unavailable") : outcome;
      expect(entry.reason).not.toBe("JUDGE_FAULT");
      expect(entry.payload).not.toMatch(/[\r\n]/);
      expect(JSON.parse(entry.payload)).toBeObject();
      expect(JSON.stringify(entry)).not.toContain(aToken);
      expect(JSON.stringify(it.judge.rejudge(entry as Deferred, aDevice()))).not.toContain(aToken);
      replay(it.judge, entry as Reject, aDevice());
    }),
    { numRuns: 3000 },
  );
});

function writable(found: unknown): string {
  try {
    return JSON.stringify(found) ?? "";
  } catch {
    return "{}";
  }
}
