/** What else has its turn while a Redis is filled again. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createRefill } from "../../src/sink/redis/refill.ts";
import { reject } from "../contract/entries.ts";
import { nothingKept } from "../kit/sink.ts";
import { until } from "../kit/until.ts";

test("a spool that holds rejects alone, of which Redis is asked nothing, is read in turns", async () => {
  let reads = 0;
  const refill = createRefill({
    held: { head: 100, read: (seq) => (reads++, [reject(seq)]) },
    events: nothingKept.events,
    merge: () => Promise.resolve(0),
    sinceMs: () => 0,
    begun: () => Promise.resolve(),
    filled: () => Promise.resolve(true),
    clock: systemClock,
    log: silentLog,
  });
  refill.start("it is new");
  const readBefore = Promise.withResolvers<number>();
  setImmediate(() => readBefore.resolve(reads));
  expect(await readBefore.promise).toBeLessThan(10);
  await until(() => !refill.isRunning);
  expect(reads).toBe(100);
});
