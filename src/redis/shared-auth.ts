/**
 * The shared auth cache in Redis.
 *
 * A plain SET would let a row that was read before a revocation arrive after the DEL that tells of it (25 of 4,000 racing devices
 * stayed stale; with a lease none). So a miss leaves a lease, a fill counts only while that lease is there, and a DEL takes lease and
 * row alike. A generation, in each row and read with it, voids all rows at once. What could not be told to Redis is told until it
 * is (shared-auth-news.ts), and meanwhile nothing is read there. Rows are signed with the device's key, the generation and the time, so
 * that neither another writer's row, nor another device's, nor an old one is taken. They hold hashes of tokens, never a token.
 */
import { timingSafeEqual } from "node:crypto";
import { backoffMs, sleep, withDeadline, type Clock } from "../core/clock.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";
import { explain, type Log } from "../core/log/log.ts";
import type { SharedCache, SharedNews, SharedRows } from "../core/shared-cache.ts";
import { chunks } from "./chunks.ts";
import { openRedis, script } from "./redis-client.ts";
import { createNews, hear } from "./shared-auth-news.ts";
import type { SharedAuthConfig } from "./shared-auth-settings.ts";
import type { RedisValues } from "./redis-settings.ts";

/** It must never make things worse: what takes longer is a miss, and then it is left alone for a while. */
const defaultWithinMs = 50;
const skippedForMs = 5_000;
/** Longer than any query to the registry may take. */
const leaseMs = 10_000;
const devicesPerCallMax = 500;
/** Clocks of gateways may differ by so much. */
const clocksDifferMs = 5_000;
/** A dead peer of a subscription is noticed by nobody else. */
const echoEveryMs = 2_000;
const echoWithinMs = 2_000;
const retryBaseMs = 250;
const retryMaxMs = 5_000;

/** KEYS: generation, rows. ARGV: lease, its ms. Answers: the generation; per row its text, "" if the lease is ours, "-" if another's. */
const findScript = script(`
local out={redis.call('GET',KEYS[1]) or '0'}
for i=2,#KEYS do
  local held=redis.call('GET',KEYS[i])
  if not held then redis.call('SET',KEYS[i],ARGV[1],'PX',ARGV[2]) out[i]=''
  elseif string.sub(held,1,2)=='L:' then out[i]='-'
  else out[i]=held end
end
return out
`);

/** KEYS: rows. ARGV: lease, ms to live, texts; "" gives the lease back. Answers how many leases were gone. */
const fillScript = script(`
local late=0
for i=1,#KEYS do
  if redis.call('GET',KEYS[i])~=ARGV[1] then late=late+1
  elseif ARGV[i+2]=='' then redis.call('DEL',KEYS[i])
  else redis.call('SET',KEYS[i],ARGV[i+2],'PX',ARGV[2]) end
end
return late
`);

export interface SharedAuthOptions {
  readonly settings: RedisValues;
  readonly ttlSeconds: number;
  /** Read at each use: it may be renewed. */
  readonly key: () => string;
  readonly clock: Clock;
  readonly log: Log;
  /** Default 50 ms. */
  readonly answerWithinMs?: number;
}

/** undefined: AUTH_CACHE_REDIS is not set. */
export function openSharedAuth(config: SharedAuthConfig, clock: Clock, log: Log): SharedCache | undefined {
  const { cache, redis } = config;
  if (!cache.isShared) return undefined;
  const key = () => cache.sharedKey ?? "";
  return sharedAuth({ settings: redis, ttlSeconds: cache.ttlSeconds, key, clock, log });
}

const nothing: SharedRows = { rows: [], learn() {} };

export function sharedAuth(options: SharedAuthOptions): SharedCache {
  const { settings, ttlSeconds, key, clock, log, answerWithinMs = defaultWithinMs } = options;
  const client = openRedis({ settings, clock, timeoutMs: answerWithinMs });
  const base = `${settings.prefix}sluice:auth`;
  const generationKey = `${base}:gen`;
  const keyOf = ({ tenantId, deviceId }: DeviceId) => `${base}:${deviceKey(tenantId, deviceId)}`;
  const ttlMs = ttlSeconds * 1000;
  const closing = new AbortController();
  const counts = { hits: 0, misses: 0, skipped: 0, errors: 0, forged: 0, late_fills: 0, leased_by_others: 0 };
  let skipUntilMs = 0;
  const news = createNews({ settings, clock, base, generationKey, keyOf, signal: closing.signal });
  let isListening = false;
  let lastError: string | null = null;

  /** undefined: it did not answer in time, or is left alone. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (clock.monoMs() < skipUntilMs || news.isPending) {
      counts.skipped++;
      return undefined;
    }
    try {
      return await withDeadline(clock, answerWithinMs, `Redis at ${client.place}`, work());
    } catch (error) {
      counts.errors++;
      skipUntilMs = clock.monoMs() + skippedForMs;
      const said = explain(error);
      if (lastError === null && !closing.signal.aborted)
        log.warn({ error: said }, "the shared auth cache does not answer: the registry is asked instead");
      lastError = said;
      return undefined;
    }
  }

  async function find(ids: readonly DeviceId[]): Promise<SharedRows> {
    const lease = `L:${crypto.randomUUID()}`;
    const parts = chunks(ids, devicesPerCallMax);
    const answers = await attempt(() =>
      Promise.all(
        parts.map((part) =>
          client.script(findScript, [generationKey, ...part.map(keyOf)], [lease, String(leaseMs)]),
        ),
      ),
    );
    if (answers === undefined || news.isPending) return nothing;
    if (lastError !== null) log.info("the shared auth cache answers again");
    lastError = null;
    return read(parts, answers as string[][], lease);
  }

  function read(
    parts: readonly (readonly DeviceId[])[],
    answers: readonly string[][],
    lease: string,
  ): SharedRows {
    const rows: DeviceAuth[] = [];
    const leased: DeviceId[] = [];
    const unfit: DeviceId[] = [];
    let generation = "";
    for (const [i, part] of parts.entries()) {
      const [now = "0", ...texts] = answers[i] ?? [];
      generation = now;
      for (const [j, id] of part.entries()) {
        const text = texts[j] ?? "-";
        const row = text === "" || text === "-" ? undefined : open(id, text, now);
        if (row !== undefined) rows.push(row);
        else if (text === "") leased.push(id);
        else if (text === "-") counts.leased_by_others++;
        else unfit.push(id);
      }
    }
    counts.hits += rows.length;
    counts.misses += answers.flat().length - answers.length - rows.length;
    // The next miss finds room for a lease.
    if (unfit.length > 0) void attempt(() => client.pipeline([["DEL", ...unfit.map(keyOf)]]));
    return { rows, learn: (found) => void fill(leased, found, lease, generation) };
  }

  async function fill(
    leased: readonly DeviceId[],
    found: readonly DeviceAuth[],
    lease: string,
    generation: string,
  ): Promise<void> {
    const byKey = new Map(found.map((row) => [keyOf(row), row]));
    for (const part of chunks(leased, devicesPerCallMax)) {
      const keys = part.map(keyOf);
      const texts = keys.map((at) => {
        const row = byKey.get(at);
        return row === undefined ? "" : seal(at, row, generation);
      });
      const late = await attempt(() => client.script(fillScript, keys, [lease, String(ttlMs), ...texts]));
      if (late === undefined) return;
      counts.late_fills += Number(late);
    }
  }

  function sign(at: string, body: string): Buffer {
    return new Bun.CryptoHasher("sha256", key()).update(`${at}\n${body}`).digest();
  }

  function seal(at: string, row: DeviceAuth, generation: string): string {
    const { siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs } = row;
    const fields = [
      generation,
      clock.wallMs(),
      siteId,
      status,
      tokenHash,
      previousTokenHash,
      previousTokenUntilMs,
    ];
    const body = JSON.stringify(fields);
    return `${sign(at, body).toString("base64url")}.${body}`;
  }

  /** undefined: it is not ours, or of another generation, or too old. */
  function open(id: DeviceId, text: string, generation: string): DeviceAuth | undefined {
    const dot = text.indexOf(".");
    const body = text.slice(dot + 1);
    const given = Buffer.from(text.slice(0, dot), "base64url");
    const wanted = sign(keyOf(id), body);
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
      counts.forged++;
      return undefined;
    }
    const [of, atMs, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs] = JSON.parse(
      body,
    ) as Sealed;
    if (of !== generation || Math.abs(clock.wallMs() - atMs) > ttlMs + clocksDifferMs) return undefined;
    const { tenantId, deviceId } = id;
    return { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs };
  }

  async function listenTo(heard: SharedNews): Promise<void> {
    let isFirst = true;
    for (let tries = 0; !closing.signal.aborted; tries++) {
      const subscriber = openRedis({ settings, clock, timeoutMs: echoWithinMs });
      const close = () => subscriber.close();
      closing.signal.addEventListener("abort", close);
      try {
        await subscriber.subscribe(base, (message) => hear(message, heard));
        isListening = true;
        // What was told between two subscriptions was told to nobody here.
        if (!isFirst) heard.gap();
        [isFirst, tries] = [false, 0];
        while (!closing.signal.aborted) {
          await sleep(clock, echoEveryMs, closing.signal);
          // A new connection would answer, too, and hear nothing.
          if (!subscriber.isConnected) throw new Error("the subscription ended");
          // Not PING: a Redis that cannot save to its disk refuses that, and a subscribed client is not told of refusals.
          await subscriber.pipeline([["ECHO", ""]], echoWithinMs);
        }
      } catch {
        isListening = false;
      }
      closing.signal.removeEventListener("abort", close);
      close();
      await sleep(clock, backoffMs(tries, retryBaseMs, retryMaxMs), closing.signal);
    }
  }

  return {
    find: (ids) => (ids.length === 0 ? Promise.resolve(nothing) : find(ids)),
    forget: news.forget,
    forgetTenant: news.forgetTenant,
    listen(heard) {
      news.onTold(heard);
      void listenTo(heard);
    },
    stats: () => ({ ...counts, untold: news.isPending, listening: isListening, last_error: lastError }),
    close() {
      closing.abort();
      client.close();
      news.close();
    },
  };
}

type Sealed = [
  generation: string,
  atMs: number,
  siteId: string,
  status: string,
  tokenHash: string | null,
  previousTokenHash: string | null,
  previousTokenUntilMs: number | null,
];
