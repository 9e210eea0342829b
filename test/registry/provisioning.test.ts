/** AUTO_PROVISION: what is asked of the registry, what is said, and what it costs if that does not answer. */
import { expect, test } from "bun:test";
import type { NewDevice } from "../../src/core/device.ts";
import { createFlights } from "../../src/registry/flights.ts";
import {
  createProvisioning,
  provisionedAtOnceMax,
  queryDeadlineMs,
} from "../../src/registry/provisioning.ts";
import { simulatedClock } from "../kit/clock.ts";
import { recordingLog } from "../kit/source.ts";

function setUp(provision: (devices: readonly NewDevice[]) => Promise<void> = () => Promise.resolve()) {
  const clock = simulatedClock();
  const { log, lines } = recordingLog();
  const failures: string[] = [];
  const calls: number[] = [];
  const provisioning = createProvisioning({
    registry: {
      provision(devices) {
        calls.push(devices.length);
        return provision(devices);
      },
    },
    clock,
    log,
    failed: (error) => failures.push(String(error)),
  });
  const flights = createFlights();
  let made = 0;
  const strangers = (count: number) =>
    Array.from({ length: count }, () =>
      flights.open({ tenantId: "acme", deviceId: `d${made++}` }, "lab-1", 0, false),
    );
  return { clock, lines, failures, calls, provisioning, strangers };
}

test("those beyond the allowance are told of once in ten minutes, and nobody is if there are none", () => {
  const { clock, lines, provisioning, strangers } = setUp();
  const chosen = (count: number) => provisioning.choose(strangers(count)).length;
  expect(chosen(provisionedAtOnceMax)).toBe(provisionedAtOnceMax);
  expect(lines).toEqual([]);
  expect([chosen(3), chosen(4)]).toEqual([0, 0]);
  clock.advance(599_999);
  expect(chosen(200)).toBe(99);
  expect(lines.map((line) => line["not_registered"])).toEqual([3]);
  clock.advance(6_001);
  expect(chosen(5)).toBe(1);
  expect(lines.map((line) => line["not_registered"])).toEqual([3, 3 + 4 + 101 + 4]);
  expect(provisioning.leftOut()).toBe(112);
});

test("the allowance of years is no more than that of the start", () => {
  const { clock, provisioning, strangers } = setUp();
  clock.advance(10 * 365 * 86_400_000);
  expect(provisioning.choose(strangers(2 * provisionedAtOnceMax))).toHaveLength(provisionedAtOnceMax);
});

test("nothing is asked of the registry for nobody", async () => {
  const { calls, provisioning } = setUp();
  await provisioning.register([]);
  expect(calls).toEqual([]);
});

test("a registry that refuses or never answers is told of, and waited for no longer than for a query", async () => {
  const refusing = setUp(() => Promise.reject(new Error("read only")));
  await refusing.provisioning.register(refusing.strangers(2));
  expect([refusing.failures, refusing.calls]).toEqual([["Error: read only"], [2]]);
  const silent = setUp(() => new Promise(() => {}));
  const registered = silent.provisioning.register(silent.strangers(1));
  await silent.clock.pass(queryDeadlineMs);
  await registered;
  expect(silent.failures[0]).toContain("AUTO_PROVISION: no answer");
});
