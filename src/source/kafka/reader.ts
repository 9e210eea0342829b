/**
 * Reads partitions over one connection, a loop per broker that leads some: fetch, hand to the intake, and again from where that ends.
 *
 * No group, no session, no rebalance: the offsets are the gateway's own, on its disk with the messages. An intake that is held or full
 * stops the fetches by itself. What ends the connection ends all loops; a partition that cannot be read (a damaged batch) is left out
 * for a while and holds up no other.
 */
import { sleep, type Clock } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import type { Intake } from "../../core/message.ts";
import type { Pace } from "../../core/pace.ts";
import { code, isOfPartition, KafkaError } from "../../kafka/error.ts";
import { fetchInPace } from "../../kafka/paced.ts";
import { readRecords, type ReadRecord, type Room } from "../../kafka/read-batch.ts";
import type { Fetched, Place, Wire } from "../../kafka/requests.ts";
import { KafkaMessage, type Content } from "./message.ts";
import { type Partition, unknownEpoch } from "./partition.ts";

export interface ReaderParts {
  readonly wire: Wire;
  readonly partitions: readonly Partition[];
  readonly intake: Intake;
  readonly clock: Clock;
  readonly log: Log;
  readonly waitMs: number;
  /** How much a broker is asked for at once. */
  readonly pace: Pace;
  /** Aborts when the connection is given up or the gateway stops. */
  readonly signal: AbortSignal;
  /** By a broker, with records or without. */
  answered(): void;
  /** undefined: it is counted and not handed on. */
  say(partition: Partition, record: ReadRecord): Content | undefined;
  /** Records that are gone before they were read. */
  lost(partition: Partition, from: number, to: number): void;
}

interface TakingParts extends ReaderParts {
  readonly inRoom: Room;
}

const troubleMs = 30_000;

/** Until the signal aborts. @throws what ends the connection */
export async function readAll(parts: ReaderParts): Promise<void> {
  const byLeader = Map.groupBy(parts.partitions, ({ topic, index }) => topic.leaders[index] ?? -1);
  const over = new AbortController();
  // Also if it was aborted while the connection was made.
  const signal = AbortSignal.any([parts.signal, over.signal]);
  try {
    await Promise.all([...byLeader].map(([node, of]) => readFrom(node, of, { ...parts, signal })));
  } finally {
    over.abort();
  }
}

async function readFrom(node: number, partitions: readonly Partition[], parts: ReaderParts): Promise<void> {
  const { wire, clock, signal, waitMs, pace } = parts;
  for (let turn = 0; !signal.aborted; turn++) {
    await room(parts);
    const nowMs = clock.monoMs();
    const due = partitions.filter(({ trouble }) => trouble === null || trouble.untilMs <= nowMs);
    if (due.length === 0) {
      await sleep(clock, waitMs, signal);
      continue;
    }
    // A broker fills its answer in this order: whoever comes first by turns leaves nobody waiting behind a backlog.
    const first = turn % due.length;
    const inTurn = [...due.slice(first), ...due.slice(0, first)];
    const wanted = inTurn.map(({ topic, index, next, epoch }) => ({
      topic: topic.name,
      topicId: topic.id,
      partition: index,
      offset: next,
      epoch,
    }));
    const fetch = (bytesMax: number) => wire.fetch(node, { wanted, waitMs, bytesMax });
    await fetchInPace(pace, fetch, (answers, inRoom) => {
      parts.answered();
      return takeEach(node, inTurn, answers, { ...parts, inRoom });
    });
  }
}

/** Of all partitions, before what ends the connection does so: or those behind a partition that has an error each time are never read. */
async function takeEach(
  node: number,
  inTurn: readonly Partition[],
  answers: readonly Fetched[],
  parts: TakingParts,
): Promise<void> {
  const errors: unknown[] = [];
  for (const fetched of answers) {
    const partition = inTurn.find(
      ({ topic, index }) => topic.name === fetched.topic && index === fetched.partition,
    );
    if (partition === undefined || parts.signal.aborted) continue;
    const isFirst = partition === inTurn[0];
    await take(node, partition, { ...fetched, isFirst }, parts).catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) throw errors[0];
}

async function take(node: number, partition: Partition, fetched: Fetched, parts: TakingParts): Promise<void> {
  if (fetched.errorCode === code.offsetOutOfRange) return reposition(node, partition, parts);
  if (fetched.errorCode !== 0) {
    const words = `partition ${partition.index} of ${partition.topic.name} cannot be read`;
    const error = new KafkaError(fetched.errorCode, words, { topic: partition.topic.name });
    if (isOfPartition(error.code)) return noteTrouble(partition, error, parts);
    throw error;
  }
  if (fetched.sameUpTo !== undefined) return goBack(partition, fetched.sameUpTo, parts);
  partition.reached(partition.next, fetched, parts.clock.monoMs());
  const messages: KafkaMessage[] = [];
  const receivedMs = parts.clock.wallMs();
  try {
    const from = { offset: partition.next, epoch: partition.epoch };
    const toMessage = (record: ReadRecord) => {
      const said = parts.say(partition, record);
      if (said !== undefined) messages.push(new KafkaMessage(partition, record, said, receivedMs));
    };
    const { offset: next, epoch } = await readRecords(fetched, from, toMessage, parts.inRoom);
    partition.mustMove(fetched, from.offset, next);
    partition.trouble = null;
    // Behind it is nothing to be taken (the mark of a transaction's end, a tombstone): retention that removes that takes nothing from us.
    const last = messages.at(-1);
    if (last !== undefined) last.mark = partition.markAt(next, epoch);
    if (!(await hand(messages, parts)) || next === from.offset) return;
    Object.assign(partition, { next, epoch });
    partition.reached(next, fetched, parts.clock.monoMs());
  } catch (error) {
    noteTrouble(partition, error, parts);
    await hand(messages, parts);
  }
}

/** What cannot be read is left out for a while. */
export function noteTrouble(
  partition: Partition,
  error: unknown,
  { log, clock }: Pick<ReaderParts, "log" | "clock">,
): void {
  const why = explain(error);
  if (partition.trouble?.why !== why)
    log.error(
      { topic: partition.topic.name, partition: partition.index, error: why },
      "the partition cannot be read on; the others are",
    );
  partition.trouble = { why, untilMs: clock.monoMs() + troubleMs };
}

/** In the intake's turns: a batch of Kafka may hold thousands. @returns whether all were handed over */
export async function hand(
  messages: readonly KafkaMessage[],
  parts: Pick<ReaderParts, "intake" | "signal">,
): Promise<boolean> {
  const { intake, signal } = parts;
  let resume = () => {};
  const goOn = () => resume();
  for (const message of messages) {
    if (intake.putsOff(goOn)) await new Promise<void>((resolve) => (resume = resolve));
    if (intake.isFull() || intake.held !== null) await room(parts);
    if (signal.aborted) return false;
    message.partition.given(message);
    intake.receive(message);
  }
  return true;
}

/** Waits until the intake takes more. */
async function room({ intake, signal }: Pick<ReaderParts, "intake" | "signal">): Promise<void> {
  while ((intake.isFull() || intake.held !== null) && !signal.aborted)
    await new Promise<void>((resolve) => {
      // The signal outlives the wait, and keeps whoever listens to it.
      const goOn = () => {
        signal.removeEventListener("abort", goOn);
        resolve();
      };
      intake.whenRoom(goOn);
      signal.addEventListener("abort", goOn);
    });
}

/**
 * Retention was faster than we, or the log is shorter than it was and cannot tell what it still has of what was read: goes on where
 * there is something, never at the end of a longer one.
 */
async function reposition(node: number, partition: Partition, { wire, lost }: ReaderParts): Promise<void> {
  const { topic, index, next } = partition;
  const first = await wire.logEnd(node, topic.name, index, "earliest");
  const end = await wire.logEnd(node, topic.name, index, "latest");
  partition.goOnAt({ offset: next < first ? first : Math.min(next, end), epoch: unknownEpoch });
  lost(partition, next, partition.next);
}

/** What is new in a log that lost its end begins where the old one is no longer the same. */
export function goBack(
  partition: Partition,
  { offset, epoch }: Place,
  { lost }: Pick<ReaderParts, "lost">,
): void {
  const { next } = partition;
  partition.goOnAt({ offset: Math.min(next, offset), epoch });
  if (offset < next) lost(partition, next, offset);
}
