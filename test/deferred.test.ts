import { expect, test } from "bun:test";
import { DeferredDevices, deferredDevicesMax } from "../src/deferred.ts";
import { anEntry } from "./kit/spool.ts";

const of = (deviceId: string) => anEntry({ kind: "deferred", tenantId: "acme", deviceId });

test("a device is held as long as one of its messages waits, and no other", () => {
  const deferred = new DeferredDevices();
  deferred.add(of("a"));
  deferred.add(of("a"));
  deferred.remove(of("a"));
  expect([deferred.holds("acme/a"), deferred.holds("acme/b")]).toEqual([true, false]);
  deferred.remove(of("a"));
  expect(deferred.holds("acme/a")).toBe(false);
});

test("beyond the bound every device is held, until the flood has been judged", () => {
  const deferred = new DeferredDevices();
  const flood = Array.from({ length: deferredDevicesMax + 2 }, (_, i) => of(`made-up-${i}`));
  for (const entry of flood) deferred.add(entry);
  expect(deferred.holds("acme/honest")).toBe(true);
  for (const entry of flood) deferred.remove(entry);
  expect(deferred.holds("acme/honest")).toBe(false);
});
