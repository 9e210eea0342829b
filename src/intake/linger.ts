/**
 * The time for which an open group is collected, and the sources that leave unread what comes meanwhile.
 *
 * To be woken for each message costs a source more than the message, so one that has read what there was may wait for the last call: it is
 * called when the time is over, and what it then reads goes with the group. Rejected alternative: to read every so many milliseconds, which
 * wakes up besides and splits groups.
 */
import type { Clock, Timer } from "../core/clock.ts";

/** After a group of fewer messages than this the next is collected for twice as long: at a low rate a group costs more than its messages. */
const messagesFew = 16;
/** A group that is collected for longer than this keeps no source from reading: the source would miss more than messages. */
const unreadMsMax = 50;

export class Linger {
  readonly #clock: Clock;
  readonly #over: () => void;
  #timer: Timer | undefined;
  readonly #usualMs: number;
  /** For so long the next group is collected. */
  #ms: number;
  readonly #unread: (() => void)[] = [];

  /** @param over the time is over */
  constructor(clock: Clock, usualMs: number, over: () => void) {
    this.#clock = clock;
    this.#usualMs = usualMs;
    this.#ms = usualMs;
    this.#over = over;
  }

  /** Begins, unless it has. */
  begin(ms = this.#ms): void {
    this.#timer ??= this.#clock.after(ms, () => this.#end());
  }

  /** The group was written, and had so many messages. */
  written(messages: number): void {
    this.#ms = this.#usualMs * (messages < messagesFew ? 2 : 1);
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
    if (this.#unread.length === 0) return this.#over();
    this.callLast();
    // A socket that may be read again is asked behind the first turn of what is put off, and before the second.
    this.#timer = this.#clock.after(0, () => {
      this.#timer = this.#clock.after(0, this.#over);
    });
  }
}
