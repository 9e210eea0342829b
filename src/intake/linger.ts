/**
 * The time for which an open group is collected, and the sources that leave unread what comes meanwhile.
 *
 * A group costs more than its messages if they are few, so few are collected for longer. How many come is seen in a group of the usual
 * time, each ninth; and if no more come in a longer one, its time was for nothing: a broker that sends no more than so many before
 * it is answered fills each group with as many, however long it takes.
 *
 * To be woken for each message costs a source more than the message, so one that has read what there was may wait for the last call: it is
 * called when the time is over, and what it then reads goes with the group. If messages come all the time the next group is begun
 * at once, and what is for it is unread from the start. Rejected alternative: to read every so many milliseconds, which wakes up
 * besides and splits groups.
 */
import type { Clock, Timer } from "../core/clock.ts";

/** Fewer in the usual time are collected until they are about as many. */
const messagesEnough = 48;
/** The usual time, so many times, at most; and no longer than this for it: who sets more has said how long a device may wait. */
const longerMax = 6;
const longerMsMax = 50;
/** So many long groups, until one of the usual time tells again how many come. */
const groupsLong = 8;
/** So many usual ones after a long one in vain, for it made a sender wait that waits for its answer; twice as many after each further one. */
const groupsUsualMin = 2;
const groupsUsualMax = 24;
/** Of fewer in the usual time a longer group is worth it with a single one more: chance has too much of a part in them. */
const messagesTelling = 5;
/** After a group of so many the next has something to collect from its beginning. */
const messagesSteady = 4;
/** A group that is collected for longer than this keeps no source from reading: the source would miss more than messages. */
const unreadMsMax = 50;

export class Linger {
  readonly #clock: Clock;
  readonly #write: () => number;
  #timer: Timer | undefined;
  readonly #usualMs: number;
  /** For so long the next group is collected. */
  #ms: number;
  /** Since then this one is (monotonic). */
  #begunMs = 0;
  #untilNext = 0;
  #groupsUsual = groupsUsualMin;
  /** Messages per ms of the group before. */
  #perMsBefore = 0;
  /** With fewer in a longer group, its time was for nothing. */
  #worthwhile = 0;
  readonly #unread: (() => void)[] = [];

  /** @param write the time is over; the answer is how many messages were written */
  constructor(clock: Clock, usualMs: number, write: () => number) {
    this.#clock = clock;
    this.#usualMs = usualMs;
    this.#ms = usualMs;
    this.#write = write;
  }

  /** Begins, unless it has. */
  begin(ms = this.#ms): void {
    if (this.#timer !== undefined) return;
    this.#begunMs = this.#clock.monoMs();
    this.#timer = this.#clock.after(ms, () => this.#end());
  }

  /** The group is written before its time. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Is a group collected, and for so short a time that what comes may be left unread until `lastCall`? */
  collects(lastCall: () => void): boolean {
    const collects = this.#timer !== undefined && this.#ms <= unreadMsMax;
    if (collects) this.#unread.push(lastCall);
    return collects;
  }

  callLast(): void {
    for (const lastCall of this.#unread.splice(0)) lastCall();
  }

  #end(): void {
    if (this.#unread.length === 0) return this.#isOver();
    this.callLast();
    // A socket that may be read again is asked behind the first turn of what is put off, and before the second.
    this.#timer = this.#clock.after(0, () => {
      this.#timer = this.#clock.after(0, () => this.#isOver());
    });
  }

  #isOver(): void {
    this.stop();
    const tookMs = this.#clock.monoMs() - this.#begunMs;
    const messages = this.#write();
    if (messages > 0) this.#adapt(messages, tookMs);
    if (messages >= messagesSteady) this.begin();
    else this.callLast();
  }

  /** @param tookMs more than was meant, if others had their turn before */
  #adapt(messages: number, tookMs: number): void {
    // Of two groups the one with more: a sender that stood still for some ms has sent few in one, and makes up for it in the next.
    const perMs = Math.max(messages / tookMs, this.#perMsBefore);
    this.#perMsBefore = messages / tookMs;
    if (this.#untilNext === 0) {
      const ms = Math.min(longerMax * this.#usualMs, messagesEnough / perMs, longerMsMax);
      if (ms <= this.#usualMs) return;
      this.#ms = ms;
      // With a third of what the longer time should bring: what comes in a short one is left to chance.
      this.#worthwhile = messages + (messages < messagesTelling ? 1 : (perMs * ms - messages) / 3);
      this.#untilNext = groupsLong;
      return;
    }
    this.#untilNext--;
    const isInVain = messages < this.#worthwhile || messages > 2 * messagesEnough;
    const isLong = this.#ms > this.#usualMs;
    if (isInVain || this.#untilNext === 0) this.#ms = this.#usualMs;
    if (!isLong) return;
    if (isInVain) this.#untilNext = this.#groupsUsual;
    this.#groupsUsual = isInVain ? Math.min(2 * this.#groupsUsual, groupsUsualMax) : groupsUsualMin;
  }
}
