/**
 * A partition that is read: where to go on, and which of its messages are not durable yet. What everything up to is durable may be
 * told to Kafka, and is where a new connection begins if the old one was given up.
 */
import type { Mark } from "../../core/message.ts";
import type { Fetched, Place, Topic } from "../../kafka/requests.ts";

/** A message of it, as far as it counts here. */
interface Given {
  readonly offset: number;
  /** Of the leader that wrote it. */
  readonly epoch: number;
  isDurable: boolean;
}

export class Partition {
  topic: Topic;
  readonly index: number;
  readonly markKey: string;
  /** For redelivery keys. */
  readonly seed: number;
  /** The next offset to be given to the intake, and the leader that wrote the record before. */
  next: number;
  epoch: number = unknownEpoch;
  /** In a group: up to where it was fetched, which is ahead of what was given. */
  fetchedTo: Place | undefined;
  /** Records that are in it and not read yet, as the broker last said; also those of a transaction that is not committed. */
  lag = 0;
  /** Since when it gives nothing, for all that it has left is behind the begin of a transaction that has not ended. */
  #open: { readonly at: number; readonly sinceMs: number; seenMs: number } | null = null;
  /** Why it cannot be read now, and when to try again; null: it can. */
  trouble: { readonly why: string; readonly untilMs: number } | null = null;
  /** How often in a row nothing came of it, and something should have. */
  #empty = 0;
  #queue: Given[] = [];
  #head = 0;
  #waiting: { readonly offset: number; readonly done: () => void }[] = [];

  constructor(topic: Topic, index: number, next: number) {
    this.topic = topic;
    this.index = index;
    this.markKey = markKeyOf(topic, index);
    this.seed = Bun.hash.crc32(this.markKey);
    this.next = next;
  }

  /** Where the mark is that is given back at a start, and who wrote the record before it. */
  static from(topic: Topic, index: number, mark: string, beside: string | undefined): Partition {
    const partition = new Partition(topic, index, Number(mark));
    // An older version moves the mark alone.
    const [offset, epoch] = beside?.split(" ") ?? [];
    if (offset === mark) partition.epoch = Number(epoch);
    return partition;
  }

  markAt(offset: number, epoch: number): Mark {
    const mark = { key: this.markKey, value: String(offset) };
    if (epoch === unknownEpoch) return mark;
    return { ...mark, beside: { key: epochKeyOf(this.markKey), value: `${offset} ${epoch}` } };
  }

  get unacknowledged(): number {
    return this.#queue.length - this.#head;
  }

  /** All before this offset is durable. */
  get durable(): number {
    return this.#queue[this.#head]?.offset ?? this.next;
  }

  /** @throws if its broker has given nothing for long though more follows: it takes a damaged length for the log's end */
  mustMove(
    { isFirst, stableOffset }: Pick<Fetched, "isFirst" | "stableOffset">,
    from: number,
    to: number,
  ): void {
    if (!isFirst) return;
    this.#empty = to === from && stableOffset > from ? this.#empty + 1 : 0;
    if (this.#empty < emptyMax) return;
    throw new Error(
      `Kafka gives nothing at ${this.topic.name}, partition ${this.index}, offset ${from}, though its log goes on to ${stableOffset}: it is damaged there`,
    );
  }

  /** What a broker said of it when it was read up to there. */
  reached(next: number, { end, stableOffset }: Pick<Fetched, "end" | "stableOffset">, nowMs: number): void {
    this.lag = Math.max(0, end - next);
    if (next < stableOffset || next >= end) this.#open = null;
    else if (this.#open?.at === stableOffset) this.#open.seenMs = nowMs;
    else this.#open = { at: stableOffset, sinceMs: nowMs, seenMs: nowMs };
  }

  /** A sentence, once a transaction has kept all that is left from being read for long; by what was fetched, for meanwhile it may have ended. */
  heldBack(): string | undefined {
    if (this.#open === null || this.#open.seenMs - this.#open.sinceMs < openMaxMs) return undefined;
    return `a transaction that was begun at offset ${this.#open.at} of partition ${this.index} of ${this.topic.name} has not ended for over a minute, and nothing behind it can be read: if its writer is gone, kafka-transactions.sh find-hanging shows it, and abort ends it`;
  }

  /** It is not read any more, or not by us. */
  forget(): void {
    this.trouble = null;
    this.lag = 0;
    this.#open = null;
  }

  given(message: Given): void {
    this.#queue.push(message);
    this.next = message.offset + 1;
    this.epoch = message.epoch;
  }

  noteDurable(message: Given): void {
    message.isDurable = true;
    while (this.#queue[this.#head]?.isDurable) this.#head++;
    if (this.#waiting.length > 0) this.#notify();
    if (this.#head < compactAt) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  /** Resolves once all before this offset, which was given already, is durable. */
  durableTo(offset: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ offset, done: resolve });
    this.#notify();
    return promise;
  }

  #notify(): void {
    const due = this.#waiting.filter(({ offset }) => offset <= this.durable);
    this.#waiting = this.#waiting.filter(({ offset }) => offset > this.durable);
    for (const { done } of due) done();
  }

  /** From what is durable: the rest comes again. */
  rewind(): void {
    this.next = this.durable;
    this.#queue = [];
    this.#head = 0;
  }

  /** Also back, in a log that lost its end: what was given of that end says nothing of what has its offsets now. */
  goOnAt({ offset, epoch }: Place): void {
    this.#queue = this.#queue.slice(this.#head).filter((each) => each.offset < offset);
    this.#head = 0;
    this.next = offset;
    this.epoch = epoch;
  }
}

export const unknownEpoch = -1;
export const epochKeyOf = (markKey: string) => `${markKey}/epoch`;
const compactAt = 1_000;
const emptyMax = 10;
/** As long as Java's client lets a transaction last by default. */
const openMaxMs = 60_000;

/** By the topic's id: one that is made anew under the same name is another log. */
export function markKeyOf({ id, name }: Topic, index: number): string {
  return `kafka/${id || name}/${index}`;
}
