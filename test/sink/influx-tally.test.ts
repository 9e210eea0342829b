/** What the InfluxDB sink counts for /stats. */
import { expect, test } from "bun:test";
import { Outage } from "../../src/core/outage.ts";
import { createTally } from "../../src/sink/influx/tally.ts";
import { event } from "../contract/entries.ts";

test("of many databases that wait for an operator a hundred are named, and the lines of all are counted", () => {
  const tally = createTally();
  for (let n = 0; n < 300; n += 1)
    tally.begin(`telemetry_t${n}`, [event(1, {}), event(2, {})])(new Outage("no room", { alarm: true }));
  const { parked, lines_parked: lines } = tally.stats();
  expect(Object.keys(parked as object)).toHaveLength(100);
  expect(lines).toBe(600);
});
