import { expect, test } from "bun:test";
import { cacheStatsOf } from "../../src/admin/cache-stats.ts";
import { setting } from "../registry/asked.ts";

test("a look-up that the registry does not answer is one error, whoever shows it", async () => {
  const { clock, cache, lookup, queries, ask, fake } = setting();
  fake.mood = "refuses";
  ask("a");
  await clock.pass(3);
  expect(queries).toHaveLength(1);
  expect(lookup.stats()).toMatchObject({ queries: 1, errors: 1 });
  expect(cacheStatsOf(cache, lookup).errors).toBe(1);
  await clock.pass(600_000);
  expect(lookup.stats().errors).toBe(queries.length);
  expect(cacheStatsOf(cache, lookup).errors).toBe(queries.length);
});

test("a look-up has one watcher, however often it is read", () => {
  const { lookup } = setting();
  expect(lookup.watcher).toBe(lookup.watcher);
});
