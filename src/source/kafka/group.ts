/**
 * Reads as one of several gateways that share a topic. What this gateway has on its disk already it takes no second time; what moves to
 * another gateway before it was committed comes there once more.
 */
import type { Clock } from "../../core/clock.ts";
import { joinGroup, type GroupRecord } from "../../kafka/group.ts";
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import type { NamedPartition } from "../../kafka/leaderless.ts";
import type { GroupPartitions } from "./group-partitions.ts";
import { KafkaMessage } from "./message.ts";
import type { Partition } from "./partition.ts";
import { hand, type ReaderParts } from "./reader.ts";

type Parts = Omit<ReaderParts, "wire" | "partitions" | "answered"> &
  GroupPartitions & {
    readonly settings: KafkaSettings;
    readonly groupId: string;
    readonly gatewayId: string;
    readonly topics: readonly string[];
    readonly clock: Clock;
    /** The group has taken us in; of what it dealt to us these cannot be read now, and perhaps no others are. */
    reads(leaderless: readonly NamedPartition[], isRead: boolean): void;
  };

const lookEveryMs = 5_000;
/** A minute, of the group's own session time-out of 30 s. Looks, and no time: while all stands still, as on a machine that is paused, nothing is heard. */
const silentLooksMax = 12;
/** What was given when the gateway stops has so long to become durable. */
const graceMs = 2_000;

/** Until the signal aborts. @throws if the group refuses us, or does not answer any more, as when another gateway has our GATEWAY_ID */
export async function readAsGroup(parts: Parts): Promise<void> {
  const { settings, groupId, gatewayId, topics, clock, waitMs, pace, signal, intake } = parts;
  if (signal.aborted) return;
  let silentLooks = 0;
  let isIn = false;
  const over = Promise.withResolvers<never>();
  const watch = clock.every(lookEveryMs, () => {
    // The group may deal out anew meanwhile, and then hears of us only once there is room.
    silentLooks = intake.held !== null || intake.isFull() ? 0 : silentLooks + 1;
    if (silentLooks > silentLooksMax)
      over.reject(
        new Error(`the group ${groupId} is silent: does another gateway have the GATEWAY_ID ${gatewayId}?`),
      );
  });
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const joining = joinGroup({
    settings,
    clientId: gatewayId,
    groupId,
    instanceId: gatewayId,
    topics,
    waitMs,
    pace,
    clock,
    leaderless: (partitions, isRead) => !signal.aborted && parts.reads(partitions, isRead),
    dealsAnew() {
      // Perhaps they are another's now; if not, they are named again.
      parts.forget();
      if (!signal.aborted) parts.reads([], true);
    },
    watch: parts,
    take: (records) => take(records, parts),
    heard() {
      silentLooks = 0;
      if (!isIn && !signal.aborted) parts.reads([], true);
      isIn = true;
    },
    refused: over.reject,
  });
  try {
    await Promise.race([joining, over.promise, aborted]);
    await Promise.race([over.promise, aborted]);
  } finally {
    watch.cancel();
    over.promise.catch(() => {});
    // One that has not joined yet leaves when it has.
    const leaving = joining.then((group) => group.leave());
    leaving.catch(() => {});
    await Promise.race([
      leaving.catch(() => {}),
      new Promise<void>((resolve) => clock.after(graceMs * 2, resolve)),
    ]);
  }
}

/** @throws (nothing is committed) if not all of them became durable */
async function take(records: readonly GroupRecord[], parts: Parts): Promise<void> {
  const receivedMs = parts.clock.wallMs();
  const ends = new Map<Partition, number>();
  const messages: KafkaMessage[] = [];
  for (const { topic, partition: index, offset } of firsts(records)) {
    const partition = parts.partitionOf(topic, index, offset);
    if (offset < partition.next) await parts.comesAgain(topic, index, offset);
  }
  for (const record of records) {
    const partition = parts.partitionOf(record.topic, record.partition, record.offset);
    ends.set(partition, record.offset + 1);
    if (record.offset < partition.next) continue;
    const said = parts.say(partition, record);
    if (said === undefined) continue;
    messages.push(new KafkaMessage(partition, record, said, receivedMs));
  }
  const isHanded = await hand(messages, parts);
  const durable = Promise.all(
    [...ends].map(([partition, end]) => partition.durableTo(Math.min(end, partition.next))),
  );
  await inTime(durable, parts);
  if (!isHanded) throw new Error(stopping);
}

/** The first of each partition. */
function firsts(records: readonly GroupRecord[]): Iterable<GroupRecord> {
  const found = new Map<string, GroupRecord>();
  for (const record of records) {
    const key = `${record.topic}/${record.partition}`;
    if (!found.has(key)) found.set(key, record);
  }
  return found.values();
}

const stopping = "the gateway stops";

/** As `work`, but rejects some time after the signal. Of a batch that is durable nothing listens to it any more: it lasts as long as the membership. */
export function inTime<T>(work: Promise<T>, { signal, clock }: Pick<Parts, "signal" | "clock">): Promise<T> {
  return new Promise((resolve, reject) => {
    const begin = () => clock.after(graceMs, () => reject(new Error(stopping)));
    if (signal.aborted) begin();
    else signal.addEventListener("abort", begin);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", begin));
  });
}
