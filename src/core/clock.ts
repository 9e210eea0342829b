/**
 * Time as a parameter, so that a whole gateway runs in a test on simulated time (test/kit/clock.ts).
 *
 * Ages and deadlines use `monoMs`, which never steps; `wallMs` is only for what is written down.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may step when the host's clock is set. */
  wallMs(): number;
  /** Milliseconds since some fixed moment; never steps back. Fractional. */
  monoMs(): number;
  /** After 0 ms: behind what is under way. What has come meanwhile, at sockets and of timers, has its turn between two of these. */
  after(ms: number, run: () => void): Timer;
  every(ms: number, run: () => void): Timer;
  /**
   * False: `wallMs`, now or the one given, is no more than an order, since the host does not know the time (host-clock.ts). Absent: it
   * always does.
   */
  isTimeKnown?(stampMs?: number): boolean;
}

/** 24.8 days. A longer timer of the runtime ends at once. */
const timerMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monoMs: () => performance.now(),
  after(ms, run) {
    // A timer of 0 ms would wait for one.
    if (ms === 0) {
      const soon = setImmediate(run);
      return { cancel: () => clearImmediate(soon) };
    }
    if (ms > timerMsMax) return afterLong(ms, run);
    const handle = setTimeout(run, ms);
    return { cancel: () => clearTimeout(handle) };
  },
  every(ms, run) {
    const handle = setInterval(run, ms);
    return { cancel: () => clearInterval(handle) };
  },
};

function afterLong(ms: number, run: () => void): Timer {
  let timer = systemClock.after(timerMsMax, () => {
    timer = systemClock.after(ms - timerMsMax, run);
  });
  return { cancel: () => timer.cancel() };
}

/** Resolves after `ms`, or at once (never rejects) when `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener("abort", done);
  });
}

/** Settles as `work` does, or rejects with `message` after `ms`: no call to another system waits for ever. */
export function withDeadline<T>(clock: Clock, ms: number, message: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => reject(new Error(`${message}: no answer within ${ms} ms`)));
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * How long to wait before try `attempt` (from 0): exponential with full jitter, so that a fleet of gateways does
 * not return to a recovering server in step.
 */
export function backoffMs(
  attempt: number,
  baseMs: number,
  maxMs: number,
  random: () => number = Math.random,
): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** attempt);
  return Math.max(baseMs / 2, random() * ceiling);
}

/**
 * The time by which old things go. A wall clock that steps forward by years (a wrong time server, a dead battery) would make
 * everything old at once, so it counts only as far as the time that really passed since the newest thing that was known.
 * @param newestMs when that was, by the wall clock; undefined: nothing is known yet
 */
export function ageClock(clock: Clock, newestMs: number | undefined): () => number {
  const fromMs = newestMs ?? clock.wallMs();
  const startedMs = clock.monoMs();
  return () => Math.min(clock.wallMs(), fromMs + clock.monoMs() - startedMs);
}

/** As `work`, but rejects at once, and says why, when `stop` aborts. */
export function unlessStopped<T>(stop: AbortSignal, work: Promise<T>, why = "the gateway stops"): Promise<T> {
  return new Promise((resolve, reject) => {
    const cut = () => reject(new Error(why));
    if (stop.aborted) cut();
    stop.addEventListener("abort", cut);
    work.then(resolve, reject).finally(() => stop.removeEventListener("abort", cut));
  });
}
