/**
 * The drain: brings the spool to one sink, for ever, at that sink's own pace.
 *
 * One loop: read ahead into lanes (a sink's own division, such as a database; most sinks have one), deliver every lane that
 * is due, side by side and each in order, sleep until something happens. What the read-ahead may hold, who is in
 * whose way and how far the cursor is stands in readahead.ts; here are time, failures and the far side.
 *
 * Nothing else retries, waits or counts. Every entry is exactly one of delivered, ignored, refused, skipped and waiting.
 */
import { backoffMs, sleep, withDeadline, type Clock, type Timer } from "../core/clock.ts";
import { explain, type Log } from "../core/log.ts";
import { deliver, unlessStopped } from "./deliver.ts";
import type { Lane } from "./lane.ts";
import { Outage } from "./outage.ts";
import { ReadAhead, readAheadEntriesMax, type DrainedSpool } from "./readahead.ts";
import { epochOf, resumeFrom } from "./resume.ts";
import type { Refusal, Sink, Totals } from "./sink.ts";

export interface DrainStats extends Totals {
  /** Entries that were ever offered to this sink: what the five others must add up to. */
  readonly spooled: number;
  readonly waiting: number;
  /** Why nothing moves, in the far side's words; null while all is well. */
  readonly trouble: string | null;
  /** Lanes whose trouble will not end by itself, with why: an operator must act. At most `alarmsMax` of them. */
  readonly alarms: readonly { readonly lane: string; readonly why: string }[];
}

export interface DrainOptions {
  readonly sink: Sink;
  readonly spool: DrainedSpool;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
  /** Most entries read and not settled. */
  readonly entriesMax?: number;
}

const backoffBaseMs = 250;
const backoffMaxMs = 30_000;
/** To ask for a position costs little, and everything waits for it. */
const askEveryMaxMs = 5_000;
const alarmsMax = 20;
/** Between two stretches of reading: the rest of the program has its turn. */
const breathMs = 1;

export class Drain {
  readonly sink: Sink;
  readonly #spool: DrainedSpool;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #ahead: ReadAhead;
  readonly #stop = new AbortController();
  #inFlight = 0;
  /** What keeps the drain itself from going on: no position yet, or a spool that cannot be read. Lanes have their own. */
  #trouble: string | null = null;
  #isAlarm = false;
  #attempt = 0;
  #readAtMs = 0;
  /** A delivery failed, and with it what we know of the far side's position: a lost answer, a database put back from a backup. */
  #isUnsure = false;
  #finishing = false;
  /** Entries that an operator puts aside, with why, until they are settled. */
  readonly #aside = new Map<number, string>();
  #wake: () => void = () => {};
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: DrainOptions) {
    const { sink, spool, clock, log } = options;
    this.sink = sink;
    this.#spool = spool;
    this.#clock = clock;
    this.#log = log.child({ sink: sink.name });
    this.#random = options.random ?? Math.random;
    this.#ahead = new ReadAhead(sink, spool, options.entriesMax ?? readAheadEntriesMax);
  }

  start(): void {
    this.#spool.onAppend(() => this.#wake());
    this.#stop.signal.addEventListener("abort", () => this.#wake());
    this.#running = this.#run();
  }

  /** Lets the sink finish what the spool holds, at most `graceMs` and only while nothing fails; then ends. */
  async stop(graceMs: number): Promise<void> {
    this.#finishing = true;
    this.#wake();
    const timer = this.#clock.after(graceMs, () => this.#stop.abort());
    await this.#running;
    timer.cancel();
    await this.sink.close();
  }

  stats(): DrainStats {
    let trouble = this.#trouble;
    const alarms: { lane: string; why: string }[] = [];
    if (this.#isAlarm) alarms.push({ lane: "", why: trouble ?? "" });
    for (const lane of this.#ahead.lanes) {
      trouble ??= lane.trouble;
      if (lane.isAlarm && alarms.length < alarmsMax) alarms.push({ lane: lane.key, why: lane.trouble ?? "" });
    }
    return { ...this.#ahead.stats(), trouble, alarms };
  }

  async #run(): Promise<void> {
    await this.#resume();
    while (!this.#stop.signal.aborted) {
      if (this.#isUnsure && this.#inFlight === 0) await this.#resume();
      const woken = this.#nextWake();
      const now = this.#clock.monoMs();
      const readAtMs = this.#fill(now);
      const laneAtMs = this.#launch(now);
      // Nothing under way and nothing more to read: whatever is left waits for a far side that fails.
      if (this.#finishing && this.#inFlight === 0 && (this.#trouble !== null || readAtMs > now + breathMs))
        break;
      this.#wakeAt(Math.min(readAtMs, laneAtMs), now);
      await woken;
    }
    this.#timer?.cancel();
    while (this.#inFlight > 0) await this.#nextWake();
  }

  /** Asks a sink that keeps its own position where it stands, until it answers; what was read is read again from there. */
  async #resume(): Promise<void> {
    while (this.sink.positions && !this.#stop.signal.aborted) {
      const now = this.#clock.monoMs();
      try {
        await this.#askPosition(this.sink.positions.bind(this.sink));
        return this.#recovered();
      } catch (error) {
        if (this.#finishing) return this.#stop.abort();
        await this.#rest(now + this.#failed(error, askEveryMaxMs));
      }
    }
  }

  /** What is appended meanwhile is no reason to ask any sooner; a stop is. */
  async #rest(untilMs: number): Promise<void> {
    for (let now = this.#clock.monoMs(); now < untilMs && !this.#finishing; now = this.#clock.monoMs()) {
      const woken = this.#nextWake();
      this.#wakeAt(untilMs, now);
      await woken;
    }
  }

  async #askPosition(positions: NonNullable<Sink["positions"]>): Promise<void> {
    const { epochs } = this.#spool;
    const asked = positions(epochs.map((e) => e.epoch));
    const what = `${this.sink.name} position`;
    const held = await unlessStopped(
      this.#stop.signal,
      withDeadline(this.#clock, this.sink.deadlineMs, what, asked),
    );
    this.#isUnsure = false;
    const { seq, totals } = resumeFrom(epochs, held, this.#spool.head, this.#spool.first - 1);
    // Further than we knew: only the answer was lost.
    if (seq > this.#ahead.cursor) for (const lane of this.#ahead.lanes) this.#delivers(lane);
    if (totals) return this.#ahead.moveTo(seq, totals);
    const known = this.#ahead.totals;
    const further = seq - this.#ahead.cursor;
    if (further < 0) return this.#deliverAgain(seq);
    this.#ahead.startAnew(seq, { ...known, delivered: known.delivered + further });
  }

  /** The far side holds no position of ours although it was given entries: it was put in another's place, and is counted anew. */
  #deliverAgain(seq: number): void {
    this.#log.warn(
      { from: seq + 1 },
      "the position is gone at the sink: what the spool holds is delivered again",
    );
    this.#ahead.startAnew(seq, { delivered: 0, ignored: 0, refused: 0, skipped: 0 });
  }

  /** Reads ahead. @returns when to do so again */
  #fill(now: number): number {
    if (now < this.#readAtMs) return this.#readAtMs;
    const { skipped } = this.#ahead.totals;
    let more = false;
    try {
      more = this.#ahead.fill(now);
      if (this.#attempt > 0) this.#recovered();
    } catch (error) {
      this.#readAtMs = now + this.#failed(error);
      return this.#readAtMs;
    } finally {
      this.#warnOfSkipped(skipped);
    }
    return more ? now + breathMs : Number.POSITIVE_INFINITY;
  }

  /** Starts every delivery that is due. @returns when the next will be, if nothing happens before */
  #launch(now: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const lane of [...this.#ahead.lanes]) {
      if (lane.busy) continue;
      const dueMs = this.#dueMs(lane, now);
      if (dueMs > now) nextMs = Math.min(nextMs, dueMs);
      else if (this.#inFlight < (this.sink.concurrency ?? 1)) void this.#serve(lane);
    }
    return nextMs;
  }

  #dueMs(lane: Lane, now: number): number {
    if (lane.scanned !== undefined) return lane.retryAtMs;
    if (lane.length === 0) return Number.POSITIVE_INFINITY;
    const { batchTrigger = this.sink.batchMax, batchBytesMax, lingerMs } = this.sink;
    const full = lane.length >= batchTrigger || lane.bytes >= batchBytesMax || this.#finishing;
    return Math.max(lane.retryAtMs, full ? now : lane.sinceMs + lingerMs);
  }

  /** One delivery of a lane, or one stretch of a detour's search. Never rejects. */
  async #serve(lane: Lane): Promise<void> {
    this.#inFlight++;
    lane.busy = true;
    this.#ahead.toBack(lane);
    try {
      if (lane.scanned !== undefined && lane.length === 0) this.#scan(lane);
      if (lane.length > 0) await this.#deliver(lane);
      else await sleep(this.#clock, breathMs, this.#stop.signal);
    } catch (error) {
      this.#laneFailed(lane, error);
    } finally {
      lane.busy = false;
      this.#inFlight--;
      this.#ahead.forgetIfIdle(lane);
      this.#wake();
    }
  }

  #scan(lane: Lane): void {
    const { skipped } = this.#ahead.totals;
    this.#ahead.scan(lane, this.#clock.monoMs());
    this.#warnOfSkipped(skipped);
  }

  async #deliver(lane: Lane): Promise<void> {
    const { sink } = this;
    const { epoch, last } = epochOf(this.#spool, lane.unsettledFrom);
    const upTo = sink.positions ? last : Number.MAX_SAFE_INTEGER;
    const entries = lane.peek(sink.batchMax, sink.batchBytesMax, upTo);
    const outcome = await deliver(sink, {
      batch: {
        entries,
        epoch,
        before: { ...this.#ahead.totals },
        aside: this.#aside,
        later: (seq) => (seq > this.#spool.head ? [] : this.#spool.read(seq)),
      },
      refuse: (refusals) => this.#refuse(refusals),
      clock: this.#clock,
      stop: this.#stop.signal,
    });
    this.#ahead.settle(lane, entries, outcome, this.#clock.monoMs());
    for (const { seq } of entries) this.#aside.delete(seq);
    this.#delivers(lane);
  }

  #delivers(lane: Lane): void {
    if (lane.recover()) this.#log.info({ lane: lane.key }, "sink delivers again");
  }

  #refuse(refusals: readonly Refusal[]): void {
    const letters = refusals.map((it) => ({ ...it, epoch: epochOf(this.#spool, it.entry.seq).epoch }));
    this.#spool.deadLetters.putAll(this.sink.name, letters);
  }

  #laneFailed(lane: Lane, error: unknown): void {
    const why = explain(error);
    const waitMs = this.#waitMs(error, lane.attempt++);
    this.#isUnsure = this.sink.positions !== undefined;
    const isAlarm = error instanceof Outage && error.alarm;
    if ((why !== lane.trouble || isAlarm !== lane.isAlarm) && !this.#stop.signal.aborted) {
      const said = { error: why, lane: lane.key, retry_ms: Math.round(waitMs) };
      if (isAlarm) this.#log.error(said, "sink cannot deliver until somebody acts; what is for it waits");
      else this.#log.warn(said, "sink cannot deliver; waiting");
    }
    lane.isAlarm = isAlarm;
    lane.trouble = why;
    lane.retryAtMs = this.#clock.monoMs() + waitMs;
    if (this.sink.lane && lane.scanned === undefined) this.#ahead.detour(lane);
  }

  /** @returns how long to wait */
  #failed(error: unknown, maxMs = backoffMaxMs): number {
    const why = explain(error);
    const waitMs = this.#waitMs(error, this.#attempt++, maxMs);
    const isAlarm = error instanceof Outage && error.alarm;
    if ((why !== this.#trouble || isAlarm !== this.#isAlarm) && !this.#stop.signal.aborted) {
      const said = { error: why, retry_ms: Math.round(waitMs) };
      if (isAlarm) this.#log.error(said, "sink cannot go on until somebody acts; what is for it waits");
      else this.#log.warn(said, "sink cannot go on; waiting");
    }
    this.#trouble = why;
    this.#isAlarm = isAlarm;
    return waitMs;
  }

  #recovered(): void {
    if (this.#trouble !== null) this.#log.info("sink goes on");
    this.#isAlarm = false;
    this.#trouble = null;
    this.#attempt = 0;
  }

  #waitMs(error: unknown, attempt: number, maxMs = backoffMaxMs): number {
    const { retryAfterMs, retryMaxMs } =
      error instanceof Outage ? error : { retryAfterMs: 0, retryMaxMs: maxMs };
    return Math.max(
      retryAfterMs,
      backoffMs(attempt, backoffBaseMs, Math.min(maxMs, retryMaxMs), this.#random),
    );
  }

  #warnOfSkipped(before: number): void {
    const skipped = this.#ahead.totals.skipped - before;
    if (skipped > 0) this.#log.warn({ skipped }, "entries left the spool before this sink had taken them");
  }

  #nextWake(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeAt(atMs: number, now: number): void {
    this.#timer?.cancel();
    if (atMs < Number.POSITIVE_INFINITY)
      this.#timer = this.#clock.after(Math.max(1, atMs - now), () => this.#wake());
  }
}
