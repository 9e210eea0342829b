import { describe, expect, test } from "bun:test";
import type { Pending } from "../../src/judge/contract.ts";
import { aBody, aDevice, aMessage, aPolicy, aToken } from "../kit/builders.ts";
import { court, dev, entryOf, metrics, pendingOf, rejectOf, withoutDevice, type Court } from "./court.ts";

describe("rates", () => {
  test("a device that flushes what it buffered for hours loses none of it, with the default settings", () => {
    const it = court();
    const outcomes = Array.from({ length: 20_000 }, () => entryOf(it.judge.judge(now(it))).kind);
    expect(outcomes.every((kind) => kind === "event")).toBe(true);
  });

  test("a device that floods spends its backlog and its burst, and then gets its rate", () => {
    const it = court({ policy: { rateLimitBacklogSeconds: 10 } });
    const outcomes = () => Array.from({ length: 100 }, () => entryOf(it.judge.judge(now(it))).reason);
    expect(outcomes().filter((reason) => reason === null)).toHaveLength(70);
    it.clock.advance(1000);
    expect(outcomes().filter((reason) => reason === null)).toHaveLength(5);
    expect(outcomes().every((reason) => reason === "RATE_LIMITED")).toBe(true);
  });

  test("the payload of what is limited after proof is kept, without its token, up to a bound", () => {
    const it = court({ policy: strict });
    const limited = Array.from({ length: 10_100 }, () => entryOf(it.judge.judge(now(it)))).slice(1);
    expect(limited.every(({ reason }) => reason === "RATE_LIMITED")).toBe(true);
    // One more than the bound: it is the sample of this minute.
    expect(limited.filter(({ payload }) => payload !== "")).toHaveLength(10_001);
    expect(limited[0]?.payload).toContain('"seq":120');
    expect(limited[0]?.payload).not.toContain(aToken);
  });

  test("a message that fails in a device's name keeps its own reason and never spends the device's allowance", () => {
    const it = court({ policy: strict });
    for (const bad of [aBody({ provision_token: "tok-wrong" }), "{"]) {
      const reasons = Array.from({ length: 100 }, () => entryOf(it.judge.judge(now(it, bad))).reason);
      expect(new Set(reasons).size).toBe(1);
      expect(reasons).not.toContain("RATE_LIMITED");
    }
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
  });

  test("messages that wait on disk for the registry have an allowance of their own", () => {
    const it = withoutDevice(court({ policy: { ...strict, rateLimitBurst: 3 } }));
    const deferred = Array.from({ length: 4 }, () =>
      it.judge.resume(pendingOf(it.judge.judge(now(it))), "unavailable"),
    );
    expect(deferred.map(({ kind }) => kind)).toEqual(["deferred", "deferred", "deferred", "reject"]);
    expect(deferred[3]).toMatchObject({ reason: "RATE_LIMITED", detail: "after REGISTRY_UNAVAILABLE" });
    it.device = aDevice();
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
  });

  test("messages that waited for the registry are charged by the time they came", () => {
    const it = withoutDevice(court({ policy: { ...strict, rateLimitRps: 10 } }));
    const parked: Pending[] = [];
    for (let at = 0; at < 30; at++) {
      parked.push(pendingOf(it.judge.judge(now(it))));
      it.clock.advance(100);
    }
    expect(parked.map((pending) => it.judge.resume(pending, aDevice()).kind)).toEqual(
      parked.map(() => "event"),
    );
  });

  test("the limits in force are those of now, and 0 means no limit", () => {
    const it = court({ policy: strict });
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
    expect(entryOf(it.judge.judge(now(it))).reason).toBe("RATE_LIMITED");
    it.policy = aPolicy({ rateLimitRps: 0 });
    expect(entryOf(it.judge.judge(now(it))).kind).toBe("event");
  });

  const strict = { rateLimitRps: 1, rateLimitBurst: 1, rateLimitBacklogSeconds: 0 };

  function now(it: Court, payload: unknown = aBody()) {
    return aMessage(payload, { receivedMs: it.clock.wallMs() });
  }
});

describe("what is kept of a reject", () => {
  test("a detail is cut between two characters", () => {
    const name = `x${"😀".repeat(150)}`;
    const { detail } = rejectOf(court({ policy: dev }).judge.judge(metrics({ [name]: 1 })));
    expect(detail).toMatch(/^metric "x😀+\ufffd…$/u);
  });

  test("a topic or a site as long as a packet is cut, and the cut topic names no device either", () => {
    const { judge } = court();
    const topic = `tenant/${"a".repeat(30_000)}/device/d/${"b".repeat(30_000)}`;
    const far = entryOf(judge.judge(aMessage(aBody(), { topic })));
    expect(far).toMatchObject({ reason: "BAD_TOPIC_FORMAT", tenantId: null });
    expect(far.topic).toHaveLength(2_049);
    const again = entryOf(judge.judge(aMessage(aBody(), { topic: far.topic })));
    expect(again).toMatchObject({ reason: "BAD_TOPIC_FORMAT", topic: far.topic });
    const site = entryOf(judge.judge(aMessage(aBody({ site_id: "s".repeat(6_000) }))));
    expect(site.reason).toBe("SITE_MISMATCH_REGISTRY_VS_PAYLOAD");
    expect(site.siteId).toHaveLength(513);
    const large = entryOf(court({ policy: dev }).judge.judge(aMessage("{}", { wholeBytes: 9_000 })));
    expect(JSON.parse(large.payload)).toEqual({ _raw: "{}", _bytes: 9_000 });
    const whole = "a".repeat(2_048);
    expect(entryOf(judge.judge(aMessage(aBody(), { topic: whole }))).topic).toBe(whole);
    const torn = `${"a".repeat(2_040)}/tok-${"x".repeat(32)}`;
    expect(entryOf(judge.judge(aMessage(aBody(), { topic: torn }))).topic).not.toContain("tok-x");
  });

  const at = (receivedMs: number, payload = "{") => aMessage(payload, { receivedMs });

  test("PROD keeps the first payload per device, reason and minute, whatever the other settings", () => {
    const it = court({ policy: { storeRejects: true, mirrorRejects: true, rateLimitRps: 0 } });
    const minute = Date.UTC(2026, 10, 21);
    const kept = [at(minute), at(minute + 59_999), at(minute + 1, "[]"), at(minute + 60_000)].map(
      (message) => {
        const entry = entryOf(it.judge.judge(message));
        expect(entry.mirror).toBeUndefined();
        return entry.payload !== "";
      },
    );
    expect(kept).toEqual([true, false, true, true]);
  });

  test("messages of the previous minute, which waited, do not restart the sampling", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    const minute = Date.UTC(2026, 10, 21);
    const arrivals = [minute, minute - 1, minute, minute - 1, minute];
    const kept = arrivals.filter((ms) => entryOf(it.judge.judge(at(ms))).payload !== "");
    expect(kept).toEqual([minute]);
  });

  test("PROD keeps a bounded number of payloads per minute, all devices together", () => {
    const it = court({ policy: { rateLimitRps: 0 } });
    let kept = 0;
    for (let device = 0; device < 3000; device++) {
      const message = aMessage("{", { topic: `tenant/acme/device/d${device}/telemetry` });
      if (entryOf(it.judge.judge(message)).payload !== "") kept++;
    }
    expect(kept).toBe(1000);
  });

  test.each([
    [{ storeRejects: true, mirrorRejects: false }, true, undefined],
    [{ storeRejects: true, mirrorRejects: true }, true, true],
    [{ storeRejects: false, mirrorRejects: true }, true, true],
    [{ storeRejects: false, mirrorRejects: false }, false, undefined],
  ])("DEV with %j", (settings, keeps, mirror) => {
    const it = court({ policy: { mode: "DEV", rateLimitRps: 0, ...settings } });
    it.judge.judge(at(0));
    const second = entryOf(it.judge.judge(at(0)));
    expect([second.payload !== "", second.mirror]).toEqual([keeps, mirror]);
  });
});
