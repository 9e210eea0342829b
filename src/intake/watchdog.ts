/**
 * The stall watchdog. Nothing here should ever wait for long without a name for it (held, an outage, a look-up with its own
 * deadline); should a bug or a library do it all the same, a site must not stand still until somebody looks.
 *
 * Three places can hold a message: a look-up that never answers, a group that is never written, acknowledgements that never
 * leave. Each has its own remedy, tried in that order: the message is spooled unjudged (it is judged again by itself), the
 * group is written, the connection is made anew so that the broker delivers again. As long as none helps, systemd's
 * watchdog is not fed either.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import { integer } from "../core/settings.ts";
import type { Source } from "../core/source.ts";

export const watchdogSettings = {
  seconds: integer({
    name: "WATCHDOG_SECONDS",
    default: 60,
    max: 86_400,
    unit: "seconds",
    help: "How long messages may wait for no reason that has a name before the gateway frees itself; 0: for ever.",
  }),
};

/** The message that has waited longest in memory. */
export interface Oldest {
  readonly waitedMs: number;
  readonly topic: string;
  readonly stage: "look-up" | "group";
}

interface Parts {
  readonly seconds: number;
  /** How long a message may wait there by settings of their own: that wait has a name. */
  readonly namedMs: Readonly<Record<Oldest["stage"], number>>;
  readonly clock: Clock;
  readonly log: Log;
  readonly intake: {
    readonly held: string | null;
    oldest(): Oldest | undefined;
    /** Spools what has waited for a look-up since before so many ms unjudged. */
    giveUpLookups(waitedMs: number): void;
    flush(): void;
  };
  readonly sources: readonly Pick<Source, "status" | "reconnect">[];
}

export interface Watchdog {
  /** Nothing has stood still for as long as WATCHDOG_SECONDS. */
  isProgressing(): boolean;
  stalls(): number;
  stop(): void;
}

const lookEveryMs = 1_000;

export function startWatchdog({ seconds, namedMs, clock, log, intake, sources }: Parts): Watchdog {
  const limitMs = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
  let stalls = 0;
  let stalled = false;
  /** Since when a source has had something to acknowledge while the intake held nothing of it. */
  let unsentSinceMs: number | undefined;
  let lookedMs = clock.monoMs();
  /** When this process last went on after a pause, or after a disk that hung: no wait counts from before. */
  let wentOnMs = Number.NEGATIVE_INFINITY;
  /** What was done gets as long again to help. */
  let nextReconnectMs = 0;

  const unacknowledged = () => sources.reduce((sum, source) => sum + source.status().unacknowledged, 0);

  function look(): void {
    const nowMs = clock.monoMs();
    if (nowMs - lookedMs > lookEveryMs + limitMs / 2) wentOnMs = nowMs;
    lookedMs = nowMs;
    const oldest = intake.oldest();
    const isUnsent = oldest === undefined && unacknowledged() > 0;
    unsentSinceMs = isUnsent ? (unsentSinceMs ?? nowMs) : undefined;
    const waitedMs = oldest?.waitedMs ?? nowMs - (unsentSinceMs ?? nowMs);
    const named = oldest === undefined ? 0 : namedMs[oldest.stage];
    stalled = intake.held === null && Math.min(waitedMs, nowMs - wentOnMs) > limitMs + named;
    if (!stalled || nowMs < nextReconnectMs) return;
    stalls++;
    nextReconnectMs = nowMs + limitMs;
    log.error(
      { ...oldest, unacknowledged: unacknowledged() },
      "stalled: freeing what waits, and connecting anew",
    );
    intake.giveUpLookups(limitMs + namedMs["look-up"]);
    intake.flush();
    for (const source of sources) source.reconnect();
  }

  const timer: Timer = clock.every(lookEveryMs, look);
  return { isProgressing: () => !stalled, stalls: () => stalls, stop: () => timer.cancel() };
}
