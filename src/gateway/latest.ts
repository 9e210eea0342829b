/** Where the latest values come from: Redis if this gateway keeps them there, else what it has itself. */
import type { Clock } from "../core/clock.ts";
import type { EventTable, HeldEntries } from "../core/recent.ts";
import type { LatestParts } from "../core/latest-view.ts";
import { openRedisLatest } from "../redis/redis-latest.ts";
import { isRedisNamed, type RedisValues } from "../redis/redis-settings.ts";
import { latestOfTables } from "../admin/latest-of-tables.ts";

/** Connects to nothing yet. */
export function openLatest(parts: {
  readonly redis: RedisValues;
  readonly events: EventTable;
  readonly held: HeldEntries;
  readonly clock: Clock;
}): LatestParts {
  const { redis, clock } = parts;
  const ttlMs = redis.ttlSeconds * 1000;
  const isKept = isRedisNamed(redis) && redis.writeEnabled;
  const view = isKept ? openRedisLatest(redis, clock) : latestOfTables({ ...parts, ttlMs });
  return { view, ttlMs, nowMs: clock.wallMs };
}
