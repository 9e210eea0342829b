import { describe, expect, test } from "bun:test";
import { reasons } from "../../src/judge/reasons.ts";
import type { DeviceAuth } from "../../src/core/device.ts";
import type { Policy } from "../../src/judge/judge.ts";
import { aBody, aDevice, aMessage, aToken } from "../kit/builders.ts";
import { body, court, dev, entryOf, many, metrics, onTopic, pendingOf, withoutDevice } from "./court.ts";

const retained = (payload: Record<string, unknown>) => aMessage(payload, { retained: true });

/** Each reason, and a message that causes it. */
const rejects: [
  reason: string,
  what: string,
  message: ReturnType<typeof aMessage>,
  device?: Partial<DeviceAuth>,
  policy?: Partial<Policy>,
][] = [
  ["PAYLOAD_TOO_LARGE", "8193 bytes, JSON or not", aMessage("x".repeat(8193))],
  ["PAYLOAD_TOO_LARGE", "of which only the beginning came", aMessage(aBody(), { wholeBytes: 8193 })],
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
  ["BAD_TOPIC_FORMAT", "a wildcard, as a key of Kafka may hold", onTopic("tenant/acme/device/#/telemetry")],
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
  ["RETAINED_WITHOUT_TIME", "no ts", retained(aBody({ ts: undefined }))],
  ["RETAINED_WITHOUT_TIME", "null for ts", retained(aBody({ ts: null }))],
  ["BAD_TIMESTAMP", "retained or not", retained(aBody({ ts: "yesterday" }))],
  ["TIMESTAMP_OUT_OF_RANGE", "ahead", body({ ts: "2026-11-21T00:10:01Z" }), {}, { tsFutureSecondsMax: 600 }],
  ["TIMESTAMP_OUT_OF_RANGE", "back", body({ ts: "2026-11-18T23:59:59Z" }), {}, { tsAgeDaysMax: 2 }],
  [
    "RETAINED_WITHOUT_TIME",
    "its ts is not believed, and its arrival says nothing",
    retained(aBody({ ts: 12 })),
    {},
    { tsAgeDaysMax: 2, tsOutOfRange: "arrival" },
  ],
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
  test.each(
    rejects.map(
      ([reason, what, message, device = {}, policy = {}]) => [reason, what, message, device, policy] as const,
    ),
  )("%s: %s", (reason, _, message, device, policy) => {
    const it = court({ policy: { ...dev, ...policy } });
    it.device = aDevice(device);
    const entry = entryOf(it.judge.judge(message));
    expect(entry.kind).toBe("reject");
    expect(entry.reason).toBe(reason);
    expect(entry.seq).toBe(0);
    expect(entry.payload).not.toContain(aToken);
    expect(typeof JSON.parse(entry.payload)).toBe("object");
  });

  test.each([
    [{ tenant_id: "other" }, "topic says acme, payload says other"],
    [{ device_id: 1 }, "topic says dev-0001, payload says 1"],
    [{ device_id: aToken }, "topic says dev-0001, payload says ***"],
    [{ msg_type: {} }, "topic says telemetry, payload says no name"],
  ])("%j: the detail says what contradicts what", (claim, detail) => {
    expect(entryOf(court({ policy: dev }).judge.judge(body(claim))).detail).toBe(detail);
  });

  test("every reason is in this table, except those of an absent registry, the rate and our own faults", () => {
    const elsewhere = new Set([
      "UNREGISTERED_DEVICE",
      "REGISTRY_UNAVAILABLE",
      "TOO_MANY_STRANGERS",
      "CLOCK_NOT_SET",
      "LOST_TO_DAMAGE",
      "TELEMETRY_WITHOUT_METRICS",
      "RATE_LIMITED",
      "JUDGE_FAULT",
      "MAPPING_MISFIT",
    ]);
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

  test("a reject holds what was known about the message by then", () => {
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

  test("the beginning of a payload that is too large is kept, without the token", () => {
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
