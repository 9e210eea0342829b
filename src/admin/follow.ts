/**
 * One device, live: what becomes of its next messages, when each was on the disk and when each sink had it.
 *
 * Costs nothing while nobody follows. How far a sink is is looked at a few times a second rather than told by the drain, which has no
 * need to know of single entries; so the times of sinks are as fine as that.
 */
import { toColumns } from "../core/columns.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Entry } from "../core/entry.ts";

/** In the names of `/admin/follow`. */
export interface Followed {
  readonly seq: number;
  readonly received_at: string;
  readonly topic: string;
  readonly tenant_id: string | null;
  readonly device_id: string | null;
  readonly msg_type: string | null;
  /** "accepted", "deferred", or the reason of its reject. */
  readonly verdict: string;
  readonly detail: string | null;
  /** Without the token; its beginning. */
  readonly payload: string;
  readonly to_disk_ms: number;
}

/** A sink is past the entry. */
export interface Passed {
  readonly seq: number;
  readonly sink: string;
  readonly after_ms: number;
}

export interface Follower {
  entry(followed: Followed): void;
  passed(passed: Passed): void;
}

export interface Device {
  /** undefined: all of them. */
  readonly tenantId: string | undefined;
  readonly deviceId: string | undefined;
}

export interface Follow {
  /** Entries that are on the disk now. */
  note(entries: readonly Entry[]): void;
  /** @returns ends it; undefined: too many follow already */
  follow(device: Device, follower: Follower): (() => void) | undefined;
  stop(): void;
}

const followersMax = 10;
const lookEveryMs = 200;
/** Entries whose sinks are waited for, per follower; beyond it the oldest are let go. */
const openMax = 200;
const payloadCharsMax = 2_000;

interface Open {
  readonly seq: number;
  readonly receivedMs: number;
  readonly sinks: Set<string>;
}

interface Following {
  readonly device: Device;
  readonly follower: Follower;
  readonly open: Open[];
}

/** @param reached sink → everything up to this seq is behind it */
export function createFollow(clock: Clock, reached: () => ReadonlyMap<string, number>): Follow {
  const all = new Set<Following>();
  let timer: Timer | undefined;

  function look(): void {
    const positions = reached();
    for (const { follower, open } of all) {
      for (const { seq, receivedMs, sinks } of open) {
        for (const [sink, position] of positions) {
          if (position < seq || sinks.has(sink)) continue;
          sinks.add(sink);
          follower.passed({ seq, sink, after_ms: Math.max(0, clock.wallMs() - receivedMs) });
        }
      }
      while (open[0] && open[0].sinks.size === positions.size) open.shift();
    }
  }

  function note(entries: readonly Entry[]): void {
    if (all.size === 0) return;
    for (const { device, follower, open } of all) {
      for (const entry of entries) {
        if (!isMeant(device, entry)) continue;
        open.push({ seq: entry.seq, receivedMs: entry.receivedMs, sinks: new Set() });
        if (open.length > openMax) open.shift();
        follower.entry(shown(entry, clock.wallMs()));
      }
    }
  }

  return {
    note,
    follow(device, follower) {
      if (all.size >= followersMax) return undefined;
      const following = { device, follower, open: [] };
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

function isMeant({ tenantId, deviceId }: Device, entry: Entry): boolean {
  return (
    (tenantId === undefined || entry.tenantId === tenantId) &&
    (deviceId === undefined || entry.deviceId === deviceId)
  );
}

function shown(entry: Entry, nowMs: number): Followed {
  const { seq, receivedMs, topic, tenantId, deviceId, msgType, detail, payload } = entry;
  return {
    seq,
    received_at: new Date(receivedMs).toISOString(),
    topic,
    ...toColumns({ tenantId, deviceId, msgType }),
    verdict: verdictOf(entry),
    detail,
    payload: payload.slice(0, payloadCharsMax),
    to_disk_ms: Math.max(0, nowMs - receivedMs),
  };
}

function verdictOf(entry: Entry): string {
  if (entry.kind === "event") return "accepted";
  return entry.kind === "deferred" ? "deferred" : entry.reason;
}
