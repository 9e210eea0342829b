/** How long an answer that only says "not yet" is waited for. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { code, KafkaError } from "../../src/kafka/error.ts";
import { patiently } from "../../src/kafka/patience.ts";

test("a rest for the sake of a quota, before the first such answer is told, is no time that it took", async () => {
  let nowMs = 0;
  const clock = { ...systemClock, monoMs: () => nowMs };
  const tries: number[] = [];
  const attempt = (restMs: number, until: number) => () => {
    tries.push(nowMs);
    nowMs += restMs;
    if (tries.length < until)
      return Promise.reject(new KafkaError(code.concurrentTransactions, "CONCURRENT_TRANSACTIONS"));
    return Promise.resolve("done");
  };
  expect(await patiently({ clock, timeoutMs: 10_000 }, attempt(12_000, 2))).toBe("done");
  tries.length = 0;
  const failed = patiently({ clock, timeoutMs: 10_000 }, attempt(4_000, Number.POSITIVE_INFINITY));
  await expect(failed).rejects.toThrow("CONCURRENT_TRANSACTIONS");
  expect(tries.length).toBe(4);
});
