/**
 * The look-up of latest values in Redis. Scripts again: what is read of a device is of one moment, and a page by last-seen is one
 * round trip, whichever tenant it is of. A connection of its own, so that nobody waits for a batch of the sink.
 */
import type { Clock } from "../core/clock.ts";
import type { DeviceId } from "../core/device.ts";
import {
  type LatestDevice,
  LatestUnavailable,
  type LatestValue,
  type LatestView,
  type SeenPage,
  type SeenQuery,
} from "../core/latest-view.ts";
import { explain } from "../core/log/log.ts";
import type { SeenDevice } from "../core/recent.ts";
import { chunks } from "./chunks.ts";
import { openRedis, script } from "./redis-client.ts";
import { deviceOf, indexesOf, nameOf } from "./keys.ts";
import type { RedisValues } from "./redis-settings.ts";

/** Devices read in one call, so that others have their turn. */
const devicesPerCallMax = 100;
/** Entries of the index that a page looks at: one of a small tenant among many devices may be empty, and say where to go on. */
const seenLookedAtMax = 10_000;
/** Ours alone. */
const innerFields = new Set(["stamp", "received_ms"]);

/** ARGV: prefix, names. Answers per device: metadata, values and times as flat lists (what is somebody else's is none), ms until it expires. */
const readScript = script(`
local out={}
local function all(key)
  local found=redis.pcall('HGETALL',key)
  if not found.err then return found end
  if string.find(found.err,'WRONGTYPE',1,true) then return {} end
  return redis.call('HGETALL',key)
end
for i=2,#ARGV do
  local key=ARGV[1]..'device:'..ARGV[i]
  local meta=key..':metadata'
  out[i-1]={all(meta),all(key..':values'),all(key..':times'),redis.call('PTTL',meta)}
end
return out
`);

/**
 * KEYS: devices:seen. ARGV: since, score and name to go on after ("" for none), what names begin with, "1" if they hold no "/",
 * how many, most to look at. Answers: the name and score to go on after ("" if this was the end), then names and scores. Names of one
 * score come in the order of their bytes, backwards; Lua's own comparison would go by the server's language.
 */
const seenScript = script(`
local since,afterScore,afterName,start,plain=ARGV[1],ARGV[2],ARGV[3],ARGV[4],ARGV[5]=='1'
local wanted,most=tonumber(ARGV[6]),tonumber(ARGV[7])
local function before(a,b)
  for i=1,math.min(#a,#b) do
    local x,y=string.byte(a,i),string.byte(b,i)
    if x~=y then return x<y end
  end
  return #a<#b
end
local out,offset,last={},0,nil
while true do
  local page=redis.call('ZREVRANGEBYSCORE',KEYS[1],afterScore=='' and '+inf' or afterScore,since,'WITHSCORES','LIMIT',offset,500)
  if #page==0 then return {'','',unpack(out)} end
  for i=1,#page,2 do
    local name,score=page[i],page[i+1]
    if afterScore=='' or tonumber(score)<tonumber(afterScore) or before(name,afterName) then
      if (plain and not string.find(name,'/',1,true)) or (not plain and string.sub(name,1,#start)==start) then
        out[#out+1]=name out[#out+1]=score
        if #out==2*wanted then return {name,score,unpack(out)} end
      end
    end
    last={name,score}
  end
  offset=offset+#page/2
  if offset>=most then return {last[1],last[2],unpack(out)} end
end
`);

export function openRedisLatest(settings: RedisValues, clock: Clock): LatestView {
  const client = openRedis({ settings, clock, timeoutMs: settings.timeoutMs });
  const ttlMs = settings.ttlSeconds * 1000;

  async function query<T>(work: Promise<unknown>): Promise<T> {
    try {
      return (await work) as T;
    } catch (cause) {
      throw new LatestUnavailable(explain(cause), { cause });
    }
  }

  async function read(ids: readonly DeviceId[]): Promise<(LatestDevice | null)[]> {
    const names = ids.map(({ tenantId, deviceId }) => nameOf(settings, tenantId, deviceId));
    const answers = await query<LatestReply[]>(client.script(readScript, [], [settings.prefix, ...names]));
    return ids.map((id, i) => latestOf(id, answers[i], clock.wallMs()));
  }

  return {
    async get(ids) {
      return (await Promise.all(chunks(ids, devicesPerCallMax).map(read))).flat();
    },
    async seen({ tenantId, sinceMs, after, limit }: SeenQuery): Promise<SeenPage> {
      // What has expired may still be in the index.
      const since = Math.max(sinceMs, clock.wallMs() - ttlMs);
      const isPlain = tenantId !== undefined && tenantId === settings.tenant;
      const args = [
        String(since),
        after === undefined ? "" : String(after.seenMs),
        after === undefined ? "" : nameOf(settings, after.tenantId, after.deviceId),
        tenantId === undefined ? "" : `${tenantId}/`,
        isPlain ? "1" : "0",
        String(limit),
        String(seenLookedAtMax),
      ];
      const [seenKey] = indexesOf(settings);
      const [name = "", score = "", ...rest] = await query<string[]>(
        client.script(seenScript, [seenKey], args),
      );
      const seen = (of: string, at: string): SeenDevice => ({
        ...deviceOf(settings, of),
        seenMs: Number(at),
      });
      const devices = Array.from({ length: rest.length / 2 }, (_, i) =>
        seen(rest[2 * i] ?? "", rest[2 * i + 1] ?? ""),
      );
      return { devices, next: name === "" ? null : seen(name, score) };
    },
    close: () => client.close(),
  };
}

type LatestReply = readonly [metadata: string[], values: string[], times: string[], expiresInMs: number];

function latestOf(id: DeviceId, answer: LatestReply | undefined, nowMs: number): LatestDevice | null {
  if (answer === undefined || answer[0].length === 0) return null;
  const [metadata, values, times, expiresInMs] = answer;
  const fields = pairs(metadata);
  const stamps = new Map(pairs(times));
  return {
    tenantId: id.tenantId,
    deviceId: id.deviceId,
    seenMs: Number(new Map(fields).get("received_ms") ?? 0),
    expiresMs: nowMs + expiresInMs,
    metadata: Object.fromEntries(fields.filter(([name]) => !innerFields.has(name))),
    values: pairs(values).map(([metric, json]): LatestValue => ({
      metric,
      json,
      timeMs: msOfStamp(stamps.get(metric)),
    })),
  };
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? "", flat[2 * i + 1] ?? ""]);
}

/** A stamp begins with the time in ns; the ms are what stands before its last six digits. */
function msOfStamp(stamp = ""): number {
  return Number(stamp.slice(0, stamp.indexOf("-") - 6));
}
