import { describe, expect, test } from "bun:test";
import { aBody, aDevice, aMessage, sha256 } from "../kit/builders.ts";
import {
  body,
  court,
  deferredOf,
  dev,
  entryOf,
  pendingOf,
  rejectOf,
  replay,
  withoutDevice,
} from "./court.ts";

const arrivalMs = Date.UTC(2026, 10, 21);

describe("the time of a device's message", () => {
  test.each([
    ["within both bounds", "2026-11-21T00:09:59Z", Date.UTC(2026, 10, 21, 0, 9, 59)],
    ["at the bound", "2026-11-21T00:10:00Z", Date.UTC(2026, 10, 21, 0, 10)],
    ["beyond: that of arrival", "2031-01-01T00:00:00Z", arrivalMs],
    ["long ago: that of arrival", 12, arrivalMs],
    ["none: that of arrival", undefined, arrivalMs],
  ])("%s", (_, ts, eventMs) => {
    const it = court({
      policy: { ...dev, tsFutureSecondsMax: 600, tsAgeDaysMax: 2, tsOutOfRange: "arrival" },
    });
    expect(entryOf(it.judge.judge(body({ ts })))).toMatchObject({ kind: "event", eventMs, eventNs: 0 });
  });

  test("may be arbitrarily far off by default", () => {
    const it = court({ policy: dev });
    for (const ts of ["1999-01-01T00:00:00Z", "2200-01-01T00:00:00Z", 12])
      expect(entryOf(it.judge.judge(body({ ts }))).kind).toBe("event");
  });

  test("is not checked against a clock that is not set", () => {
    const it = court({ policy: { ...dev, tsFutureSecondsMax: 600, tsAgeDaysMax: 2 } });
    it.isTimeKnown = false;
    expect(entryOf(it.judge.judge(body({ ts: "2031-01-01T00:00:00Z" }))).kind).toBe("event");
  });
});

describe("while the host's clock is not set", () => {
  test("a message with its own time is accepted; one without waits, and that its token was valid is remembered", () => {
    const it = court({ policy: dev });
    it.isTimeKnown = false;
    expect(entryOf(it.judge.judge(body({}))).kind).toBe("event");
    const waits = deferredOf(it.judge.judge(body({ ts: undefined })));
    expect(waits).toMatchObject({
      kind: "deferred",
      reason: "CLOCK_NOT_SET",
      eventMs: null,
      tokenHash: null,
    });
    it.isTimeKnown = true;
    const corrected = { ...waits, receivedMs: arrivalMs + 1, eventMs: arrivalMs + 1 };
    expect(it.judge.rejudge(corrected, aDevice({ status: "REVOKED" })).reason).toBe("DEVICE_REVOKED");
    const rotated = aDevice({ tokenHash: sha256("tok-another") });
    expect(it.judge.rejudge(corrected, rotated)).toMatchObject({
      kind: "event",
      receivedMs: arrivalMs + 1,
      eventMs: arrivalMs + 1,
      tokenHash: null,
    });
  });

  test("a message that came then, and was parked until the time was known, waits for its own time too", () => {
    const it = court({ policy: dev });
    it.unknownUntilMs = arrivalMs;
    expect(deferredOf(it.judge.judge(body({ ts: undefined })))).toMatchObject({
      reason: "CLOCK_NOT_SET",
      eventMs: null,
    });
    it.unknownUntilMs = arrivalMs - 1;
    expect(entryOf(it.judge.judge(body({ ts: undefined })))).toMatchObject({
      kind: "event",
      eventMs: arrivalMs,
    });
  });

  test("a device that did not prove itself is rejected at once, and one that cannot be looked up waits for both", () => {
    const it = court({ policy: dev });
    it.isTimeKnown = false;
    const bad = body({ ts: undefined, provision_token: "tok-another" });
    expect(entryOf(it.judge.judge(bad)).reason).toBe("TOKEN_INVALID");
    const pending = () => pendingOf(withoutDevice(it).judge.judge(body({ ts: undefined })));
    expect(it.judge.resume(pending(), null).reason).toBe("UNREGISTERED_DEVICE");
    const both = it.judge.resume(pending(), "unavailable");
    expect(both).toMatchObject({ reason: "REGISTRY_UNAVAILABLE", eventMs: null });
    expect(both.tokenHash).toMatch(/^[0-9a-f]{64}$/);
    const timed = pendingOf(it.judge.judge(body({})));
    expect(it.judge.resume(timed, "unavailable")).toMatchObject({ eventMs: Date.UTC(2026, 10, 21) });
    // It came before the time was known, and its look-up was answered after.
    const early = pending();
    it.isTimeKnown = true;
    expect(it.judge.resume(early, aDevice())).toMatchObject({ reason: "CLOCK_NOT_SET", eventMs: null });
  });
});

describe("a message that the broker had retained", () => {
  test("counts by its own time", () => {
    const it = court({ policy: dev });
    const ts = "2026-08-01T00:00:00Z";
    const entry = entryOf(it.judge.judge(aMessage(aBody({ ts }), { retained: true })));
    expect(entry).toMatchObject({ kind: "event", eventMs: Date.parse(ts) });
  });

  test("without one stays a reject when it is replayed", () => {
    const it = court({ policy: dev });
    const entry = rejectOf(it.judge.judge(aMessage(aBody({ ts: undefined }), { retained: true })));
    expect(entry.reason).toBe("RETAINED_WITHOUT_TIME");
    expect(replay(it.judge, entry, it.device ?? null).reason).toBe("RETAINED_WITHOUT_TIME");
  });
});
