/**
 * The Redis sink: the latest values and metadata of each device, for whoever on site wants to know how things stand.
 *
 * A batch is coalesced per device (core/latest.ts) and merged by a script that keeps the newest (scripts.ts), so that a retry, a
 * replay and another gateway change nothing. What Redis answers concerns the whole batch and is an outage, but for one case: a
 * key of a device that is somebody else's (WRONGTYPE), which is that device's dead letter. To keep a position in Redis was the
 * alternative to the spool's cursor and the mark (refill.ts): it would be lost with the data, and the spool rarely holds enough to begin anew.
 */
import type { Clock } from "../../core/clock.ts";
import { isFor, type Entry, type Event } from "../../core/entry.ts";
import { Outage } from "../../core/outage.ts";
import { createPace } from "../../core/pace.ts";
import {
  type Delivery,
  type Outcome,
  type Refusal,
  type Sink,
  sinkKind,
  type SinkParts,
} from "../../core/sink.ts";
import { isUnanswered, openRedis } from "../../redis/redis-client.ts";
import { indexesOf, nameOf } from "../../redis/keys.ts";
import { isRedisNamed, redisMistakes, redisSettings, type RedisValues } from "../../redis/redis-settings.ts";
import { coalesce, type Latest } from "../../core/latest.ts";
import { callsOf } from "./arguments.ts";
import { createRefill } from "./refill.ts";
import { createMark, filling } from "./mark.ts";
import { mergeScript, metricsPerDeviceMax, pruneScript, rehearsalScript } from "./scripts.ts";

export const redis = sinkKind({
  name: "redis",
  title: "Redis",
  settings: redisSettings,
  counts: {
    devices_written: "Devices whose keys a batch made newer.",
    devices_unchanged: "Devices of which Redis knew something newer already.",
    metrics_left_out: "Metrics beyond the most that are kept per device.",
    devices_expired: "Devices removed because they were silent for REDIS_METADATA_TTL.",
    refills: "How often it was filled again from the spool and the tables.",
    refill_running: "Whether that is under way.",
    refill_reason: "Why it is to be filled again, and when; null: it is not.",
    connected: "Whether there is a connection.",
  },
  mistakes: redisMistakes,
  isAsked: (settings) => isRedisNamed(settings) && settings.writeEnabled,
  open: openRedisSink,
});

const batchMax = 5_000;
const batchBytesMax = 4_000_000;
/** Company for a first entry, so that a device's next messages cost no call of their own. */
const lingerMs = 100;
/** How often expired devices are taken out of the indexes, and a Redis to which nothing is written is looked at. */
const lookEveryMs = 10_000;
const prunedPerCallMax = 500;
/** Under way at once: the texts of a whole batch would be in memory until its last is answered. */
const callsMax = 8;
const probeTtlMs = 1_000;
/** How far apart our clock and that of Redis may be for `check`. */
const rehearsedMs = 3_600_000;
/** From the spool's cursor, for the newest event. */
const lookBackEntries = 1_000;

export function openRedisSink(parts: SinkParts<RedisValues>): Sink {
  const { settings, gatewayId, clock, log } = parts;
  const { prefix, timeoutMs } = settings;
  const client = openRedis({ settings, clock, timeoutMs });
  const deadlineMs = timeoutMs * 3;
  const pace = createPace(batchMax);
  const ttlMs = settings.ttlSeconds * 1000;
  const markKey = `${prefix}sluice:${gatewayId}:mark`;
  const mark = createMark(client, markKey);
  const indexes = indexesOf(settings);
  const names = (tenantId: string, deviceId: string) => nameOf(settings, tenantId, deviceId);
  const nowMs = () => String(clock.wallMs());
  const counts = { devices_written: 0, devices_unchanged: 0, metrics_left_out: 0, devices_expired: 0 };
  /** What we wrote there last, also in an earlier life, whether the mark was moved or not; undefined: nothing that is known. */
  let written = lastWritten(parts.held);

  const refill = createRefill({
    held: parts.held,
    events: parts.events,
    clock,
    log,
    sinceMs: () => clock.wallMs() - ttlMs,
    async merge(entries) {
      let applied = 0;
      const events = entries.filter(isEvent);
      for (let at = 0; at < events.length;) {
        const part = events.slice(at, at + pace.size);
        applied += (await mergeInPace(part)).applied;
        at += part.length;
      }
      return applied;
    },
    begun: mark.beginFilling,
    filled: () => mark.endFilling(() => (written ??= 0)),
  });
  const looking = every(clock, lookEveryMs, look);

  async function deliver({ entries: given, refuse }: Delivery): Promise<Outcome> {
    // Of its lane nothing else comes.
    const entries = given.filter(isEvent);
    const last = entries.at(-1)?.seq ?? 0;
    const before = { written, isFilling: refill.isRunning };
    // At once, so that the mark of a filling that ends behind this batch tells of it.
    if (before.isFilling) written = last;
    const { foreign, found } = await mergeInPace(entries);
    if (isWhole(before, found)) await mark.move(found, last);
    written = last;
    const refusals = foreign.size === 0 ? [] : refusalsOf(entries, foreign);
    if (refusals.length > 0) refuse(refusals);
    return { delivered: entries.length - refusals.length, ignored: 0, refused: refusals.length };
  }

  /**
   * Has Redis what we had written when it was asked? If not it is filled. What a lagging replica was given before it could be
   * filled counts as well: the old master, if it comes back, has that not.
   */
  function isWhole(before: Before, found: string): boolean {
    if (before.isFilling && found === filling) return false;
    const isLost = found === "" || found === filling;
    if (!isLost && Number(found) >= (before.written ?? 0)) {
      refill.whole();
      return true;
    }
    const what =
      before.written === undefined
        ? "holds nothing of this gateway yet"
        : found === filling
          ? "was not filled to its end"
          : isLost
            ? "lost what it held (a restart without a file, FLUSHALL, or a maxmemory-policy that evicts keys)"
            : "lost the newest of what it held";
    refill.start(`Redis at ${client.place} ${what}`);
    return false;
  }

  function refusalsOf(entries: readonly Event[], foreign: Merged["foreign"]): Refusal[] {
    return entries.flatMap((entry) => {
      const why = foreign.get(names(entry.tenantId, entry.deviceId));
      return why === undefined ? [] : [{ entry, why }];
    });
  }

  /** So many at a time as get through: the same again would be cut off, and begun anew without end. */
  async function mergeInPace(entries: readonly Event[]): Promise<Merged> {
    const startMs = clock.monoMs();
    try {
      const merged = await merge(coalesce(entries, names));
      if ((clock.monoMs() - startMs) * 2 < deadlineMs) pace.taken(entries.length);
      else pace.tooMuch(entries.length);
      return merged;
    } catch (error) {
      if (isUnanswered(error)) pace.tooMuch(entries.length);
      throw error;
    }
  }

  async function merge(devices: Iterable<Latest>): Promise<Merged> {
    const args = (text: string) => [prefix, String(ttlMs), String(metricsPerDeviceMax), nowMs(), text];
    const merged: Merged = { found: "", asked: 0, applied: 0, leftOut: 0, foreign: new Map() };
    const calls = callsOf(devices, gatewayId);
    /** Takes the next call once the last is answered; if one fails, the others find no more. */
    async function send() {
      for (const { text, called } of calls)
        gather(merged, called, await client.script(mergeScript, [...indexes, markKey], args(text)));
    }
    await Promise.all(Array.from({ length: callsMax }, send));
    counts.devices_written += merged.applied;
    counts.devices_unchanged += Math.max(0, merged.asked - merged.applied);
    counts.metrics_left_out += merged.leftOut;
    return merged;
  }

  async function look(): Promise<void> {
    const before = { written, isFilling: refill.isRunning };
    const { found } = await merge([]);
    isWhole(before, found);
    for (let gone = prunedPerCallMax; gone === prunedPerCallMax;) {
      const args = [prefix, String(ttlMs), String(prunedPerCallMax), nowMs()];
      gone = Number(await client.script(pruneScript, indexes, args));
      counts.devices_expired += gone;
    }
  }

  /** No id holds a "/". Its time is that of 1970, so that nothing else is removed along with it. Another each time: what a refusal left of one would need fewer rights. */
  async function rehearse(): Promise<void> {
    const name = `sluice/check/${crypto.randomUUID()}`;
    const nobody = JSON.stringify([[name, "0", 1, ["gateway", gatewayId], ["0", "metric", "1"]]]);
    const livesMs = clock.wallMs() + rehearsedMs;
    const args = [prefix, String(livesMs), "1", nowMs(), nobody, String(livesMs - 2 * rehearsedMs)];
    await client.script(rehearsalScript, [...indexes, markKey], args);
  }

  return {
    name: "redis",
    get batchMax() {
      return pace.size;
    },
    batchBytesMax,
    lingerMs,
    deadlineMs,
    whenFull: settings.whenFull,
    lane: (entry) => (isEvent(entry) ? "" : null),
    deliver,
    async probe() {
      await rehearse();
      await client.pipeline([
        ["SET", `${markKey}:probe`, "1", "PX", String(probeTtlMs)],
        // The rehearsal needs it only until the server knows that script.
        ["EVAL", "return 1", "0"],
      ]);
      return `Redis at ${client.place}`;
    },
    counters: ["devices_written", "devices_unchanged", "metrics_left_out", "devices_expired", "refills"],
    stats: () => ({ ...counts, ...refill.stats(), connected: client.isConnected }),
    async close() {
      looking.cancel();
      client.close();
      await refill.stop();
    },
  };
}

/** Of the newest that the spool's cursor has passed: Redis may have lost it in the same power cut. */
function lastWritten(held: SinkParts<RedisValues>["held"]): number | undefined {
  const { seq } = held.cursorOf("redis");
  let last: number | undefined;
  try {
    for (let at = Math.max(1, seq - lookBackEntries + 1); at <= seq;) {
      const entries = held.read(at);
      for (const entry of entries)
        if (entry.seq <= seq && isEvent(entry) && isFor("redis", entry)) last = entry.seq;
      at = (entries.at(-1)?.seq ?? seq) + 1;
    }
  } catch {
    // A spool that cannot be read is for the drain to tell.
  }
  return last;
}

const isEvent = (entry: Entry): entry is Event => entry.kind === "event";

/** An outage is for a delivery to tell; here it is tried again. */
function every(clock: Clock, ms: number, work: () => Promise<void>) {
  let isBusy = false;
  return clock.every(ms, () => {
    if (isBusy) return;
    isBusy = true;
    work()
      .catch(() => {})
      .finally(() => {
        isBusy = false;
      });
  });
}

/** When Redis was asked: what we had written, undefined: nothing in this life; and whether it was being filled. */
interface Before {
  readonly written: number | undefined;
  readonly isFilling: boolean;
}

/** Of the merge script: the mark, devices with news, metrics left out, then number and words of each device of somebody else's. */
type MergeReply = readonly [mark: string, applied: number, leftOut: number, ...foreign: (string | number)[]];

interface Merged {
  /** The mark as the first call found it. */
  found: string;
  /** Devices of all calls. */
  asked: number;
  applied: number;
  leftOut: number;
  /** Name of a device whose keys are somebody else's → why. */
  readonly foreign: Map<string, string>;
}

function gather(merged: Merged, called: readonly string[], answer: unknown): void {
  if (!Array.isArray(answer)) throw new Outage(`Redis answers the merge with ${typeof answer}`);
  const [mark, applied, leftOut, ...foreign] = answer as unknown as MergeReply;
  merged.found ||= mark;
  merged.asked += called.length;
  merged.applied += applied;
  merged.leftOut += leftOut;
  for (let at = 0; at < foreign.length; at += 2) {
    const name = called[Number(foreign[at]) - 1];
    if (name !== undefined) merged.foreign.set(name, foreignWords(name, String(foreign[at + 1])));
  }
}

function foreignWords(name: string, why: string): string {
  return `Redis holds something else under device:${name}:… (${why}): remove that key, or set REDIS_PREFIX`;
}
