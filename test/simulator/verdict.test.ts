/** The verdicts that the fleet promises are those that the real judge gives. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import type { Setting, Values } from "../../src/core/settings.ts";
import { isPending, type Judge, type Pending } from "../../src/judge/contract.ts";
import { createJudge, judgeSettings } from "../../src/judge/judge.ts";
import { type FaultName, faultNames, faultOf } from "../../src/simulator/fault.ts";
import { aMessage } from "../kit/builders.ts";
import { createFleet, type Fleet, type FleetMessage } from "../../src/simulator/fleet.ts";

function fleetOf(faults: Partial<Record<FaultName, number>>): Fleet {
  return createFleet({ seed: 11, devices: 50, tenants: ["acme", "globex"], faults });
}

const defaults = Object.fromEntries(
  Object.entries<Setting<unknown>>(judgeSettings).map(([key, row]) => [
    key,
    row.schema.parse(row.default ?? undefined),
  ]),
) as Values<typeof judgeSettings>;

function judgeOf(limits: { rateLimitRps?: number } = {}): Judge<Entry | Pending> {
  const policy = { ...defaults, ...limits };
  const auth = { get: () => undefined, mayReread: () => false };
  return createJudge({
    policy: () => policy,
    auth,
    requireToken: true,
    backlogBytesMax: 1e9,
    clock: systemClock,
  });
}

/** What the judge says when the registry holds the fleet. */
function verdictOf(judge: Judge<Entry | Pending>, fleet: Fleet, { topic, payload }: FleetMessage): string {
  const message = aMessage(payload, { topic, receivedMs: Date.now() });
  const first = judge.judge(message);
  if (!isPending(first)) return first.reason ?? first.kind;
  const row = fleet.devices.find((d) => d.tenantId === first.tenantId && d.deviceId === first.deviceId);
  const device = row ? { ...row, previousTokenHash: null, previousTokenUntilMs: null } : null;
  const entry = judge.resume(first, device);
  return entry.reason ?? entry.kind;
}

describe("the judge gives the verdict that the fleet expects", () => {
  test.each(faultNames.map((name) => [name, faultOf(name).expected] as const))("%s: %s", (name, expected) => {
    const [fleet, judge] = [fleetOf({ [name]: 1 }), judgeOf({ rateLimitRps: 0 })];
    const messages = Array.from({ length: 100 }, () => fleet.next(Date.now()));
    expect(new Set(messages.map((message) => verdictOf(judge, fleet, message)))).toEqual(new Set([expected]));
  });

  test("a fleet without faults: event", () => {
    const [fleet, judge] = [fleetOf({}), judgeOf()];
    const verdicts = Array.from({ length: 300 }, () => verdictOf(judge, fleet, fleet.next(Date.now())));
    expect(new Set(verdicts)).toEqual(new Set(["event"]));
  });

  test("one burst per device is below the default rate limit", () => {
    const [fleet, judge] = [fleetOf({ burst: 1 }), judgeOf()];
    const verdicts = Array.from({ length: 50 * 8 }, () => verdictOf(judge, fleet, fleet.next(Date.now())));
    expect(new Set(verdicts)).toEqual(new Set(["event"]));
  });
});
