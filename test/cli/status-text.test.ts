import { expect, test } from "bun:test";
import type { Stats } from "../../src/admin/measurements.ts";
import { statusText } from "../../src/cli/service/status-text.ts";
import { simulatedClock } from "../kit/clock.ts";
import { fakeView } from "../kit/view.ts";

test("the unit's status says what is wrong and since when, the rate since the last look, and the backlog", () => {
  const clock = simulatedClock();
  const base = fakeView().view.stats();
  let stats: Stats = base;
  const text = statusText(() => stats, clock);
  const look = (received: number, entries: number, attention: Partial<Stats["attention"]> = {}) => {
    stats = {
      ...base,
      ingest: { ...base.ingest, received },
      spool: { ...base.spool, entries },
      attention: { ...base.attention, text: "Working", since: null, ...attention },
    };
    clock.advance(5_000);
    return text();
  };
  expect(look(1_000, 0)).toBe("Working; 0 messages/s, nothing waits");
  expect(look(1_002, 0)).toBe("Working; 0.4 messages/s, nothing waits");
  expect(look(7_132, 12_345)).toBe("Working; 1,200 messages/s, 12,000 entries wait");
  const trouble = { text: "Sink influx cannot deliver", since: "2026-11-26T07:10:33.000Z" };
  expect(look(7_132, 12_345, trouble)).toBe(
    "Sink influx cannot deliver (since 2026-11-26T07:10Z); 0 messages/s, 12,000 entries wait",
  );
});
