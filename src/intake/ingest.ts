/**
 * The intake: a message's way to the disk. receive → judge → group → one fsync → durable (the source sends PUBACK).
 *
 * Judging is synchronous while the device is cached. A device that is not parks its message, and its later ones behind
 * it so that each device keeps its order, until one look-up answers for all. Only here are messages counted.
 *
 * When the spool cannot take a group (its bound, a full disk) the intake is held: the group stays, nothing is
 * acknowledged, and it is tried again until there is room. The sources' windows bound what can pile up meanwhile.
 */
import type { Clock } from "../core/clock.ts";
import type { Deferred, Entry } from "../core/entry.ts";
import type { HeldReason } from "../core/held.ts";
import { Histogram } from "../core/histogram.ts";
import type { Log } from "../core/log/log.ts";
import type { Intake, Message } from "../core/message.ts";
import { Books } from "./books.ts";
import { DeferredDevices } from "./deferred.ts";
import { bytesOf, OpenGroup, type Port } from "./group.ts";
import { Hold } from "./hold.ts";
import { type KnownMessages, outcomeOf } from "./known.ts";
import { Linger } from "./linger.ts";
import { Marks } from "./marks.ts";
import { Turn } from "./turn.ts";
import { Parking, type Judged, type Verdict } from "./parking.ts";
import { isPending, isSeveral, type Judge, type Pending } from "../judge/contract.ts";
import type { Answer } from "../registry/flights.ts";
import type { CommitRecord } from "../spool/sidecar.ts";
import type { Oldest } from "./watchdog.ts";

export interface IngestParts {
  readonly judge: Judge;
  readonly books: Books;
  readonly known: KnownMessages;
  readonly clock: Clock;
  readonly log: Log;
  readonly lingerMs: number;
  /** With so many bytes waiting on the disk to be judged, devices never seen before are turned away. */
  readonly deferredBytesMax: number;
  /** Payloads of the messages that wait in memory. */
  readonly bytesMax: number;
  /** Is this device missing from an auth cache that has all that were read from the registry? */
  isStranger(pending: Pending): boolean;
  resolve(pending: Pending, done: (answer: Answer) => void): void;
  append(entries: readonly Entry[], record: CommitRecord): void;
}

interface Received {
  readonly message: Message;
  readonly port: Port;
}

/** A group is written at once when it holds this many messages. */
const groupMessagesMax = 1_000;
/** Messages that may wait in memory; a source that can stops reading above. More than any Receive Maximum. */
export const intakeMessagesMax = 70_000;
/** Of those, the ones that wait for a look-up: as many as its queries take at a time. Each weighs some KB. */
export const parkedMax = 20_000;

export class Ingest {
  /** From when a message was read until it may be acknowledged. By the wall clock, which is what a message is dated by. */
  readonly latency = new Histogram();
  readonly #parts: IngestParts;
  readonly #group: OpenGroup;
  readonly #linger: Linger;
  readonly #parking: Parking<Received>;
  /** Payloads of the messages in memory, open group and parked. */
  #bytes = 0;
  readonly #bytesMax: number;
  readonly #deferred = new DeferredDevices();
  readonly #marks = new Marks();
  readonly #turn: Turn;
  readonly #hold: Hold;
  readonly #waitingForRoom: (() => void)[] = [];
  readonly #onCommit: (() => void)[] = [];
  #onDeferred: (entries: readonly Deferred[]) => void = () => {};

  constructor(parts: IngestParts) {
    this.#bytesMax = parts.bytesMax;
    this.#parts = parts;
    const { clock, judge, resolve } = parts;
    this.#hold = new Hold(parts.log);
    this.#group = new OpenGroup(clock);
    this.#turn = new Turn(clock);
    this.#linger = new Linger(clock, parts.lingerMs, () => this.#commitOpen());
    this.#parking = new Parking({
      clock,
      turn: this.#turn,
      resolve,
      devicesOf: (message) => judge.devicesOf(message),
      judge: (message) => this.#judge(message),
      conclude: (pending, answer) => this.#conclude(pending, answer),
      goOn: ({ message, port }, judged) => this.#intoGroup(message, port, judged),
    });
  }

  /** The intake for one source. @param durable is given back that source's messages, once they are durable */
  port(durable: (messages: readonly Message[]) => void): Intake {
    const port = this.#group.port(durable);
    const hold = this.#hold;
    return {
      receive: (message) => this.#receive(message, port),
      isFull: () => this.isFull(),
      get held() {
        return hold.why;
      },
      whenRoom: (resume) => void this.#waitingForRoom.push(resume),
      putsOff: (goOn) => this.#turn.putsOff(goOn),
      collects: (lastCall) => hold.why === null && this.#linger.collects(lastCall),
    };
  }

  #receive(message: Message, port: Port): boolean {
    this.#parts.books.receive();
    if (message.mark) this.#marks.receive(message.mark);
    this.#bytes += bytesOf(message);
    if (this.#parking.size > 0 && this.#parking.joins({ message, port })) return false;
    const verdict = this.#judge(message);
    if (verdict !== undefined && !("kind" in verdict)) return !this.#parking.park({ message, port }, verdict);
    this.#intoGroup(message, port, verdict);
    return true;
  }

  isFull(): boolean {
    const waiting = this.#group.size + this.#parking.size;
    return waiting >= intakeMessagesMax || this.#parking.size >= parkedMax || this.#bytes >= this.#bytesMax;
  }

  /** Messages received that are neither counted as something nor on the disk. */
  get inMemory(): number {
    return this.#parking.size;
  }

  /** Entries counted that are not on the disk yet. */
  get openEntries(): readonly Entry[] {
    return this.#group.entries;
  }

  /** Why nothing is taken in; null while it is. */
  get held(): string | null {
    return this.#hold.why;
  }

  /** The same as one word. */
  get heldReason(): HeldReason | null {
    return this.#hold.reason;
  }

  /** The message that has waited longest in memory; undefined if none waits. */
  oldest(): Oldest | undefined {
    const parked = this.#parking.oldest();
    const nowMs = this.#parts.clock.monoMs();
    if (parked) return { waitedMs: nowMs - parked.sinceMs, topic: parked.message.topic, stage: "look-up" };
    const { first, sinceMs } = this.#group;
    return first && { waitedMs: nowMs - sinceMs, topic: first.topic, stage: "group" };
  }

  /** Spools unjudged what has waited for a look-up for longer than this: it is judged again by itself. */
  giveUpLookups(waitedMs: number): void {
    this.#parking.giveUp(this.#parts.clock.monoMs() - waitedMs);
  }

  /** Writes the open group now. */
  flush(): void {
    this.#linger.stop();
    this.#commitOpen();
    this.#linger.callLast();
  }

  /** Spools the judgement of all that was deferred up to the last of `waited`; `committed` is called once that is durable. */
  rejudged(waited: readonly Deferred[], entries: readonly Entry[], committed: () => void): void {
    const seq = waited.at(-1)?.seq ?? 0;
    for (const entry of waited) this.#deferred.remove(entry);
    for (const entry of entries) {
      this.#parts.books.rejudge(seq);
      this.#parts.books.count(entry);
      this.#group.entries.push(entry);
    }
    this.#onCommit.push(committed);
    this.flush();
  }

  /**
   * Spools what an operator brings back, and what it is to the books, in one transaction behind the open group.
   * @throws if the intake is held or the spool has no room; nothing is changed then
   */
  requeue(entries: readonly Entry[], count: (books: Books) => void, letters: readonly number[] = []): void {
    const { append, books } = this.#parts;
    // Again if a source spoke from within `durable`: the books are to hold what is on the disk and nothing more.
    do this.flush();
    while (this.#hold.why === null && this.#group.size > 0);
    if (this.#hold.why !== null) throw new Error(`nothing can be replayed now: ${this.#hold.why}`);
    const draft = new Books(books.toKeep(this.#parking.size));
    count(draft);
    append(entries, { books: draft.toKeep(0), deadLetterIds: letters });
    count(books);
  }

  /** Calls `take` with entries that are on the disk now and still to be judged. */
  onDeferred(take: (entries: readonly Deferred[]) => void): void {
    this.#onDeferred = take;
  }

  /** This entry is on the disk and still to be judged. */
  defer(entry: Deferred): void {
    this.#deferred.add(entry);
  }

  /** Until all of those are known any device may have some: who must be looked up waits there. */
  deferAll(does: boolean): void {
    this.#deferred.isWhole = !does;
  }

  /** undefined: a packet delivered again, which has its entry already. */
  #judge(message: Message): Verdict {
    if (this.#parts.known.has(message)) return undefined;
    const verdict = this.#parts.judge.judge(message);
    if (isSeveral(verdict)) return { several: verdict.several.map((one) => this.#inTurn(one)) };
    return this.#inTurn(verdict);
  }

  /** Behind messages that wait on the disk for the registry, a device's next one waits there too. */
  #inTurn(verdict: Entry | Pending): Entry | Pending {
    const waits = isPending(verdict) && this.#deferred.holds(verdict.key);
    return waits ? this.#conclude(verdict, "unavailable") : verdict;
  }

  /** Strangers may fill a part of the disk with what waits to be judged; who may be registered waits there whatever they do. */
  #conclude(pending: Pending, answer: Answer): Entry {
    const { judge, deferredBytesMax, isStranger } = this.#parts;
    const isCrowded =
      answer === "unavailable" && this.#deferred.bytes >= deferredBytesMax && isStranger(pending);
    return judge.resume(pending, isCrowded ? "crowded" : answer);
  }

  #intoGroup(message: Message, port: Port, judged: Judged): void {
    const entry = this.#note(judged);
    const { known } = this.#parts;
    known.note(message, entry);
    if (message.outcome === null) message.outcome = entry ? outcomeOf(entry) : known.outcomeOf(message);
    if (message.mark) this.#marks.group(message.mark);
    this.#group.add(message, port);
    if (this.#hold.why !== null) return;
    if (this.#group.size >= groupMessagesMax || this.#group.entries.length >= groupMessagesMax) this.flush();
    else this.#linger.begin();
  }

  /** @returns what stands for the message: an event, if it has one; undefined: it is known */
  #note(judged: Judged): Entry | undefined {
    if (judged === undefined) this.#parts.books.duplicate();
    else if ("kind" in judged) this.#add(judged);
    else {
      this.#parts.books.split(judged.length);
      for (const entry of judged) this.#add(entry);
      return judged.find(({ kind }) => kind === "event") ?? judged[0];
    }
    return judged;
  }

  #add(entry: Entry): void {
    this.#parts.books.count(entry);
    this.#group.entries.push(entry);
    if (entry.kind === "deferred") this.defer(entry);
  }

  /** @returns how many messages were written */
  #commitOpen(): number {
    const { size } = this.#group;
    if (size > 0 || this.#onCommit.length > 0) this.#commit();
    return this.#hold.why === null ? size : 0;
  }

  #commit(): void {
    const { append, books, known, clock } = this.#parts;
    const begunMs = clock.monoMs();
    // What is judged again lets go of the entries that it replaces, which a full spool may be waiting for.
    const endsTheHold = this.#onCommit.length > 0;
    const marks = this.#marks.toWrite();
    try {
      const kept = books.toKeep(this.#parking.size);
      append(this.#group.entries, { books: kept, ...known.toWrite(), marks, endsTheHold });
    } catch (error) {
      return this.#linger.begin(this.#hold.begin(error, clock.monoMs() - begunMs));
    }
    this.#hold.end();
    known.committed();
    this.#marks.committed();
    const deferred = this.#group.entries.filter((entry) => entry.kind === "deferred");
    this.#bytes -= this.#group.bytes;
    const groups = this.#group.take();
    const nowMs = clock.wallMs();
    for (const { messages } of groups)
      for (const { receivedMs } of messages) this.latency.observeMs(nowMs - receivedMs);
    if (deferred.length > 0) this.#onDeferred(deferred);
    for (const committed of this.#onCommit.splice(0)) committed();
    for (const { port, messages } of groups) port.durable(messages);
    if (!this.isFull()) for (const resume of this.#waitingForRoom.splice(0)) resume();
  }
}
