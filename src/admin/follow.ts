/**
 * The messages of all devices or of one, live: what becomes of the next ones, when each was on the disk and when each sink had it.
 *
 * Costs nothing while nobody follows. Whether a sink has a message is asked a few times a second rather than told by the drain, which has
 * no need to know who follows; so the times of sinks are as fine as that.
 */
import { toColumns } from "../core/columns.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Entry } from "../core/entry.ts";
import { reasons } from "../judge/reasons.ts";

/** In the names of `/admin/follow`. */
export interface Followed {
  readonly seq: number;
  readonly received_at: string;
  readonly topic: string;
  readonly tenant_id: string | null;
  readonly device_id: string | null;
  readonly msg_type: string | null;
  /** The topic pattern of the mapping by which it was read; null: it is of our own form. */
  readonly mapping: string | null;
  /** "accepted", "deferred", or the reason of its reject. */
  readonly verdict: string;
  /** The stage of the judge that said so, as GET /reasons names it; null: it passed all. */
  readonly stage: string | null;
  readonly detail: string | null;
  /** Without the token; its beginning. */
  readonly payload: string;
  readonly to_disk_ms: number;
}

/** A sink that the entry is for has it, or has made it a dead letter. */
export interface Passed {
  readonly seq: number;
  readonly sink: string;
  readonly after_ms: number;
}

export interface Follower {
  entries(followed: readonly Followed[]): void;
  passed(passed: readonly Passed[]): void;
  /** So many more came in a second than are shown. */
  notShown(entries: number): void;
}

/** Whose messages are followed. */
export interface Whom {
  /** undefined: all of them. */
  readonly tenantId: string | undefined;
  readonly deviceId: string | undefined;
}

export interface Follow {
  /** Entries that are on the disk now. */
  note(entries: readonly Entry[]): void;
  /** @returns ends it; undefined: too many follow already */
  follow(whom: Whom, follower: Follower): (() => void) | undefined;
  stop(): void;
}

const followersMax = 10;
const lookEveryMs = 200;
const looksPerSecond = 1000 / lookEveryMs;
/** Nobody reads more; the rest is counted. */
const shownPerSecondMax = 50;
/** Entries whose sinks are waited for, per follower; beyond it the oldest are let go. */
const openMax = 200;
const payloadCharsMax = 1_500;
/** Of a name, which may be of 64 KiB, and of the detail. */
const wordCharsMax = 200;

/** A sink that an entry is for. */
interface SinkOf {
  readonly sink: string;
  readonly isSettled: () => boolean;
}

interface Open {
  readonly seq: number;
  readonly receivedMs: number;
  /** Those of which it was not told yet that they have settled it. */
  sinks: readonly SinkOf[];
}

interface Following {
  readonly whom: Whom;
  readonly follower: Follower;
  readonly open: Open[];
  /** How many may still be shown in this second. */
  left: number;
  /** How many were not, in this second. */
  notShown: number;
}

export interface FollowParts {
  readonly clock: Clock;
  sinksOf(entry: Entry): readonly SinkOf[];
  /** The topic pattern of the mapping that reads this topic. */
  mappingOf(topic: string): string | undefined;
}

export function createFollow({ clock, sinksOf, mappingOf }: FollowParts): Follow {
  const all = new Set<Following>();
  let timer: Timer | undefined;
  let looks = 0;

  function look(): void {
    for (const { follower, open } of all) {
      const passed = open.flatMap(passedBy);
      if (passed.length > 0) follower.passed(passed);
      while (open[0]?.sinks.length === 0) open.shift();
    }
    if (++looks % looksPerSecond === 0) for (const following of all) nextSecond(following);
  }

  function passedBy(one: Open): Passed[] {
    const fresh = one.sinks.filter(({ isSettled }) => isSettled());
    one.sinks = one.sinks.filter((each) => !fresh.includes(each));
    const afterMs = Math.max(0, clock.wallMs() - one.receivedMs);
    return fresh.map(({ sink }) => ({ seq: one.seq, sink, after_ms: afterMs }));
  }

  function nextSecond(following: Following): void {
    const { notShown, follower } = following;
    following.left = shownPerSecondMax;
    following.notShown = 0;
    if (notShown > 0) follower.notShown(notShown);
  }

  function note(entries: readonly Entry[]): void {
    if (all.size === 0) return;
    const nowMs = clock.wallMs();
    for (const following of all) {
      const meant = entries.filter((entry) => isMeant(following.whom, entry));
      const told = meant.slice(0, following.left);
      following.left -= told.length;
      following.notShown += meant.length - told.length;
      if (told.length === 0) continue;
      const { open, follower } = following;
      for (const entry of told)
        open.push({ seq: entry.seq, receivedMs: entry.receivedMs, sinks: sinksOf(entry) });
      open.splice(0, open.length - openMax);
      follower.entries(told.map((entry) => shown(entry, mappingOf(entry.topic) ?? null, nowMs)));
    }
  }

  return {
    note,
    follow(whom, follower) {
      if (all.size >= followersMax) return undefined;
      const following = { whom, follower, open: [], left: shownPerSecondMax, notShown: 0 };
      all.add(following);
      timer ??= clock.every(lookEveryMs, look);
      return () => {
        all.delete(following);
        if (all.size > 0) return;
        timer?.cancel();
        timer = undefined;
      };
    },
    stop() {
      timer?.cancel();
      all.clear();
    },
  };
}

/** Reason → stage. */
const stages: ReadonlyMap<string, string> = new Map(reasons.map(({ code, stage }) => [code, stage]));

function isMeant({ tenantId, deviceId }: Whom, entry: Entry): boolean {
  return (
    (tenantId === undefined || entry.tenantId === tenantId) &&
    (deviceId === undefined || entry.deviceId === deviceId)
  );
}

function shown(entry: Entry, mapping: string | null, nowMs: number): Followed {
  const { seq, receivedMs, topic, tenantId, deviceId, msgType, reason, detail, payload } = entry;
  return {
    seq,
    received_at: new Date(receivedMs).toISOString(),
    topic: cut(topic),
    ...toColumns({ tenantId: cut(tenantId), deviceId: cut(deviceId), msgType: cut(msgType) }),
    mapping: cut(mapping),
    verdict: verdictOf(entry),
    stage: reason === null ? null : (stages.get(reason) ?? null),
    detail: cut(detail),
    payload: payload.slice(0, payloadCharsMax),
    to_disk_ms: Math.max(0, nowMs - receivedMs),
  };
}

function cut<T extends string | null>(text: T): T {
  return (text?.slice(0, wordCharsMax) ?? null) as T;
}

function verdictOf(entry: Entry): string {
  if (entry.kind === "event") return "accepted";
  return entry.kind === "deferred" ? "deferred" : entry.reason;
}
