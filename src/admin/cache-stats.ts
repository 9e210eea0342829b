/** What the auth cache and the look-ups behind it count, under the names of `/stats` and `/admin/cache/stats`. */
import { z } from "zod";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Lookup } from "../registry/contract.ts";

const count = z.number().int().min(0);

export const cacheStats = z.looseObject({
  size: count.describe("Devices in it."),
  max_size: count.describe("AUTH_CACHE_MAX_SIZE."),
  ttl_seconds: z.number().describe("AUTH_CACHE_TTL_SECONDS."),
  hits: count.describe("Messages whose device was in it."),
  misses: count.describe("Messages whose device had to be looked up."),
  hit_rate: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe("hits / (hits + misses); null before the first look-up."),
  errors: count.describe("Look-ups that the registry did not answer."),
  stale_hits: count.describe("Hits on rows past their TTL, while the registry did not answer."),
  evictions: count.describe("Devices that went to make room."),
  shared: z
    .record(z.string(), z.union([z.number(), z.boolean(), z.string()]).nullable())
    .nullable()
    .describe("The cache that gateways share in Redis (AUTH_CACHE_REDIS); null: there is none."),
});

export type CacheStats = z.infer<typeof cacheStats>;

/** Errors are the look-ups' to count: the cache asks nobody. */
export function cacheStatsOf(cache: DeviceAuthCache, lookup: Lookup): CacheStats {
  return { ...cache.stats(), errors: lookup.stats().errors, shared: lookup.sharedStats() };
}
