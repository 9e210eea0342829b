import { expect, test } from "bun:test";
import { cells, DeferredDevices } from "../../src/intake/deferred.ts";
import { anEntry } from "../kit/spool.ts";

const of = (deviceId: string) => anEntry({ kind: "deferred", tenantId: "acme", deviceId });

test("a device is held as long as one of its messages waits, and no other", () => {
  const deferred = new DeferredDevices();
  deferred.add(of("a"));
  deferred.add(of("a"));
  deferred.remove(of("a"));
  expect([deferred.holds("acme/a"), deferred.holds("acme/b")]).toEqual([true, false]);
  expect(deferred.bytes).toBeGreaterThan(200);
  deferred.remove(of("a"));
  expect(deferred.holds("acme/a")).toBe(false);
  expect(deferred.bytes).toBe(0);
});

test("a flood of names holds few other devices, and none once it has been judged", () => {
  const deferred = new DeferredDevices();
  const flood = Array.from({ length: cells / 4 }, (_, i) => of(`made-up-${i}`));
  for (const entry of flood) deferred.add(entry);
  expect(flood.every(({ deviceId }) => deferred.holds(`acme/${deviceId}`))).toBe(true);
  const honest = Array.from({ length: 1_000 }, (_, i) => `acme/honest-${i}`);
  expect(honest.filter((key) => deferred.holds(key)).length).toBeLessThan(350);
  for (const entry of flood) deferred.remove(entry);
  expect(honest.some((key) => deferred.holds(key))).toBe(false);
  expect(deferred.bytes).toBe(0);
});

test("what waits only for the clock holds no device: its device is looked up as usual", () => {
  const deferred = new DeferredDevices();
  const waits = anEntry({ kind: "deferred", tenantId: "acme", deviceId: "a", reason: "CLOCK_NOT_SET" });
  deferred.add(of("a"));
  deferred.add(waits);
  deferred.remove(of("a"));
  expect(deferred.holds("acme/a")).toBe(false);
  deferred.remove(waits);
  deferred.add(of("a"));
  expect(deferred.holds("acme/a")).toBe(true);
});
