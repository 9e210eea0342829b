/**
 * The drain: brings the spool to one sink, for ever, at that sink's own pace.
 *
 * One loop: read ahead into lanes (a sink's own division, such as a database; most sinks have one), deliver every lane that
 * is due, side by side and each in order, sleep until something happens. What the read-ahead may hold, who is in
 * whose way and how far the cursor is stands in read-ahead.ts; here are time, failures and the downstream system.
 *
 * Nothing else retries, waits or counts. Every entry is exactly one of delivered, ignored, refused, skipped and waiting.
 */
import { unlessStopped, sleep, withDeadline, type Clock } from "../core/clock.ts";
import { memoryShares } from "../core/memory/budget.ts";
import { Histogram } from "../core/histogram.ts";
import type { Log } from "../core/log/log.ts";
import { Away } from "./away.ts";
import { Aside, stuckLane, stuckOf, type Stuck } from "./aside.ts";
import { deliver } from "./deliver.ts";
import { Due } from "./due.ts";
import type { Lane } from "./lane.ts";
import type { DrainedSpool } from "./drained-spool.ts";
import { ReadAhead, readAheadEntriesMax, type ReadAheadBounds } from "./read-ahead.ts";
import { epochOf, goOnFrom, partFromAnother, takeBackUnsettled } from "./resume.ts";
import type { Refusal, Sink, SinkStats } from "../core/sink.ts";
import { reportOf, Trouble, type TroubleReport } from "./trouble.ts";
import { Wake } from "./wake.ts";

export interface DrainOptions extends Partial<ReadAheadBounds> {
  readonly sink: Sink;
  readonly spool: DrainedSpool;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

/** To query a position costs little, and everything waits for it. */
const queryEveryMaxMs = 5_000;
/** Between two stretches of reading: the rest of the program has its turn. */
const breathMs = 1;
const waitsForSink = ({ trouble }: Lane) => trouble.isOfSink;
const goesOn = "sink goes on";

export class Drain {
  readonly sink: Sink;
  /** From an entry's arrival until the sink has settled it. By the wall clock, which is what an entry is dated by. */
  readonly latency = new Histogram();
  readonly #spool: DrainedSpool;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #ahead: ReadAhead;
  /** How far the sink is. */
  readonly progress: Pick<ReadAhead, "waitsFrom" | "settles">;
  readonly #stop = new AbortController();
  #inFlight = 0;
  /** What keeps the drain itself from going on: no position yet, or a spool that cannot be read. Lanes have their own. */
  readonly #trouble = new Trouble();
  #readAtMs = 0;
  /** What we know of the downstream system's position may be wrong: it has not told yet, or a delivery failed (a lost answer, a database put back from a backup). */
  isUnsure: boolean;
  #finishing = false;
  /** How often an operator corrected something: a try that began before is no measure. */
  #corrected = 0;
  readonly #aside = new Aside();
  readonly #away = new Away();
  readonly #due: Due;
  readonly #wake: Wake;
  #running: Promise<void> = Promise.resolve();

  constructor(options: DrainOptions) {
    const { sink, spool, clock, log } = options;
    this.sink = sink;
    this.isUnsure = sink.positions !== undefined;
    this.#spool = spool;
    this.#clock = clock;
    this.#due = new Due(sink, clock);
    this.#wake = new Wake(clock);
    this.#log = log.child({ sink: sink.name });
    this.#random = options.random ?? Math.random;
    const { entriesMax = readAheadEntriesMax, bytesMax = memoryShares().readAheadBytes } = options;
    this.progress = this.#ahead = new ReadAhead(sink, spool, { entriesMax, bytesMax });
  }

  start(): void {
    this.#spool.onAppend(() => {
      this.#due.grown();
      this.#wake.now();
    });
    this.#stop.signal.addEventListener("abort", this.#wake.now);
    this.#running = this.#run();
  }

  /** Lets the sink finish what the spool holds, at most `graceMs` and only while nothing fails; then ends. */
  async stop(graceMs: number): Promise<void> {
    this.#finishing = true;
    this.#wake.now();
    const timer = this.#clock.after(graceMs, () => this.#stop.abort());
    await this.#running;
    timer.cancel();
    await this.sink.close();
  }

  stats(): SinkStats & TroubleReport {
    const own = { key: "", trouble: this.#trouble };
    return { ...this.#ahead.stats(), ...reportOf([own, ...this.#ahead.lanes]) };
  }

  /** A lane in trouble, the one that is named or the first, with at most `count` entries of its head. */
  inTrouble(count: number, key?: string): Stuck | undefined {
    const lane = stuckLane(this.#ahead.lanes, key);
    if (lane?.length === 0 && !lane.busy) this.#scan(lane);
    return lane && stuckOf(lane, this.sink.name, count);
  }

  /** Entries of a stuck lane are to be refused, untried, whatever pause its sink takes. Resolves once they are dead letters. */
  setAside({ lane: key, trouble, entries }: Stuck): Promise<void> {
    const done = this.#aside.put(entries, `set aside by an operator: ${trouble}`);
    this.retryNow(key);
    return done;
  }

  /** Waits no longer for the next try, of one lane or of all: what was refused for a password, say, may have been corrected. */
  retryNow(key?: string): void {
    this.#corrected++;
    this.#away.retryNow(key);
    this.#retry((lane) => key === undefined || lane.key === key);
  }

  async #run(): Promise<void> {
    await this.#resume();
    while (!this.#stop.signal.aborted) {
      if (this.isUnsure && this.#inFlight === 0) await this.#resume();
      const woken = this.#wake.next();
      const now = this.#clock.monoMs();
      const readAtMs = this.#goesOut(now) ? now + breathMs : this.#fill(now);
      const laneAtMs = this.#launch(now);
      // Nothing under way and nothing more to read: whatever is left waits for a downstream system that fails.
      const isAtRest = this.#inFlight === 0 && (this.#trouble.why !== null || readAtMs > now + breathMs);
      if (this.#finishing && isAtRest) break;
      this.#wake.at(Math.min(readAtMs, laneAtMs));
      await woken;
    }
    this.#wake.cancel();
    while (this.#inFlight > 0) await this.#wake.next();
  }

  /** Asks a sink that keeps its own position where it stands, until it answers; what was read is read again from there. */
  async #resume(): Promise<void> {
    while (this.sink.positions && !this.#stop.signal.aborted) {
      const now = this.#clock.monoMs();
      const asOf = this.#corrected;
      try {
        await this.#queryPosition(this.sink.positions.bind(this.sink));
        return this.#trouble.ends(this.#log, goesOn);
      } catch (error) {
        if (this.#finishing) return this.#stop.abort();
        const untilMs = now + this.#failed(error, queryEveryMaxMs);
        await this.#wake.past(untilMs, () => this.#finishing || asOf !== this.#corrected);
      }
    }
  }

  async #queryPosition(positions: NonNullable<Sink["positions"]>): Promise<void> {
    const { epochs } = this.#spool;
    const asked = positions(epochs.map((e) => e.epoch));
    const { name, deadlineMs } = this.sink;
    const answer = withDeadline(this.#clock, deadlineMs, `${name} position`, asked);
    const held = await unlessStopped(this.#stop.signal, answer);
    this.isUnsure = false;
    const { cursor } = this.#ahead;
    partFromAnother({ name, cursor }, held, this.#spool, this.#log);
    const seq = goOnFrom(this.#ahead, held, this.#spool, this.#log.child({ server: this.sink.place }));
    // Further than we knew: only the answer was lost.
    if (seq > cursor) for (const lane of this.#ahead.lanes) this.#delivers(lane);
    this.#aside.settledTo(seq);
    takeBackUnsettled(name, seq, this.#spool);
  }

  /** A batch that is full goes out before more is read, for the downstream system waits for it; whoever is due keeps its turn. @returns whether one did */
  #goesOut(now: number): boolean {
    const before = this.#inFlight;
    if (this.#ahead.isBehind && this.#due.hasFull(this.#ahead.lanes, now)) this.#launch(now);
    return this.#inFlight > before;
  }

  /** Reads ahead. @returns when to do so again */
  #fill(now: number): number {
    if (now < this.#readAtMs) return this.#readAtMs;
    const { skipped } = this.#ahead.totals;
    let more = false;
    try {
      more = this.#ahead.fill(now);
      this.#trouble.ends(this.#log, goesOn);
    } catch (error) {
      return (this.#readAtMs = now + this.#failed(error));
    } finally {
      this.#warnOfSkipped(skipped);
    }
    return more ? now + breathMs : Number.POSITIVE_INFINITY;
  }

  /** Starts every delivery that is due. @returns when the next will be, if nothing happens before */
  #launch(now: number): number {
    if (now < this.#away.untilMs) return this.#away.untilMs;
    const atOnce = this.#away.isAway ? 1 : (this.sink.concurrency ?? 1);
    let nextMs = Number.POSITIVE_INFINITY;
    for (const lane of this.#away.inTurn([...this.#ahead.lanes])) {
      if (lane.busy) continue;
      const dueMs = this.#due.ofLane(lane, now, this.#finishing, this.#ahead.isBehind);
      if (dueMs > now) nextMs = Math.min(nextMs, dueMs);
      else if (this.#inFlight < atOnce) void this.#serve(lane);
    }
    return nextMs;
  }

  /** One delivery of a lane, or one stretch of a detour's search. Never rejects. */
  async #serve(lane: Lane): Promise<void> {
    const asOf = this.#corrected;
    this.#inFlight++;
    lane.busy = true;
    this.#ahead.toBack(lane);
    try {
      if (lane.isDetoured) this.#scan(lane);
      if (lane.length > 0 && this.#ahead.isGathered(lane, this.#clock.monoMs())) await this.#deliver(lane);
      else await sleep(this.#clock, breathMs, this.#stop.signal);
    } catch (error) {
      this.#laneFailed(lane, error, asOf !== this.#corrected);
    } finally {
      lane.busy = false;
      this.#inFlight--;
      this.#ahead.forgetIfIdle(lane);
      this.#wake.now();
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
    const entries = this.#aside.batchOf(lane.peek(sink.batchMax, sink.batchBytesMax, upTo));
    const outcome = await deliver(sink, {
      batch: {
        entries,
        epoch,
        before: { ...this.#ahead.totals },
        aside: this.#aside.whys,
        later: (seq) => (seq > this.#spool.head ? [] : this.#spool.read(seq)),
      },
      refuse: (refusals) => this.#refuse(refusals),
      clock: this.#clock,
      stop: this.#stop.signal,
    });
    this.#ahead.settle(lane, entries, outcome, this.#clock.monoMs());
    const nowMs = this.#clock.wallMs();
    for (const { receivedMs } of entries) this.latency.observeMs(nowMs - receivedMs);
    this.#aside.settled(entries);
    this.#delivers(lane);
    if (this.#away.answered()) this.#retry(waitsForSink);
  }

  #retry(isMeant: (lane: Lane) => boolean): void {
    for (const lane of this.#ahead.lanes) if (isMeant(lane)) lane.retryAtMs = 0;
    this.#wake.now();
  }

  #delivers(lane: Lane): void {
    lane.retryAtMs = 0;
    if (lane.trouble.why !== null)
      lane.trouble.ends(this.#log.child({ lane: lane.key }), "sink delivers again");
  }

  #refuse(refusals: readonly Refusal[]): void {
    const letters = refusals.map((it) => ({ ...it, epoch: epochOf(this.#spool, it.entry.seq).epoch }));
    this.#spool.deadLetters.putAll(this.sink.name, letters);
  }

  #laneFailed(lane: Lane, error: unknown, isOld: boolean): void {
    this.isUnsure = this.sink.positions !== undefined;
    const log = this.#stop.signal.aborted ? undefined : this.#log.child({ lane: lane.key });
    const waitMs = lane.trouble.begins(error, { cannot: "deliver", log, random: this.#random });
    lane.retryAtMs = isOld ? 0 : this.#clock.monoMs() + waitMs;
    if (this.sink.lane && !lane.isDetoured) this.#ahead.detour(lane);
    if (!isOld && this.#away.failed(error, this.#clock.monoMs(), this.#random)) this.#retry(waitsForSink);
  }

  /** @returns how long to wait */
  #failed(error: unknown, maxMs?: number): number {
    const log = this.#stop.signal.aborted ? undefined : this.#log;
    return this.#trouble.begins(error, { cannot: "go on", log, random: this.#random, maxMs });
  }

  #warnOfSkipped(before: number): void {
    const skipped = this.#ahead.totals.skipped - before;
    if (skipped > 0) this.#log.warn({ skipped }, "entries left the spool before this sink had taken them");
  }
}
