/** A mapped message at the judge: who may send, what is kept, and what a later answer or file makes of it. */
import { describe, expect, test } from "bun:test";
import type { DeviceAuth } from "../../src/core/device.ts";
import type { Entry, Event, Reject } from "../../src/core/entry.ts";
import type { Message } from "../../src/core/message.ts";
import { isPending, isSeveral } from "../../src/judge/contract.ts";
import { createJudge, type Policy } from "../../src/judge/judge.ts";
import { readMappingFile } from "../../src/judge/mapping/file.ts";
import { router } from "../../src/judge/mapping/routes.ts";
import { aDevice, aMessage, aPolicy, sha256 } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";
import { deferredOf, dev, pendingOf, rejectOf } from "./court.ts";

const token = "tok-MDEyMzQ1Njc4OWFiY2RlZmdoaWpr";
const z2m = '[[mapping]]\ntopic = "z/{device}"\ntime = "/last_seen"\nproof = "broker"\n';
const gateway =
  '[[mapping]]\ntopic = "gw"\neach = "/{device}/*"\ntime = "/ts"\nmetrics = "/v"\nproof = "broker"\n';

function bench(
  mappings: string,
  options: { policy?: Partial<Policy>; known?: (id: string) => DeviceAuth | undefined } = {},
) {
  const { mappings: compiled, mistakes } = readMappingFile(`tenant = "acme"\n${mappings}`);
  expect(mistakes).toEqual([]);
  const known =
    options.known ?? ((deviceId) => aDevice({ deviceId, siteId: "hall-7", tokenHash: sha256(token) }));
  const judge = createJudge({
    policy: () => aPolicy({ ...dev, ...options.policy }),
    auth: { get: (_, deviceId) => known(deviceId), mayReread: () => false },
    requireToken: true,
    backlogBytesMax: 1e9,
    clock: simulatedClock(),
    routeOf: router(compiled),
  });
  const all = (topic: string, payload: unknown, more: Partial<Message> = {}) => {
    const verdict = judge.judge(aMessage(payload, { topic, ...more }));
    return isSeveral(verdict) ? verdict.several : [verdict];
  };
  const one = (...given: Parameters<typeof all>) => {
    const [only, ...others] = all(...given);
    expect(others).toEqual([]);
    return only!;
  };
  const entry = (...given: Parameters<typeof all>): Entry => {
    const verdict = one(...given);
    if (isPending(verdict)) throw new Error("pending");
    return verdict;
  };
  return { judge, all, one, entry, event: (...given: Parameters<typeof all>) => eventOf(entry(...given)) };
}

function eventOf(entry: Entry): Event {
  if (entry.kind !== "event") throw new Error(`${entry.kind}: ${entry.reason}: ${entry.detail}`);
  return entry;
}

describe("what is stored", () => {
  test("is the canonical envelope, with what the device sent, under the device's own topic", () => {
    const sent = '{"temperature": 21.50, "n": 12345678901234567890, "last_seen":"2026-11-21T02:07:00Z"}';
    expect(bench(z2m).event("z/d1", sent)).toMatchObject({
      ...{ topic: "z/d1", tenantId: "acme", deviceId: "d1", siteId: "hall-7", msgType: "telemetry" },
      eventMs: Date.UTC(2026, 10, 21, 2, 7),
      payload: `{"ts":"2026-11-21T02:07:00Z","metrics":{"temperature":21.5,"n":12345678901234567890},"raw":${sent}}`,
    });
  });

  test("has a time in ISO 8601, however the device wrote it", () => {
    const said = (last: unknown) =>
      JSON.parse(bench(z2m).event("z/d1", { x: 1, last_seen: last }).payload) as { ts: string };
    const times = [
      1795226820,
      1795226820000,
      1795226820000000,
      "1795226820",
      "1795226820.25",
      "2026-11-21T03:07:00+01:00",
    ];
    expect(times.map((time) => said(time).ts)).toEqual([
      ...Array.from({ length: 4 }, () => "2026-11-21T02:07:00.000Z"),
      "2026-11-21T02:07:00.250Z",
      "2026-11-21T02:07:00.000Z",
    ]);
    const nanos = bench(z2m).event("z/d1", '{"x":1,"last_seen":1795226820014773143}');
    expect(nanos).toMatchObject({ eventMs: 1795226820014, eventNs: 773143 });
    expect(nanos.payload).toStartWith('{"ts":"2026-11-21T02:07:00.014773143Z",');
  });

  test.each(["9007199254740993", "-9007199254740993", " 9007199254740993 ", "[9007199254740993]"])(
    "a payload that is nothing but %s keeps its digits",
    (sent) => {
      const { payload } = bench('[[mapping]]\ntopic = "v/{device}/{metric}"\nproof = "broker"\n').event(
        "v/d1/n",
        sent,
      );
      expect(payload).toMatch(/:-?9007199254740993}/);
    },
  );

  test("names that are put together of long ones take no more memory than the bound on metrics lets them", () => {
    const long = "x".repeat(200_000);
    const members = Array.from({ length: 5_000 }, (_, n) => `"${n}":1`).join();
    const { entry } = bench(z2m, { policy: { payloadBytesMax: 1_000_000 } });
    const before = process.memoryUsage().rss;
    // Kept whole, the names alone would take a gigabyte.
    expect(entry("z/d1", `{"${long}":{${members}}}`)).toMatchObject({
      reason: "TOO_MANY_METRICS",
      detail: "5000 metrics",
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000);
  });

  test("raw = false leaves out what the device sent", () => {
    expect(bench(`${z2m}raw = false`).event("z/d1", { x: 1 }).payload).toBe('{"metrics":{"x":1}}');
  });

  test("a plain value is kept as JSON", () => {
    const plain = '[[mapping]]\ntopic = "p/{device}/{metric}"\nproof = "broker"';
    expect(bench(plain).event("p/d1/t", "21.50").payload).toBe('{"metrics":{"t":21.5},"raw":21.50}');
    expect(bench(plain).event("p/d1/t", 'say "on"').payload).toBe(
      '{"metrics":{"t":"say \\"on\\""},"raw":"say \\"on\\""}',
    );
    expect(bench(plain).entry("p/d1/t", "a\0b")).toMatchObject({ reason: "UNSTORABLE_TEXT" });
  });
});

describe("a token", () => {
  const mapping = '[[mapping]]\ntopic = "t/{device}"\ntoken = "/auth/key"';
  test("under a key of the mapping proves the device, and is in nothing that is kept", () => {
    const event = bench(mapping).event("t/d1", { auth: { key: token }, x: 1, note: `key ${token}` });
    expect(event.payload).toBe(
      '{"metrics":{"x":1,"note":"key ***"},"raw":{"auth":{"key":"***"},"x":1,"note":"key ***"}}',
    );
    expect(bench(mapping).entry("t/d1", { x: 1 })).toMatchObject({ reason: "TOKEN_MISSING" });
  });
  test.each([
    ["that is short and wrong", { auth: { key: "s3cr" }, x: 1 }, "TOKEN_INVALID", "s3cr"],
    ["in what is no JSON", '{"auth":{"key": "s3cr", "x":', "MALFORMED_JSON", "s3cr"],
    ["in a misfit", { auth: { key: token }, x: {} }, "MAPPING_MISFIT", token],
    ["under a damaged name", { "provision_to!ken": "1234567890", x: 1 }, "TOKEN_MISSING", "1234567890"],
    ["that is no text", { auth: { key: 123456 }, x: 1 }, "TOKEN_MISSING", "123456"],
  ])("%s is not kept with the reject", (_, payload, reason, secret) => {
    const reject = bench(mapping).entry("t/d1", payload);
    expect(reject).toMatchObject({ reason });
    expect(JSON.stringify(reject)).not.toContain(secret);
  });
  test("that is in the topic, too, is not kept with the reject", () => {
    const reject = bench(mapping).entry("t/open-sesame", { auth: { key: "open-sesame" }, x: {} });
    expect(reject).toMatchObject({ reason: "MAPPING_MISFIT", topic: "t/***", deviceId: "***" });
    expect(JSON.stringify(reject)).not.toContain("open-sesame");
  });
});

describe("proof", () => {
  const door = { tenantId: "acme", deviceId: "d1" };
  const me = '[[mapping]]\ntopic = "me"\nproof = "connection"';
  const named = '[[mapping]]\ntopic = "c/{device}"\nproof = "connection"';
  test.each<[string, string, string, Partial<Message>, string | null]>([
    ["broker: registered is enough", z2m, "z/d1", {}, null],
    ["broker, at our own door, by who proved himself", z2m, "z/d2", { speaker: door }, null],
    ["broker, at our own door, by who did not", z2m, "z/d1", { speaker: null }, "TOKEN_MISSING"],
    ["connection: the device is who connected", me, "me", { speaker: door }, null],
    ["connection, without a proof", me, "me", { speaker: null }, "TOKEN_MISSING"],
    ["connection, at another's broker", me, "me", {}, "TOKEN_MISSING"],
    ["connection: for itself", named, "c/d1", { speaker: door }, null],
    ["connection: for another", named, "c/d2", { speaker: door }, "TOKEN_INVALID"],
    ["a token beside the payload", z2m, "z/d1", { speaker: null, tokenHash: sha256(token) }, null],
  ])("%s", (_, mapping, topic, more, reason) => {
    expect(bench(mapping).entry(topic, { x: 1 }, more).reason).toBe(reason);
  });

  test("of whatever kind, the device must be registered, active and at the site that the message names", () => {
    const states = bench(`${z2m}site = "/site"`, {
      known: (id) =>
        id === "revoked"
          ? aDevice({ deviceId: id, status: "REVOKED" })
          : aDevice({ deviceId: id, siteId: "hall-7" }),
    });
    expect(states.entry("z/revoked", { x: 1 }).reason).toBe("DEVICE_REVOKED");
    expect(states.entry("z/d1", { x: 1, site: "hall-8" }).reason).toBe("SITE_MISMATCH_REGISTRY_VS_PAYLOAD");
    expect(states.entry("z/d1", { x: 1, site: "hall-7" })).toMatchObject({ kind: "event", siteId: "hall-7" });
    const unknown = bench(z2m, { known: () => undefined });
    const pending = pendingOf(unknown.one("z/d1", { x: 1 }));
    expect(pending.siteId).toBeNull();
    expect(unknown.judge.resume(pending, null).reason).toBe("UNREGISTERED_DEVICE");
    expect(unknown.judge.resume(pending, aDevice({ deviceId: "d1", siteId: "hall-9" }))).toMatchObject({
      siteId: "hall-9",
    });
  });
});

describe("a message that waits for the registry", () => {
  const sent = { x: 1, last_seen: "2026-11-21T02:07:00Z" };
  const device = aDevice({ deviceId: "d1", siteId: "hall-9", tokenHash: null });
  test.each([
    [
      "with what the device sent",
      z2m,
      `{"ts":"${sent.last_seen}","metrics":{"x":1},"raw":${JSON.stringify(sent)}}`,
    ],
    ["raw = false", `${z2m}raw = false`, `{"ts":"${sent.last_seen}","metrics":{"x":1}}`],
  ])("becomes the same event, and needs no token either: %s", (_, mapping, payload) => {
    const it = bench(mapping, { known: () => undefined });
    const waits = deferredOf(it.judge.resume(pendingOf(it.one("z/d1", sent)), "unavailable"));
    expect(waits).toMatchObject({ deviceId: "d1", siteId: null, reason: "REGISTRY_UNAVAILABLE" });
    // Whatever happened to the file meanwhile.
    const later = bench('[[mapping]]\ntopic = "other/{device}"').judge;
    expect(later.rejudge(waits, device)).toMatchObject({
      ...{ kind: "event", topic: "z/d1", tenantId: "acme", deviceId: "d1", msgType: "telemetry" },
      ...{ siteId: "hall-9", payload },
    });
    const reject = later.rejudge(waits, null);
    expect(reject).toMatchObject({
      reason: "UNREGISTERED_DEVICE",
      topic: "z/d1",
      payload: JSON.stringify(sent),
    });
  });

  test("holds no token, wherever that stands and whatever it is called", () => {
    const it = bench('[[mapping]]\ntopic = "t/{device}"\ntoken = "/key"', { known: () => undefined });
    const message = { x: 1, key: "open-sesame", note: "open-sesame" };
    const waits = deferredOf(it.judge.resume(pendingOf(it.one("t/d1", message)), "unavailable"));
    expect(waits.tokenHash).toBe(sha256("open-sesame"));
    expect(waits.payload).not.toContain("open-sesame");
  });

  test("keeps its token's hash, if that is its proof", () => {
    const it = bench('[[mapping]]\ntopic = "t/{device}"', { known: () => undefined });
    const waits = deferredOf(
      it.judge.resume(pendingOf(it.one("t/d1", { x: 1, provision_token: token })), "unavailable"),
    );
    expect(waits.tokenHash).toBe(sha256(token));
    expect(it.judge.rejudge(waits, { ...device, tokenHash: sha256("other") }).reason).toBe("TOKEN_INVALID");
    expect(it.judge.rejudge(waits, { ...device, tokenHash: sha256(token) }).kind).toBe("event");
  });
});

describe("a message of several events", () => {
  const sent = {
    d1: [
      { ts: 1795226820, v: { x: 1 } },
      { ts: 1795226821, v: { x: 2 } },
    ],
    d2: [{ v: {} }],
    d3: [{ v: { x: 3 } }],
  };
  const known = (id: string) => (id === "d3" ? undefined : aDevice({ deviceId: id, siteId: "hall-7" }));

  test("becomes several entries, each with its part; a fault in one does not affect the others", () => {
    const outcomes = bench(gateway, { known }).all("gw", sent);
    const [first, second, misfit, pending] = outcomes as [Event, Event, Reject, never];
    expect([first.deviceId, first.eventMs, second.eventMs]).toEqual(["d1", 1795226820000, 1795226821000]);
    expect(JSON.parse(second.payload)).toMatchObject({ metrics: { x: 2 }, raw: { d1: [sent.d1[1]] } });
    expect(misfit).toMatchObject({
      ...{ reason: "MAPPING_MISFIT", deviceId: "d2", detail: "mapping gw: it yields no metric" },
      payload: '{"d2":[{"v":{}}]}',
    });
    expect(isPending(pending)).toBe(true);
  });

  test("counts once for each device's rate", () => {
    const many = { d1: Array.from({ length: 50 }, (_, i) => ({ ts: 1795226820 + i, v: { x: i } })) };
    const it = bench(gateway, { policy: { rateLimitRps: 1, rateLimitBurst: 2, rateLimitBacklogSeconds: 0 } });
    const reasons = Array.from(
      { length: 3 },
      () => new Set(it.all("gw", many).map((one) => (one as Entry).reason)),
    );
    expect(reasons.map((some) => [...some])).toEqual([[null], [null], ["RATE_LIMITED"]]);
  });

  test("names all of their devices", () => {
    const { judge } = bench(gateway);
    expect(judge.devicesOf(aMessage(sent, { topic: "gw" }))).toEqual(["acme/d1", "acme/d3"]);
    expect(judge.devicesOf(aMessage("{", { topic: "gw" }))).toEqual([]);
  });
});

describe("a reject", () => {
  test("that was limited is kept as the device sent it", () => {
    const it = bench(z2m, { policy: { rateLimitRps: 1, rateLimitBurst: 1, rateLimitBacklogSeconds: 0 } });
    it.event("z/d1", { x: 1 });
    expect(it.entry("z/d1", { x: 2 })).toMatchObject({ reason: "RATE_LIMITED", payload: '{"x":2}' });
  });

  test.each<[string, unknown, string]>([
    ["an object", { y: { x: 1 } }, '{"y":{"x":1}}'],
    ["a list", [{ x: 1 }], '{"_raw":"[{\\"x\\":1}]"}'],
    ["a value", "17", '{"_raw":"17"}'],
  ])("is judged again by the file of now: %s", (_, sent, kept) => {
    const reject = rejectOf(
      bench('[[mapping]]\ntopic = "z/{device}"\nmetrics = "/x"\nproof = "broker"').entry("z/d1", sent),
    );
    expect(reject).toMatchObject({ reason: "MAPPING_MISFIT", payload: kept });
    const today = bench('[[mapping]]\ntopic = "z/{device}"\nname = "v"\nproof = "broker"').judge;
    const reread = today.reread(reject);
    expect(reread.devices).toMatchObject([{ tenantId: "acme", deviceId: "d1" }]);
    const [again] = reread.judge(() => aDevice({ deviceId: "d1", siteId: "hall-7" }));
    expect(again?.kind).toBe("event");
  });

  test.each([
    [
      "of which only the beginning was kept stays too large, however much is allowed now",
      9_000,
      "PAYLOAD_TOO_LARGE",
    ],
    ["of which all was kept is accepted once that much is allowed", 900, null],
  ])("%s", (_, chars, reason) => {
    const text = '[[mapping]]\ntopic = "z/{device}"\nname = "v"\nproof = "broker"';
    const strict = bench(text, { policy: { payloadBytesMax: 100 } });
    const reject = rejectOf(strict.entry("z/d1", "x".repeat(chars)));
    expect(reject.reason).toBe("PAYLOAD_TOO_LARGE");
    const reread = bench(text, { policy: { payloadBytesMax: 10_000 } }).judge.reread(reject);
    expect(reread.parts()).toMatchObject([{ payload: reject.payload }]);
    const [again] = reread.judge(() => aDevice({ deviceId: "d1", siteId: "hall-7" }));
    expect(again?.reason).toBe(reason);
  });

  test("of which only the beginning was kept stays too large if that is longer as text than the whole message was", () => {
    const text = '[[mapping]]\ntopic = "z/{device}"\nname = "v"\nproof = "broker"';
    const reject = rejectOf(
      bench(text, { policy: { payloadBytesMax: 1_000 } }).entry("z/d1", new Uint8Array(1_500).fill(0xe9)),
    );
    const reread = bench(text, { policy: { payloadBytesMax: 8_192 } }).judge.reread(reject);
    const [again] = reread.judge(() => aDevice({ deviceId: "d1", siteId: "hall-7" }));
    expect(again).toMatchObject({ reason: "PAYLOAD_TOO_LARGE", detail: "1500 bytes, 8192 are allowed" });
  });

  test("of a topic without a mapping is accepted once there is one", () => {
    const reject = rejectOf(bench(z2m).entry("tele/d1/SENSOR", { x: 1 }));
    expect(reject).toMatchObject({ reason: "BAD_TOPIC_FORMAT", tenantId: null });
    const reread = bench('[[mapping]]\ntopic = "tele/{device}/SENSOR"\nproof = "broker"').judge.reread(
      reject,
    );
    expect(reread.devices).toMatchObject([{ tenantId: "acme", deviceId: "d1" }]);
    expect(reread.judge(() => aDevice({ deviceId: "d1" }))).toMatchObject([
      { kind: "event", deviceId: "d1" },
    ]);
  });

  test("that was retained and has no time of its own stays one", () => {
    const reject = rejectOf(bench(z2m).entry("z/d1", { x: 1 }, { retained: true }));
    expect(reject.reason).toBe("RETAINED_WITHOUT_TIME");
    const { judge } = bench(z2m);
    expect(judge.reread(reject).judge(() => aDevice({ deviceId: "d1" }))).toMatchObject([
      { reason: "RETAINED_WITHOUT_TIME" },
    ]);
    expect(bench(z2m).entry("z/d1", { x: 1, last_seen: 1795226820 }, { retained: true }).kind).toBe("event");
  });
});

test("our own topic comes first, by its own code", () => {
  const it = bench('[[mapping]]\ntopic = "{a}/{b}/{c}/{device}/{d}"\nproof = "broker"');
  expect(it.entry("tenant/acme/device/d1/telemetry", { x: 1 })).toMatchObject({ reason: "MISSING_SITE_ID" });
  expect(it.entry("tenant//device/d1/telemetry", { x: 1 })).toMatchObject({ reason: "BAD_TOPIC_FORMAT" });
  expect(it.entry("tenant/acme/devices/d1/telemetry", { x: 1 }).kind).toBe("event");
});

test("what cannot be a name is no reject's either: it would be a row that no table takes", () => {
  const it = bench('[[mapping]]\ntopic = "n"\ntenant = "/t"\ndevice = "/d"\nsite = "/s"\nproof = "broker"');
  const long = "x".repeat(3_000);
  for (const said of [
    { t: long },
    { d: long },
    { s: long },
    { d: "a\u0001b" },
    { d: `tok-${"A".repeat(32)}` },
    { t: "a/b" },
  ]) {
    const reject = it.entry("n", { t: "acme", d: "d1", s: "hall-7", x: 1, ...said });
    expect(reject).toMatchObject({ reason: "MAPPING_MISFIT", tenantId: null, deviceId: null, siteId: null });
  }
});

test("what is dropped within a named metric stays dropped", () => {
  const it = bench(
    '[[mapping]]\ntopic = "n/{device}"\nmetrics = { a = "/v/a" }\ndrop = ["/v/a/x"]\nproof = "broker"',
  );
  expect(it.event("n/d1", { v: { a: { x: 1, y: 2 } } }).payload).toStartWith('{"metrics":{"a_y":2},');
});
