/** What the sink and the source ask of Kafka; wire.ts asks it by the client library. */
import type { Producer } from "./batch.ts";
import type { KafkaError } from "./error.ts";

export interface Topic {
  readonly name: string;
  readonly id: string;
  /** Node that leads each partition; −1: none does now. */
  readonly leaders: readonly number[];
  /** May the user do this? undefined: the cluster does not say. */
  may(operation: "read" | "write"): boolean | undefined;
}

export interface Topics {
  readonly clusterId: string;
  /** In the order asked for. */
  readonly topics: readonly Topic[];
}

/** An offset of a group, and the words kept with it. */
export interface GroupOffset {
  readonly group: string;
  readonly topic: Topic;
  readonly partition: number;
  readonly offset: number;
  readonly words: string;
}

/** Who sends a transaction. */
export interface Sender {
  readonly transactionalId: string;
  readonly producer: Producer;
}

/** A batch on its way to one partition. */
export interface Batch {
  readonly topic: Topic;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface Place {
  readonly offset: number;
  /** Of the leader that wrote the record before; −1: not known. */
  readonly epoch: number;
}

/** A partition to be read, and from where. */
export interface Wanted extends Place {
  readonly topic: string;
  /** So that one that is created anew under the same name is not read on in the place of the old; "": by its name. */
  readonly topicId: string;
  readonly partition: number;
}

/** What a broker says of a partition. */
export interface Fetched {
  /** Its name, or its id if that was asked for. */
  readonly topic: string;
  readonly partition: number;
  /** 0: none. */
  readonly errorCode: number;
  /** The end of the log, the end of what is committed, and the beginning of what is kept. */
  readonly end: number;
  readonly stableOffset: number;
  readonly logStart: number;
  /** The log lost its end, which was read already (a power cut, a leader that was behind): up to here it is still the same. */
  readonly sameUpTo?: Place | undefined;
  /** Transactions whose records are to be left out: producer, and the first offset. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: number }[];
  /** Whole batches, the last of which may be cut off. */
  readonly records: Buffer;
  /** It stood first in its request: if there is something, at least one whole batch of it comes. */
  readonly isFirst?: boolean;
}

export interface RawFetch {
  readonly wanted: readonly Wanted[];
  readonly waitMs: number;
  readonly bytesMax: number;
}

export interface Wire {
  /** Where the first connection stands. */
  readonly place: string;
  /** @throws if one of the topics is not there or may not be seen */
  topics(names: readonly string[]): Promise<Topics>;
  /** Its partitions of which fewer replicas are in sync than it wants to take anything. @throws if the user may not see its settings */
  tooFewInSync(topic: string): Promise<readonly number[]>;
  /** The node that keeps the group or the transactions of this name. */
  coordinator(kind: "group" | "transaction", key: string): Promise<number>;
  /** From 2 on a transaction needs three requests only (KIP-890). */
  transactionLevel(): Promise<number>;
  /** Ends what an earlier process of this id left open, and shuts it out. */
  initProducer(node: number, transactionalId: string, timeoutMs: number): Promise<Producer>;
  /**
   * To one node, at most one batch per partition.
   * @returns what was refused, after the rest that the broker wants if this gateway is over its quota
   * @throws TooMuch at once if that is longer than `restMaxMs`
   */
  produce(
    node: number,
    sender: Sender,
    level: number,
    batches: readonly Batch[],
    restMaxMs: number,
  ): Promise<readonly KafkaError[]>;
  /** For the older transaction: what it will touch. */
  announce(
    node: number,
    sender: Sender,
    batches: readonly Pick<Batch, "topic" | "partition">[],
  ): Promise<void>;
  announceGroup(node: number, sender: Sender, group: string): Promise<void>;
  /** Puts an offset into the transaction. */
  commitOffset(node: number, sender: Sender, level: number, offset: GroupOffset): Promise<void>;
  /** Commits. @returns the producer for the next transaction */
  endTransaction(node: number, sender: Sender, level: number): Promise<Producer>;
  /** undefined: the group holds none. */
  offset(
    node: number,
    at: Pick<GroupOffset, "group" | "topic" | "partition">,
  ): Promise<Pick<GroupOffset, "offset" | "words"> | undefined>;
  /** Committed records, from one node; waits up to `waitMs` if there is nothing new. */
  fetch(node: number, asked: RawFetch): Promise<readonly Fetched[]>;
  /** The first offset that is kept, or the end of what is committed. */
  logEnd(node: number, topic: string, partition: number, which: "earliest" | "latest"): Promise<number>;
  /** Outside of a transaction, so that others see how far the group is. */
  tellOffsets(node: number, offsets: readonly GroupOffset[]): Promise<void>;
  /** As this member of the group. */
  heartbeat(node: number, group: string, member: string): Promise<void>;
  close(): Promise<void>;
}
