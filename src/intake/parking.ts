/**
 * Messages that wait for the look-up of a device, and the later ones of the same device behind them, so that each device keeps its order.
 *
 * One line per device. A message that speaks for several devices (judge/mapping/) stands in the line of each, also of those that are
 * known, and goes on when it is the first in all of them and every look-up that it needs has answered. Lines are joined in the order
 * of arrival, so the oldest message is first wherever it stands and nothing waits in a circle. (To part it and park its events one by one
 * was the alternative: the events of a message are to reach the disk in one group, or its acknowledgement would be a half-truth.)
 */
import type { Clock } from "../core/clock.ts";
import { deviceKey } from "../core/device.ts";
import type { Entry } from "../core/entry.ts";
import type { Message } from "../core/message.ts";
import { isPending, isSeveral, type Pending, type Several } from "../judge/contract.ts";
import type { Answer } from "../registry/flights.ts";
import type { Turn } from "./turn.ts";

/** undefined: it is known already. */
export type Verdict = Entry | Pending | Several | undefined;
/** The same once every look-up has answered. */
export type Judged = Entry | readonly Entry[] | undefined;

export interface ParkingParts<T extends { readonly message: Message }> {
  readonly clock: Clock;
  readonly turn: Turn;
  judge(message: Message): Verdict;
  /** Who it speaks for, as far as that can be told before it is judged. */
  devicesOf(message: Message): readonly string[];
  resolve(pending: Pending, done: (answer: Answer) => void): void;
  conclude(pending: Pending, answer: Answer): Entry;
  /** It waits no longer. */
  goOn(received: T, judged: Judged): void;
}

interface Waiting<T> {
  readonly received: T;
  readonly keys: readonly string[];
  /** Once it was judged: the first of a line at once, the others when they are first. */
  verdict: Verdict | "unjudged";
}

interface Line<T> {
  readonly queue: Waiting<T>[];
  /** Index of the first that still waits. */
  first: number;
  /** Monotonic; when its device was asked for, and what came of it. */
  askedMs: number | undefined;
  answer: Answer | undefined;
}

export class Parking<T extends { readonly message: Message }> {
  readonly #parts: ParkingParts<T>;
  readonly #lines = new Map<string, Line<T>>();
  #size = 0;

  constructor(parts: ParkingParts<T>) {
    this.#parts = parts;
  }

  /** Messages that wait. */
  get size(): number {
    return this.#size;
  }

  /** Behind an earlier one of its device, if there is one. @returns whether it waits now */
  joins(received: T): boolean {
    const keys = this.#parts.devicesOf(received.message);
    if (!this.#hasLine(keys)) return false;
    this.#join({ received, keys, verdict: "unjudged" });
    return true;
  }

  /** Until the look-ups that its judgement needs have answered. @returns whether it waits now */
  park(received: T, verdict: Pending | Several): boolean {
    const waiting = { received, keys: devicesIn(verdict), verdict };
    this.#join(waiting);
    return !this.#advance(waiting);
  }

  /** The first of the oldest line. */
  oldest(): { readonly message: Message; readonly sinceMs: number } | undefined {
    for (const { queue, first, askedMs } of this.#lines.values()) {
      const waiting = queue[first];
      if (waiting && askedMs !== undefined) return { message: waiting.received.message, sinceMs: askedMs };
    }
    return undefined;
  }

  /** What was asked for before then is answered: it cannot be known. */
  giveUp(beforeMs: number): void {
    for (const line of [...this.#lines.values()])
      if (line.askedMs !== undefined && line.askedMs <= beforeMs) this.#answer(line, "unavailable");
  }

  /** Loops where a callback would read as well: while a fleet of unknown devices comes, this is the hot path. */
  #hasLine(keys: readonly string[]): boolean {
    for (const key of keys) if (this.#lines.has(key)) return true;
    return false;
  }

  #isFirst(waiting: Waiting<T>): boolean {
    for (const key of waiting.keys) {
      const line = this.#lines.get(key);
      if (line !== undefined && line.queue[line.first] !== waiting) return false;
    }
    return true;
  }

  #join(waiting: Waiting<T>): void {
    this.#size++;
    for (const key of waiting.keys) {
      const line = this.#lines.get(key);
      if (line) line.queue.push(waiting);
      else this.#lines.set(key, { queue: [waiting], first: 0, askedMs: undefined, answer: undefined });
    }
  }

  /** An answer that comes after it was given up is nobody's. */
  #answer(line: Line<T>, answer: Answer): void {
    if (line.answer !== undefined) return;
    line.answer = answer;
    this.#goThrough(line);
  }

  /** As many of a line as can go on, and what only waited behind those elsewhere; as much of that as a turn has room for. */
  #goThrough(line: Line<T>): void {
    const goOn = () => this.#goThrough(line);
    for (let waiting = line.queue[line.first]; waiting; waiting = line.queue[line.first])
      if (this.#parts.turn.putsOff(goOn) || !this.#advance(waiting)) return;
  }

  #advance(waiting: Waiting<T>): boolean {
    if (!this.#isFirst(waiting)) return false;
    if (waiting.verdict === "unjudged") waiting.verdict = this.#parts.judge(waiting.received.message);
    const { received, verdict, keys } = waiting;
    if (!this.#hasAnswers(verdict)) return false;
    const judged = this.#conclude(verdict);
    this.#size--;
    const left = keys.length > 1 ? keys.flatMap((key) => this.#lines.get(key) ?? []) : none;
    for (const key of keys) this.#leave(key);
    this.#parts.goOn(received, judged);
    for (const line of left) this.#goThrough(line);
    return true;
  }

  #leave(key: string): void {
    const line = this.#lines.get(key);
    if (line === undefined) return;
    line.first++;
    if (line.first === line.queue.length) this.#lines.delete(key);
  }

  /** Asks for what has not been asked for. */
  #hasAnswers(verdict: Verdict): boolean {
    if (verdict === undefined) return true;
    if (!isSeveral(verdict)) return this.#hasAnswer(verdict);
    let has = true;
    for (const one of verdict.several) if (!this.#hasAnswer(one)) has = false;
    return has;
  }

  #hasAnswer(one: Entry | Pending): boolean {
    const line = isPending(one) ? this.#lines.get(one.key) : undefined;
    if (line === undefined || line.answer !== undefined) return true;
    if (line.askedMs === undefined && isPending(one)) {
      line.askedMs = this.#parts.clock.monoMs();
      this.#parts.resolve(one, (answer) => this.#answer(line, answer));
    }
    return false;
  }

  #conclude(verdict: Verdict): Judged {
    const conclude = (one: Entry | Pending) => {
      if (!isPending(one)) return one;
      // null is an answer: the device is not registered.
      const { answer = "unavailable" } = this.#lines.get(one.key) ?? {};
      return this.#parts.conclude(one, answer);
    };
    if (verdict === undefined) return undefined;
    return isSeveral(verdict) ? verdict.several.map(conclude) : conclude(verdict);
  }
}

const none: readonly never[] = [];

function devicesIn(verdict: Pending | Several): readonly string[] {
  if (!isSeveral(verdict)) return [verdict.key];
  return [...new Set(verdict.several.flatMap(deviceIn))];
}

/** A reject keeps nobody's order. */
function deviceIn(one: Entry | Pending): readonly string[] {
  if (isPending(one)) return [one.key];
  return one.kind === "reject" ? [] : [deviceKey(one.tenantId ?? "", one.deviceId ?? "")];
}
