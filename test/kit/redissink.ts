/**
 * A Redis sink for tests: default settings except what a test changes, and the entries from which it is filled again.
 */
import { systemClock, type Clock } from "../../src/core/clock.ts";
import type { Entry, Event } from "../../src/core/entry.ts";
import { type Log, silentLog } from "../../src/core/log/log.ts";
import type { Setting } from "../../src/core/settings.ts";
import { noDetours, type Sink, type SinkParts } from "../../src/core/sink.ts";
import { nothingKept } from "./sink.ts";
import { redisSettings, type RedisValues } from "../../src/redis/redis-settings.ts";
import { openRedisSink } from "../../src/sink/redis/sink.ts";

export function redisValues(changed: Partial<RedisValues>): RedisValues {
  const rows: [string, Setting<unknown>][] = Object.entries(redisSettings);
  const defaults = rows.map(([key, row]) => [key, row.schema.parse(row.default ?? undefined)]);
  return { ...(Object.fromEntries(defaults) as RedisValues), ...changed };
}

interface Given {
  readonly gatewayId?: string;
  readonly clock?: Clock;
  readonly log?: Log;
  /** In the spool, in order. */
  readonly held?: readonly Entry[];
  /** Up to where the spool says that an earlier sink had it. */
  readonly cursor?: number;
  /** In the tables, the newest first. */
  readonly stored?: () => readonly Entry[] | Promise<readonly Entry[]>;
}

export function startRedisSink(changed: Partial<RedisValues>, given: Given = {}): Sink {
  const { held = [], cursor = 0, stored = () => [] } = given;
  const parts: SinkParts<RedisValues> = {
    settings: redisValues(changed),
    gatewayId: given.gatewayId ?? "gw",
    dataDir: "",
    held: {
      head: held.at(-1)?.seq ?? 0,
      read: (seq) => held.filter((entry) => entry.seq >= seq),
      cursorOf: () => ({ seq: cursor, detours: noDetours }),
    },
    events: {
      ...nothingKept.events,
      async *recent() {
        yield (await stored()) as Event[];
      },
    },
    clock: given.clock ?? systemClock,
    log: given.log ?? silentLog,
  };
  return openRedisSink(parts);
}
