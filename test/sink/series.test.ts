/** A series hangs off its device's address: what is found there is that of this cache, table and site, and no longer than the cache has it. */
import { expect, test } from "bun:test";
import { Address } from "../../src/core/address.ts";
import { grammarOf } from "../../src/sink/influx/grammar.ts";
import type { Table } from "../../src/sink/influx/line.ts";
import { Unwritable } from "../../src/sink/influx/names.ts";
import { createSeries, type KnownSeries, seriesMax } from "../../src/sink/influx/series.ts";
import { event } from "../contract/entries.ts";
import type { EntryChanges } from "../kit/spool.ts";

const grammar = grammarOf("v1", true, false);
const tableOf = (name: string): Table => ({
  name,
  column: () => ({ head: null, integer: false, type: null }),
});
const [telemetry, status] = [tableOf("telemetry"), tableOf("status")];
const addressOf = (deviceId: string) =>
  new Address(`tenant/acme/device/${deviceId}/telemetry`, "acme", deviceId, "telemetry", true);

function cache(devicesMax?: number) {
  const series = createSeries(devicesMax);
  return (address: Address | undefined, table = telemetry, more: EntryChanges = {}) => {
    const { deviceId = "d1" } = address ?? {};
    return series(event(1, { ...(address && { address }), deviceId, ...more }), table, grammar);
  };
}

test("with an address at hand and without one it is the same series", () => {
  const [of, address] = [cache(), addressOf("d1")];
  const first = of(address);
  expect(first.text).toBe("telemetry,device_id=d1,site_id=lab-1");
  expect([of(address), of(undefined), of(addressOf("d1"))]).toEqual([first, first, first]);
  expect(of(address)).toBe(first);
  expect(of(undefined)).toBe(first);
});

test("a device that moves, and another table of it, have series of their own", () => {
  const [of, address] = [cache(), addressOf("d1")];
  const first = of(address);
  expect(of(address, telemetry, { siteId: "lab-2" }).text).toBe("telemetry,device_id=d1,site_id=lab-2");
  expect(of(address, status).text).toBe("status,device_id=d1,site_id=lab-1");
  expect(of(address)).toBe(first);
});

test("without a site there is no series, also behind one of a site that is called null", () => {
  const of = cache();
  expect(of(undefined, telemetry, { siteId: "null" }).text).toBe("telemetry,device_id=d1,site_id=null");
  expect(() => of(undefined, telemetry, { siteId: null })).toThrow(Unwritable);
});

test("caches side by side, each of a sink or an export, do not share series", () => {
  const [one, other, address] = [cache(), cache(), addressOf("d1")];
  const first = one(address);
  expect(other(address)).not.toBe(first);
  expect(one(address)).toBe(first);
});

/** A reading of it comes. */
function read({ slots }: KnownSeries) {
  slots.push({ ms: 0, ns: 0, seq: 1, print: 0, names: [], further: null });
}

test("what the cache lets go of hangs off no address, and what is in use stays", () => {
  const [of, address, busy] = [cache(), addressOf("d1"), addressOf("busy")];
  const further = new Address("zigbee2mqtt/d1", "acme", "d1", "telemetry", false);
  for (const one of [further, address]) read(of(one));
  const inUse = of(busy);
  for (let i = 0; i < 3 * seriesMax; i++) {
    of(undefined, telemetry, { deviceId: `other-${i}` });
    if (i % 1_000 === 0) of(busy);
  }
  expect(address.series).toBeUndefined();
  // Of a further topic of the same device it still hangs, without readings.
  expect(further.series).toHaveProperty("slots", []);
  expect(further.series?.home?.size).toBe(0);
  expect(of(busy)).toBe(inUse);
});

test("a series that is asked for again in the moment in which the older ones go keeps its readings", () => {
  const [of, address] = [cache(), addressOf("d1")];
  read(of(address));
  // With the first of the last so many the generation ends that has it; with it the next one.
  for (let i = 1; i < 2 * seriesMax; i++) of(undefined, telemetry, { deviceId: `other-${i}` });
  expect(of(address).slots).toHaveLength(1);
});

test("of a fleet beyond the bound each keeps its series, if so many devices may be cached", () => {
  const devices = 2 * seriesMax + 1;
  const [of, address] = [cache(devices), addressOf("d1")];
  const first = of(address);
  for (let i = 1; i < devices; i++) of(undefined, telemetry, { deviceId: `other-${i}` });
  expect(of(address)).toBe(first);
});
