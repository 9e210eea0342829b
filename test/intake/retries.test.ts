/**
 * What a device sends again without DUP because its connection ended: one entry, and two readings are never taken for
 * one.
 */
import { describe, expect, test } from "bun:test";
import { Retries } from "../../src/intake/retries.ts";
import { createJudge } from "../../src/judge/judge.ts";
import { readMappingFile } from "../../src/judge/mapping/file.ts";
import { router } from "../../src/judge/mapping/routes.ts";
import { aBody, aMessage, aPolicy, type TestMessage } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";

const z2m = 'tenant = "acme"\n[[mapping]]\ntopic = "z/{device}"\ntime = "/last_seen"\nproof = "broker"\n';
const judge = createJudge({
  policy: () => aPolicy(),
  auth: { get: () => undefined, mayReread: () => false },
  requireToken: true,
  backlogBytesMax: 1e9,
  clock: simulatedClock(),
  routeOf: router(
    readMappingFile(`${z2m}[[mapping]]\ntopic = "me"\ntime = "/ts"\nproof = "connection"\n`).mappings,
  ),
});

/** A message of a connection that can end. */
function sent(body: unknown, changes: Partial<TestMessage> = {}) {
  let isGone = false;
  const message = aMessage(body, { abandoned: () => isGone, ...changes });
  return {
    message,
    leave() {
      isGone = true;
    },
  };
}

for (const when of ["before", "after"] as const) {
  test(`twenty tries on twenty connections are one entry (the group is written ${when} the next try)`, () => {
    const retries = new Retries(judge.hasOwnIdentity);
    let known = 0;
    for (let packetId = 1; packetId <= 20; packetId++) {
      const { message, leave } = sent(aBody(), { packetId });
      if (retries.isRetry(message)) known++;
      retries.note(message);
      leave();
      if (when === "before") retries.committed();
    }
    expect(known).toBe(19);
  });
}

test.each([
  ["its connection lives", aBody(), {}, false],
  ["it has neither ts nor seq", aBody({ ts: undefined, seq: undefined }), {}, true],
  ["QoS 0", aBody(), { qos: 0 }, true],
] as const)("it is a new message: %s", (_, body, changes, leaves) => {
  const retries = new Retries(judge.hasOwnIdentity);
  const first = sent(body, changes);
  retries.note(first.message);
  if (leaves) first.leave();
  expect(retries.isRetry(sent(body, changes).message)).toBe(false);
});

test("of another device, or with other bytes, it is a new message", () => {
  const retries = new Retries(judge.hasOwnIdentity);
  const first = sent(aBody());
  retries.note(first.message);
  first.leave();
  expect(retries.isRetry(sent(aBody({ seq: 121 })).message)).toBe(false);
  const topic = "tenant/acme/device/dev-0002/telemetry";
  expect(retries.isRetry(sent(aBody(), { topic }).message)).toBe(false);
  expect(retries.isRetry(sent(aBody()).message)).toBe(true);
});

test.each([
  ["with a time of its own", { x: 1, last_seen: 1795226820 }, true],
  ["without", { x: 1 }, false],
])("a mapped message %s", (_, body, isKnown) => {
  const retries = new Retries(judge.hasOwnIdentity);
  const first = sent(body, { topic: "z/d1" });
  retries.note(first.message);
  first.leave();
  expect(retries.isRetry(sent(body, { topic: "z/d1" }).message)).toBe(isKnown);
});

test("on a topic that all devices share, the same from another device is a new message", () => {
  const retries = new Retries(judge.hasOwnIdentity);
  const from = (deviceId: string) => ({ topic: "me", speaker: { tenantId: "acme", deviceId } });
  const body = { ts: 1795226820, state: "run" };
  const first = sent(body, from("d1"));
  retries.note(first.message);
  first.leave();
  expect(retries.isRetry(sent(body, from("d2")).message)).toBe(false);
  expect(retries.isRetry(sent(body, from("d1")).message)).toBe(true);
});

test.each([
  [{}, true, true],
  [{ ts: undefined }, true, false],
  [{ ts: undefined, seq: undefined }, false, false],
])("a message with %j has an identity of its own, and by its time alone", (changes, has, byTime) => {
  const { message } = sent(aBody(changes));
  expect([judge.hasOwnIdentity(message), judge.hasOwnIdentity(message, true)]).toEqual([has, byTime]);
});

describe("what is remembered of an unanswered message", () => {
  const reading = (n: number, abandoned: () => boolean = () => true) => aMessage({ seq: n }, { abandoned });
  const retries = () => new Retries(() => true);

  test("is for one try: who is told now has been told", () => {
    const known = retries();
    known.note(reading(1));
    known.committed();
    expect([known.isRetry(reading(1)), known.isRetry(reading(1))]).toEqual([true, false]);
  });

  test("is nothing if its sender was there when it reached the disk, and was told", () => {
    const known = retries();
    let isGone = false;
    known.note(reading(1, () => isGone));
    known.committed();
    isGone = true;
    expect(known.isRetry(reading(1))).toBe(false);
  });

  test("has a bound, at which the oldest goes", () => {
    const known = retries();
    for (let n = 0; n <= 10_000; n++) known.note(reading(n));
    known.committed();
    expect([0, 1, 10_000].map((n) => known.isRetry(reading(n)))).toEqual([false, true, true]);
  });
});
