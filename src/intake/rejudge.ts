/**
 * Judges again what had to be spooled unjudged because the registry could not be asked (REGISTRY_UNAVAILABLE) or nobody knew the time
 * (CLOCK_NOT_SET), in order, once both can be had. The judgement is appended as a new entry in the same transaction as the note of how far this has come,
 * so every deferred message ends as one event or one reject, whatever crashes in between.
 *
 * The entries wait in the spool and are looked for there, a batch at a time: a list of them in memory would grow with the outage.
 * A start looks through all that the spool holds for those that an earlier run left, a stretch at a time: of days of an outage it is minutes.
 */
import { backoffMs, sleep, type Clock, unlessStopped } from "../core/clock.ts";
import { payloadBytes, type Deferred, type Entry } from "../core/entry.ts";
import { explain, type Log } from "../core/log/log.ts";
import { Said } from "../core/log/said.ts";
import type { Books } from "./books.ts";
import type { HostClock } from "../core/host-clock.ts";
import type { Ingest } from "./ingest.ts";
import type { Judge } from "../judge/contract.ts";
import { deviceKey } from "../core/device.ts";
import { findByDevice, type DeviceLookup } from "../core/registry.ts";
import type { Spool } from "../spool/spool.ts";

const batchMax = 5_000;
/** Of the payloads of a batch, which are in memory as they waited and as they are judged. */
export const rejudgedBytesMax = 8 * 1024 * 1024;
/** Entries looked through at a stretch, so that the intake is not kept waiting. */
const stretchEntries = 4_000;
const breathMs = 1;
const backoffBaseMs = 500;
const backoffMaxMs = 10_000;

/** See core/host-clock.ts. */
type RejudgeClock = Clock & Pick<HostClock, "isTimeKnown" | "correctionMs">;

export interface RejudgeParts {
  readonly spool: Spool;
  readonly books: Books;
  readonly judge: Pick<Judge, "rejudge">;
  readonly ingest: Pick<Ingest, "defer" | "deferAll" | "flush" | "onDeferred" | "rejudged">;
  readonly registry: Pick<DeviceLookup, "find">;
  readonly clock: RejudgeClock;
  readonly log: Log;
}

/** Those of an earlier run that are still to be found, from seq `seq` to `to`. */
interface Unfound {
  count: number;
  seq: number;
  readonly to: number;
}

export class Rejudge {
  readonly #parts: RejudgeParts;
  /** Deferred entries on the disk: those of the batch, and those from seq `#from` on. */
  #left = 0;
  #from: number;
  #unfound: Unfound | undefined;
  #unreadable: string | null = null;
  #batch: Deferred[] = [];
  #running: Promise<void> | undefined;
  #nudge = new AbortController();
  readonly #stop = new AbortController();
  readonly #trouble = new Said();
  /** What waits for the clock: whether there was any, and when the latest that an earlier run left came. */
  #awaitsTime = false;
  #latestMs: number | undefined;
  #begunMs = 0;
  #shiftMs: number | undefined;

  /** From now on the spool keeps what is still to be judged. */
  constructor(parts: RejudgeParts) {
    const { books, spool, ingest } = parts;
    this.#parts = parts;
    ingest.onDeferred((entries) => this.#add(entries));
    this.#from = books.rejudgedTo + 1;
    this.#left = books.awaiting;
    if (this.#left === 0) return;
    spool.holdFrom(this.#from);
    this.#unfound = { count: this.#left, seq: this.#from, to: spool.head };
    ingest.deferAll(true);
  }

  /**
   * Finds what an earlier run left, and judges it; then goes on by itself.
   * @throws if the spool is damaged within the first stretch: who sees that at once does not begin
   */
  start(): void {
    this.#begunMs = this.#parts.clock.wallMs();
    if (this.#unfound) this.#find(this.#unfound);
    this.#go();
  }

  /** Looks through a stretch for what an earlier run left: the next messages of its devices wait behind it. */
  #find(unfound: Unfound): void {
    const { ingest, log } = this.#parts;
    for (const until = unfound.seq + stretchEntries; unfound.count > 0 && unfound.seq <= unfound.to;) {
      if (unfound.seq >= until) return;
      const entries = this.#read(unfound.seq);
      for (const entry of deferredOf(entries)) {
        ingest.defer(entry);
        if (awaitsTime(entry)) [this.#awaitsTime, this.#latestMs] = [true, entry.receivedMs];
        unfound.count--;
      }
      unfound.seq = (entries.at(-1)?.seq ?? unfound.to) + 1;
    }
    if (unfound.count > 0)
      log.error({ missing: unfound.count }, "messages that were to be judged again are gone");
    this.#left -= unfound.count;
    this.#unfound = undefined;
    ingest.deferAll(false);
    this.#hold();
  }

  /**
   * Why the spool cannot be read where messages may wait to be judged; null: it can. Until then they wait, and so do those behind them.
   */
  get unreadable(): string | null {
    return this.#unreadable;
  }

  #read(seq: number): readonly Entry[] {
    try {
      const entries = this.#parts.spool.read(seq);
      this.#unreadable = null;
      return entries;
    } catch (error) {
      this.#unreadable = explain(error);
      throw error;
    }
  }

  /** These are on the disk now, still to be judged. */
  #add(entries: readonly Deferred[]): void {
    if (this.#left === 0) this.#from = entries[0]?.seq ?? this.#from;
    this.#left += entries.length;
    this.#awaitsTime ||= entries.some(awaitsTime);
    this.#go();
  }

  /** The registry answers, or the time is known: no need to wait out the back-off. */
  nudge(): void {
    this.#nudge.abort();
    this.#go();
  }

  /** What is under way counts only if it has reached the disk. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.nudge();
    await this.#running;
  }

  #hold(): void {
    const first = this.#batch[0]?.seq ?? this.#from;
    this.#parts.spool.holdFrom(this.#left > 0 ? first : Number.MAX_SAFE_INTEGER);
  }

  #go(): void {
    this.#hold();
    if (this.#mayRun()) this.#running ??= this.#run();
  }

  #mayRun(): boolean {
    const isTime = this.#unfound !== undefined || !this.#awaitsTime || this.#parts.clock.isTimeKnown();
    return this.#left > 0 && isTime && !this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    for (let attempt = 0; this.#mayRun();) {
      // Before the try, not after it: who nudges meanwhile says what it did not know yet.
      if (this.#nudge.signal.aborted) this.#nudge = new AbortController();
      try {
        if (this.#unfound) this.#find(this.#unfound);
        else this.#collect();
        if (this.#batch.length > 0) await this.#judgeBatch();
        else await sleep(clock, breathMs, this.#stop.signal);
        attempt = 0;
      } catch (error) {
        this.#note(error);
        if (this.#stop.signal.aborted) break;
        await sleep(clock, backoffMs(attempt++, backoffBaseMs, backoffMaxMs), this.#nudge.signal);
      }
    }
    this.#running = undefined;
  }

  /**
   * Fills the batch from the spool, as far as one stretch of it goes and up to the first that is not `wanted`.
   * @returns whether only the stretch ended it
   */
  #collect(wanted: (entry: Deferred) => boolean = () => true): boolean {
    const { spool } = this.#parts;
    const until = Math.min(spool.head, this.#from + stretchEntries);
    let bytes = this.#batch.reduce((sum, entry) => sum + payloadBytes(entry), 0);
    const hasRoom = () => this.#batch.length < Math.min(batchMax, this.#left) && bytes < rejudgedBytesMax;
    while (this.#from <= until && hasRoom()) {
      const entries = this.#read(this.#from);
      for (const entry of deferredOf(entries)) {
        this.#from = entry.seq;
        if (!wanted(entry)) return false;
        this.#batch.push(entry);
        bytes += payloadBytes(entry);
      }
      this.#from = (entries.at(-1)?.seq ?? spool.head) + 1;
    }
    return this.#from <= spool.head && hasRoom();
  }

  async #judgeBatch(): Promise<void> {
    const { registry, judge, ingest, clock } = this.#parts;
    const batch = this.#batch;
    const asked = new Set(batch.map(keyOf));
    const devices = await unlessStopped(this.#stop.signal, findByDevice(registry, batch));
    const answerTo = (entry: Deferred) => devices.get(keyOf(entry)) ?? null;
    // Of a device that sends more often than the registry answers more came meanwhile: unless that is judged too, by an answer that is a little
    // older, its next one has to wait behind it, and so on for ever.
    const wanted = (entry: Deferred) => asked.has(keyOf(entry));
    for (ingest.flush(); this.#collect(wanted) && !this.#stop.signal.aborted; ingest.flush())
      await sleep(clock, breathMs, this.#stop.signal);
    const judged = batch.map((entry) => judge.rejudge(this.#timed(entry), answerTo(entry)));
    this.#trouble.forget();
    const durable = new Promise<void>((resolve) =>
      ingest.rejudged(batch, judged, () => {
        this.#batch = [];
        this.#left -= batch.length;
        this.#go();
        resolve();
      }),
    );
    await unlessStopped(this.#stop.signal, durable);
  }

  /** With the time that its arrival had. What an earlier run left came, at the latest, when this run began. */
  #timed(entry: Deferred): Deferred {
    if (!awaitsTime(entry)) return entry;
    const { clock } = this.#parts;
    this.#shiftMs ??= clock.correctionMs() ?? this.#begunMs - (this.#latestMs ?? entry.receivedMs);
    const receivedMs = entry.receivedMs + this.#shiftMs;
    return { ...entry, receivedMs, eventMs: receivedMs, eventNs: 0 };
  }

  #note(error: unknown): void {
    const why = explain(error);
    if (this.#stop.signal.aborted || !this.#trouble.isNew(why)) return;
    // Damage, until it is repaired: any device may have some there, and whoever must be looked up waits.
    const level = this.#unfound ? "error" : "warn";
    this.#parts.log[level](
      { error: why, waiting: this.#left },
      "messages wait on the disk to be judged; trying again",
    );
  }
}

const keyOf = ({ tenantId, deviceId }: Deferred) => deviceKey(tenantId, deviceId);

/** It came when nobody knew the time. */
function awaitsTime({ eventMs }: Deferred): boolean {
  return eventMs === null;
}

function deferredOf(entries: readonly Entry[]): Deferred[] {
  return entries.filter((entry) => entry.kind === "deferred");
}
