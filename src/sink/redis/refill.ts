/**
 * Fills a Redis that lost its memory (a restart without a file, FLUSHALL, a failover to a replica that lags) with what is still here.
 *
 * A mark in Redis tells: it holds the last seq that was written there, and is set only when all is filled. First the spool is
 * read, then the tables: what leaves the spool meanwhile has by then come to the tables. Both go through the script that keeps the
 * newest, so that it does not matter what the drain writes at the same time. The tables are read from the newest event back,
 * until so many have brought nothing new: devices that speak more seldom come back with their next message.
 */
import { sleep, type Clock } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import type { Entry } from "../../core/entry.ts";
import { Said } from "../../core/log/said.ts";
import type { EventTable, HeldEntries } from "../../core/recent.ts";

export interface RefillParts {
  readonly held: HeldEntries;
  readonly events: EventTable;
  /** @returns in how many devices something was new */
  merge(entries: readonly Entry[]): Promise<number>;
  /** Wall clock before which events have expired. */
  sinceMs(): number;
  /** Replaces the mark, so that a crash before all is filled begins anew. */
  begun(): Promise<unknown>;
  /** All is filled: the mark may be set. @returns false: it was emptied meanwhile */
  filled(): Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Refill {
  /** Runs beside whatever else; one at a time. A failure is said, and the next call after a rest begins anew. */
  start(why: string): void;
  /** It is whole, so that nothing is to be filled any more, as after a failover to a replica that lags, and back. */
  whole(): void;
  readonly isRunning: boolean;
  stop(): Promise<void>;
  stats(): { refills: number; refill_running: boolean; refill_reason: string | null };
}

const retryAfterMs = 5_000;
/**
 * Times that it rests as long as a filling took in which all was read: a Redis that evicts keys loses them again at once, at times the mark
 * before the end, and the tables would be read without end. A filling that was cut short is tried again soon.
 */
const restsPerFilling = 4;
const eventsWithoutNewsMax = 200_000;

export function createRefill({
  held,
  events,
  merge,
  sinceMs,
  begun,
  filled,
  clock,
  log,
}: RefillParts): Refill {
  let running: Promise<void> | undefined;
  const stopping = new AbortController();
  let count = 0;
  let notBeforeMs = 0;
  let reason: string | null = null;
  const failures = new Said();

  async function fromSpool(): Promise<number> {
    let read = 0;
    for (let seq = 1; !stopping.signal.aborted && seq <= held.head;) {
      const entries = held.read(seq);
      if (entries.length === 0) break;
      seq = (entries.at(-1)?.seq ?? seq) + 1;
      read += entries.length;
      await merge(entries);
      // Rejects are merged without Redis: a million of them would keep all else waiting.
      await sleep(clock, 0);
    }
    return read;
  }

  async function fromTables(): Promise<number> {
    let read = 0;
    let withoutNews = 0;
    for await (const page of events.recent(sinceMs())) {
      read += page.length;
      withoutNews = (await merge(page)) > 0 ? 0 : withoutNews + page.length;
      if (stopping.signal.aborted || withoutNews >= eventsWithoutNewsMax) break;
    }
    return read;
  }

  async function run(): Promise<void> {
    const startMs = clock.monoMs();
    let restMs = 0;
    try {
      await begun();
      const [spooled, stored] = [await fromSpool(), await fromTables()];
      if (stopping.signal.aborted) return;
      const isFilled = await filled();
      restMs = restsPerFilling * (clock.monoMs() - startMs);
      if (!isFilled) throw new Error("it lost its memory meanwhile");
      count++;
      log.info({ from_spool: spooled, from_tables: stored }, "Redis is filled again");
      reason = null;
      failures.forget();
    } catch (cause) {
      restMs = Math.max(restMs, retryAfterMs);
      const error = explain(cause);
      if (!stopping.signal.aborted && failures.isNew(error))
        log.warn({ error }, "Redis is not filled yet; that is tried again");
    } finally {
      notBeforeMs = clock.monoMs() + restMs;
    }
  }

  /** The reason, and when it is filled. */
  function told(why: string): string {
    const restMs = running === undefined ? notBeforeMs - clock.monoMs() : 0;
    const when = restMs > 0 ? `, in ${Math.ceil(restMs / 1000)} s (a filling is followed by a rest)` : "";
    return `${why}: filling it from the spool and the tables${when}`;
  }

  return {
    start(why) {
      if (stopping.signal.aborted || running !== undefined) return;
      if (why !== reason) log.warn(told(why));
      reason = why;
      if (clock.monoMs() < notBeforeMs) return;
      running = run().finally(() => {
        running = undefined;
      });
    },
    whole() {
      if (reason === null || running !== undefined) return;
      log.info("Redis has all again: it need not be filled");
      reason = null;
      failures.forget();
    },
    get isRunning() {
      return running !== undefined;
    },
    async stop() {
      stopping.abort();
      await running;
    },
    stats: () => ({
      refills: count,
      refill_running: running !== undefined,
      refill_reason: reason === null ? null : told(reason),
    }),
  };
}
