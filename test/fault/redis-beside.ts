/** A Redis beside the tables of a site, behind a proxy of its own, or a master and a replica behind a sentinel. */
import { startProxy, type Proxy } from "../kit/proxy.ts";
import { startRedis, startSentinel, type RedisServer, type Sentinel } from "../kit/redis.ts";
import type { Site } from "./site.ts";

export interface RedisBeside {
  readonly server: RedisServer;
  readonly line: Proxy;
  /** Only behind a sentinel. */
  readonly replica: RedisServer | undefined;
  readonly sentinel: Sentinel | undefined;
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function openRedisBeside(kind: "alone" | "sentinel"): Promise<RedisBeside> {
  const server = await startRedis();
  const line = await startProxy({ port: server.port });
  const isWatched = kind === "sentinel";
  const replica = isWatched ? await startRedis(["--replicaof", "127.0.0.1", String(server.port)]) : undefined;
  const sentinel = isWatched ? await startSentinel(server.port) : undefined;
  return {
    server,
    line,
    replica,
    sentinel,
    env: {
      REDIS_TIMEOUT_MS: "1000",
      ...(sentinel
        ? { REDIS_SENTINELS: `127.0.0.1:${sentinel.port}` }
        : { REDIS_URL: `redis://127.0.0.1:${line.port}` }),
    },
    async stop() {
      await sentinel?.stop();
      await line.stop();
      await replica?.stop();
      await server.stop();
    },
  };
}

interface StoredEvent {
  readonly tenant_id: string;
  readonly device_id: string;
  readonly payload: string;
  readonly event_ms: number;
  readonly received_ms: number;
}

/**
 * Each metric for which Redis does not hold what the newest row of raw_events has; of rows with the same time,
 * either.
 */
export async function staleMetrics(
  site: Site,
  redis: RedisServer,
  but: readonly string[] = [],
): Promise<string[]> {
  const rows = await site.sql(
    (sql) => sql<StoredEvent[]>`select tenant_id, device_id, payload::text as payload,
      (extract(epoch from event_ts) * 1000)::float8 as event_ms,
      floor(extract(epoch from ingested_at) * 1000)::float8 as received_ms
      from raw_events where accepted order by id`,
  );
  const times = new Map<string, { at: number; values: string[] }>();
  for (const { tenant_id, device_id, payload, event_ms: eventMs, received_ms: receivedMs } of rows) {
    const { metrics = {} } = JSON.parse(payload) as { metrics?: Record<string, unknown> };
    const at = Math.min(eventMs, receivedMs);
    for (const [metric, value] of Object.entries(metrics)) {
      const key = `${tenant_id}/${device_id}\n${metric}`;
      const known = times.get(key);
      if (known === undefined || at > known.at) times.set(key, { at, values: [JSON.stringify(value)] });
      else if (at === known.at) known.values.push(JSON.stringify(value));
    }
  }
  const stale: string[] = [];
  for (const [key, { values }] of times) {
    const [device = "", metric = ""] = key.split("\n");
    if (but.includes(device)) continue;
    const held = (await redis.send("HGET", `device:${device}:values`, metric)) as string | null;
    if (!values.includes(held ?? "")) stale.push(`${device} ${metric}: ${held}, not ${values.join()}`);
  }
  return times.size < 50 ? [`only ${times.size} metrics were seen`] : stale;
}
