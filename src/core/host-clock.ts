/**
 * The host's clock, believed only as far as it can be right. A host without a clock chip boots in 1970, and what is stored under
 * such a time is stored so for good.
 *
 * The time is between the build of this executable and 50 years later; anything else is surely wrong. It is not before the newest
 * time in the spool either, but that time may itself be of a clock that was wrong once. So this doubt ends by itself: as soon as
 * somebody sets the clock, or after `doubtMs`; the right clock is never disbelieved for ever. A clock that leaps forth by more than
 * a year while we run is doubted as long.
 *
 * While the host's clock is not believed, `wallMs` is a time of our own that goes on with the monotonic clock. If the host's was
 * right before in this run, ours is as good. If not, ours begins at the newest time that is known (the spool's or the
 * build's): too early, but in order over any number of restarts, so that nothing is old, expired or in 1970 because of it.
 * What has no other time waits on the disk (CLOCK_NOT_SET, judge/judge.ts) and is moved by `correctionMs` once the time is known:
 * within a run to the millisecond. How long the gateway was off in between nobody can say; such a reading gets the latest
 * time that it can have had. (Rejected alternatives: to keep it in memory, which no restart survives; to mark it, which every reader of the tables
 * would have to know.)
 */
import type { Clock, Timer } from "./clock.ts";
import type { Log } from "./log/log.ts";

export interface HostClock extends Clock {
  /** Tells the newest time in the spool; undefined if it is empty. Once, before anything is received. */
  begin(newestMs: number | undefined): void;
  /** What is wrong with the host's clock, in one sentence; null while it is believed. */
  doubt(): string | null;
  /**
   * False: `wallMs` is no more than an order, and a reading without a time of its own cannot be given one. Of a time that it gave
   * earlier: whether it was known then, for a message that is parked is judged later than it came.
   */
  isTimeKnown(stampMs?: number): boolean;
  /** Calls `run` once the time is known. */
  onTimeKnown(run: () => void): void;
  /** What to add to a `wallMs` of before the time was known; undefined if this run began with a clock that was right. */
  correctionMs(): number | undefined;
  stop(): void;
}

interface Options {
  readonly host: Clock;
  /** When this executable was made. */
  readonly builtMs: number;
  readonly log: Log;
}

/** No executable is run for longer. */
const lifetimeMs = 50 * 365 * 86_400_000;
/** How long a clock that could be right, but does not go with what is known, is doubted. */
export const doubtMs = 15 * 60_000;
/** Time services set a clock back by less than this as a matter of course. */
const toleranceMs = 60_000;
/** Forth by more is doubted. */
const leapMs = 365 * 86_400_000;
/** More than a time service slews it by between two looks: somebody set it. */
const setMs = 1_000;
const lookEveryMs = 1_000;

/**
 * right: the host's clock. own: it was right in this run, and ours goes on from there. unknown: it never was.
 */
type State = "right" | "own" | "unknown";

export function hostClock({ host, builtMs, log }: Options): HostClock {
  const latestMs = builtMs + lifetimeMs;
  const waiting: (() => void)[] = [];
  /** Before `begin` only what is surely wrong is not believed. */
  let state: State = isWithin(host.wallMs()) ? "right" : "unknown";
  /** Our own time is the monotonic one and this. */
  let offsetMs = builtMs - host.monoMs();
  /** Beyond it the host's clock leapt. */
  let leapAtMs = latestMs;
  let newestMs = 0;
  let doubtedAtMs = host.monoMs();
  let hostOffsetMs = 0;
  let correctionMs: number | undefined;
  /** A `wallMs` up to here was given before the time was known in this run. */
  let unknownUntilMs = Number.NEGATIVE_INFINITY;

  const ownMs = () => Math.round(host.monoMs() + offsetMs);

  function isWithin(hostMs: number): boolean {
    return hostMs >= builtMs - toleranceMs && hostMs <= latestMs;
  }

  function isRight(hostMs: number): boolean {
    if (!isWithin(hostMs)) return false;
    if (host.monoMs() - doubtedAtMs >= doubtMs && state !== "right") return true;
    if (state !== "unknown") return hostMs < leapAtMs;
    const wasSet = Math.abs(hostMs - host.monoMs() - hostOffsetMs) > setMs;
    return wasSet || hostMs >= ownMs() - toleranceMs;
  }

  function look(): void {
    const hostMs = host.wallMs();
    if (isRight(hostMs)) believe(hostMs);
    else if (state === "right") {
      state = "own";
      disbelieve();
    }
  }

  function disbelieve(): void {
    doubtedAtMs = host.monoMs();
    log.warn({ detail: doubt() }, "the host's clock is not believed");
  }

  function believe(hostMs: number): void {
    const before = state;
    if (before === "unknown") {
      correctionMs = hostMs - ownMs();
      if (correctionMs > 0) unknownUntilMs = ownMs();
    }
    state = "right";
    offsetMs = hostMs - host.monoMs();
    leapAtMs = Math.min(hostMs + leapMs, latestMs);
    if (before === "right") return;
    log.info({ doubted_ms: Math.round(host.monoMs() - doubtedAtMs) }, "the host's clock is believed again");
    for (const run of waiting.splice(0)) run();
  }

  function doubt(): string | null {
    if (state === "right") return null;
    const hostMs = host.wallMs();
    const says = `the host's clock says ${text(hostMs)}, ${whyNot(hostMs)}`;
    return state === "own"
      ? `${says}; times go on by our own count from when it was right: set it`
      : `${says}; readings without a time of their own wait on the disk until it is set`;
  }

  function whyNot(hostMs: number): string {
    if (hostMs < builtMs - toleranceMs) return `before this executable was made (${text(builtMs)})`;
    if (hostMs > latestMs) return "more than 50 years after this executable was made";
    const minutes = Math.ceil((doubtMs - (host.monoMs() - doubtedAtMs)) / 60_000);
    const against =
      state === "own"
        ? "more than a year forth at once"
        : `before the newest in the spool (${text(newestMs)})`;
    return `${against}; if it stays it is believed in ${Math.max(1, minutes)} min`;
  }

  let timer: Timer | undefined;

  return {
    begin(newest = 0) {
      state = "unknown";
      newestMs = newest <= latestMs ? newest : 0;
      offsetMs = Math.max(builtMs, newestMs) - host.monoMs();
      hostOffsetMs = host.wallMs() - host.monoMs();
      timer = host.every(lookEveryMs, look);
      const hostMs = host.wallMs();
      if (isRight(hostMs)) {
        state = "right";
        believe(hostMs);
      } else disbelieve();
    },
    doubt,
    isTimeKnown: (stampMs = Number.POSITIVE_INFINITY) => state !== "unknown" && stampMs > unknownUntilMs,
    onTimeKnown: (run) => void waiting.push(run),
    correctionMs: () => correctionMs,
    stop: () => timer?.cancel(),
    wallMs() {
      const hostMs = host.wallMs();
      return state === "right" && hostMs >= builtMs - toleranceMs && hostMs < leapAtMs ? hostMs : ownMs();
    },
    monoMs: () => host.monoMs(),
    after: (ms, run) => host.after(ms, run),
    every: (ms, run) => host.every(ms, run),
  };
}

/** As a person reads it, to the second. */
function text(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
