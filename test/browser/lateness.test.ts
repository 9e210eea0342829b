/** Of what a stream brings, when it was said: over a slow line, after a restart, by a clock that goes otherwise. */
import { expect, test } from "bun:test";
import { createLateness } from "../../src/page/lateness.ts";

const day = 86_400;

/** How late the last of so many events seems, one each second of the gateway's, which come `everyMs` apart. */
function lateMs(events: number, everyMs: number, lateness = createLateness()): number {
  let late = 0;
  for (let n = 0; n < events; n++) late = n * everyMs - lateness.saidMs(n * everyMs, 100 + n);
  return late;
}

test("what comes further behind with each event was said earlier", () => {
  expect(lateMs(11, 1_400)).toBeGreaterThan(2_900);
  expect(lateMs(11, 1_000)).toBe(0);
});

test("a clock that goes otherwise than the browser's makes nothing late, however long the page stays open", () => {
  expect(lateMs(3 * day, 1_000.1)).toBe(0);
  expect(lateMs(3 * day, 999.9)).toBe(0);
});

test("of a stream that begins anew the seconds may be those of another gateway", () => {
  const lateness = createLateness();
  lateness.saidMs(0, 12 * day);
  lateness.anew();
  expect(lateness.saidMs(3_000, 1)).toBe(3_000);
});
