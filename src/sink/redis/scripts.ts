/**
 * What runs inside Redis. A script is atomic, so that whatever order, repetition or number of gateways the newest value stays,
 * which plain commands cannot promise: with them the last to write wins.
 *
 * A stamp is text of fixed width, `<event time in ns>-<seq>`, and the later one is the greater text: as numbers, two times that
 * differ by a nanosecond would be one double. Event times are cut off at the arrival, so that a clock in the future freezes nothing; and
 * a stamp that is ahead of now, since our own host's clock was and has been set right, gives way to any that is not.
 *
 * Whether a device's time is over is told by the earlier of two clocks, that of Redis and ours: whichever runs ahead, no device that is
 * heard goes.
 */
import { script } from "../../redis/redis-client.ts";

/** Devices in one call: Redis serves nobody else for some 3 ms then. */
export const devicesPerCallMax = 100;
/** Metrics of one entry in one group; Lua's unpack takes some 7,990 values. */
export const metricsPerGroupMax = 1_000;
/** Metrics kept per device: one that invents names must not fill the memory. */
export const metricsPerDeviceMax = 2_000;

/** Clocks of gateways, and of Redis, may differ by so much. */
const clocksDifferMs = 60_000;

/**
 * What a script that fails has written stays, so that a device's keys do not tell whether it is in the indexes: it is put there each time.
 *
 * KEYS: devices:seen, devices, mark. ARGV: prefix, ttl_ms, metrics_max, our time in ms, the devices as one JSON text, for an argument costs the
 * client more than its bytes: [[name, stamp, received_ms, [field, value, …], [stamp, metric, json, …], …], …].
 * Answers: the mark (or ""), devices in which something was new, metrics left out, then per device that belongs to somebody else:
 * its number from 1, why.
 */
export const mergeScript = script(`
local pre,ttl,max,call=ARGV[1],tonumber(ARGV[2]),tonumber(ARGV[3]),redis.call
local t=call('TIME')
local now=t[1]*1000+t[2]/1000
local ahead=math.max(0,now-ARGV[4])
local limit=math.max(now,ARGV[4])+${clocksDifferMs}
local limitText=string.format('%013.0f',limit)
local function newer(s,k)
  if k=='' or (s>limitText)==(k>limitText) then return s>k end
  return k>limitText
end
local applied,over,seen,heard,out=0,0,{'GT'},{},{}
local function merge(d)
  local name,stamp,rcv,fields=d[1],d[2],math.min(d[3],limit),d[4]
  local key=pre..'device:'..name
  local meta,vals,times=key..':metadata',key..':values',key..':times'
  if rcv+ttl<=now-ahead then return end
  local cur=call('HMGET',meta,'stamp','received_ms')
  local had=cur[2] and tonumber(cur[2])
  if had and had>limit then had=nil call('ZREM',KEYS[1],name) end
  local latest,fresh=math.max(rcv,had or 0),false
  local expires=string.format('%.0f',latest+ttl+ahead)
  if not cur[1] then call('HSET',meta,'datatype_id','','datatype_name','','datatype_unit','') end
  if newer(stamp,cur[1] or '') then call('HSET',meta,'stamp',stamp,unpack(fields)) fresh=true end
  if not had or rcv>had then call('HSET',meta,'received_ms',string.format('%.0f',rcv)) end
  call('PEXPIREAT',meta,expires)
  for g=5,#d do
    local s,n=d[g][1],#d[g]
    local names,values,stamps,room={},{},{}
    for j=2,n,2 do names[j/2]=d[g][j] end
    local known=call('HMGET',times,unpack(names))
    for j=1,#names do
      local k=known[j]
      if not k then
        room=room or max-call('HLEN',times)
        if room>0 then room=room-1 k='' else over=over+1 end
      end
      if k and newer(s,k) then
        local p=#values
        values[p+1]=names[j] values[p+2]=d[g][2*j+1] stamps[p+1]=names[j] stamps[p+2]=s
      end
    end
    if #values>0 then call('HSET',vals,unpack(values)) call('HSET',times,unpack(stamps)) fresh=true end
  end
  call('PEXPIREAT',vals,expires) call('PEXPIREAT',times,expires)
  if fresh then applied=applied+1 end
  seen[#seen+1]=string.format('%.0f',latest) seen[#seen+1]=name
  heard[#heard+1]=name
end
for number,device in ipairs(cjson.decode(ARGV[5])) do
  local ok,e=pcall(merge,device)
  if not ok then
    local why=type(e)=='table' and e.err or tostring(e)
    if not string.find(why,'WRONGTYPE',1,true) then return redis.error_reply(why) end
    out[#out+1]=number out[#out+1]=why
  end
end
if #seen>1 then call('ZADD',KEYS[1],unpack(seen)) end
if #heard>0 then call('SADD',KEYS[2],unpack(heard)) end
return {call('GET',KEYS[3]) or '',applied,over,unpack(out)}
`);

/**
 * Takes devices out of the indexes whose time is over, with whatever is left of them.
 * KEYS: devices:seen, devices. ARGV: prefix, ttl_ms, most of them, our time in ms. Answers how many.
 */
export const pruneScript = script(`
local call,t=redis.call,redis.call('TIME')
local before=string.format('%.0f',math.min(t[1]*1000+t[2]/1000,ARGV[4])-ARGV[2])
local gone=call('ZRANGEBYSCORE',KEYS[1],'-inf','('..before,'LIMIT',0,ARGV[3])
if #gone==0 then return 0 end
for _,name in ipairs(gone) do
  local key=ARGV[1]..'device:'..name
  call('UNLINK',key..':metadata',key..':values',key..':times')
end
call('ZREM',KEYS[1],unpack(gone))
call('SREM',KEYS[2],unpack(gone))
return #gone
`);

/**
 * For `check`: both of these with a device that is none's, which nobody sees. Without a device they use few of the rights that they need.
 * KEYS as for the merge. ARGV: those of the merge, then the ttl_ms with which that device is removed.
 */
export const rehearsalScript = script(`
local merged=(function() ${mergeScript.text} end)()
if merged.err then return merged end
local ARGV={ARGV[1],ARGV[6],'100',ARGV[4]}
return (function() ${pruneScript.text} end)()
`);

/**
 * Moves the mark, unless it is no longer what it was: a Redis that was emptied since would look whole with a new one.
 * KEYS: mark. ARGV: what it was, what it becomes. Answers 1, or 0 if it was not moved.
 */
export const markScript = script(`
if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end
redis.call('SET',KEYS[1],ARGV[2])
return 1
`);
