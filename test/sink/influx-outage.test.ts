/** InfluxDB is away for an hour: nothing is lost, and nobody else notices. */
import { expect, test } from "bun:test";
import { hourAway } from "../kit/houraway.ts";

test("an hour without InfluxDB: the other sink keeps up, and all is delivered afterwards", async () => {
  const { spooled, other, failures, influx, arrived } = await hourAway({ perSecond: 20, tenants: 3 });
  expect(other).toMatchObject({ delivered: 3_600 * 20, waiting: 0, trouble: null });
  expect(influx).toMatchObject({ delivered: spooled, refused: 0, skipped: 0, waiting: 0, trouble: null });
  expect(arrived).toBe(spooled);
  // A try now and then, not one per batch.
  expect(failures).toBeLessThan(1_000);
});
