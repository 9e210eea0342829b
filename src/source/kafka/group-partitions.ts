/**
 * The partitions that a group deals out, under the ids that their topics have now. The group tells names and offsets only: a topic that
 * was created anew, or a log that lost its end, shows by an offset that was read already.
 */
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import { code, isOfPartition, KafkaError } from "../../kafka/error.ts";
import type { FetchWatch } from "../../kafka/group-fetch.ts";
import type { Fetched, Topic, Wire } from "../../kafka/requests.ts";
import { epochKeyOf, markKeyOf, Partition, unknownEpoch } from "./partition.ts";
import { goBack, noteTrouble } from "./reader.ts";
import { readableTopics } from "./topics.ts";

interface Parts {
  readonly names: readonly string[];
  readonly partitions: Map<string, Partition>;
  readonly marks: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly log: Log;
  /** By a connection of its own. */
  asked<T>(ask: (at: Wire) => Promise<T>): Promise<T>;
  lost(partition: Partition, from: number, to: number): void;
}

export interface GroupPartitions extends FetchWatch {
  /** Known from before, or new at this offset. */
  partitionOf(topic: string, index: number, first: number): Partition;
  /** The group says to read from here, and more was read: whatever is new since then is not passed over. @throws if it does not show */
  comesAgain(topic: string, index: number, offset: number): Promise<void>;
  /** They may be another gateway's now. */
  forget(): void;
}

/** @throws if one of the topics is not there or may not be seen */
export async function groupPartitions(parts: Parts): Promise<GroupPartitions> {
  const { names, partitions, marks, clock, asked, lost } = parts;
  let { topics } = await asked((at) => readableTopics(at, names));

  const topicOf = (name: string): Topic =>
    topics.find((each) => each.name === name) ?? { name, id: "", leaders: [], may: () => undefined };

  function partitionOf(name: string, index: number, first: number): Partition {
    const topic = topicOf(name);
    const key = markKeyOf(topic, index);
    const mark = marks.get(key);
    const known =
      partitions.get(key) ??
      (Number(mark ?? -1) < first
        ? new Partition(topic, index, first)
        : Partition.from(topic, index, String(mark), marks.get(epochKeyOf(key))));
    partitions.set(key, known);
    return known;
  }

  function forget(): void {
    for (const partition of partitions.values()) partition.forget();
  }
  forget();

  return {
    partitionOf,
    forget,
    isPutOff(name, index) {
      const trouble = partitions.get(markKeyOf(topicOf(name), index))?.trouble;
      return (trouble?.untilMs ?? 0) > clock.monoMs();
    },
    epochAt(name, index, offset) {
      const { next, epoch, fetchedTo } = partitionOf(name, index, offset);
      if (fetchedTo?.offset === offset) return fetchedTo.epoch;
      return next === offset ? epoch : unknownEpoch;
    },
    read(fetched, from, end, error) {
      const partition = partitionOf(fetched.topic, fetched.partition, from);
      partition.fetchedTo = end;
      if (fetched.errorCode === 0) partition.reached(end.offset, fetched, clock.monoMs());
      if (error !== undefined) return noteTrouble(partition, error, parts);
      try {
        partition.mustMove(fetched, from, end.offset);
        partition.trouble = null;
      } catch (stuck) {
        noteTrouble(partition, stuck, parts);
      }
    },
    outOfRange: (name, index, offset) =>
      asked(async (at) => {
        const node = topicOf(name).leaders[index] ?? -1;
        const first = await at.logEnd(node, name, index, "earliest");
        if (first > offset) lost(partitionOf(name, index, offset), offset, first);
      }),
    comesAgain: (name, index, offset) =>
      asked(async (at) => {
        ({ topics } = await at.topics(names));
        const { id: topicId, leaders } = topicOf(name);
        const partition = partitionOf(name, index, offset);
        const { next, epoch } = partition;
        if (next <= offset) return;
        const wanted = [{ topic: name, topicId, partition: index, offset: next, epoch }];
        const { errorCode, sameUpTo } = await firstOf(name, index, () =>
          at.fetch(leaders[index] ?? -1, { wanted, waitMs: 1, bytesMax: 1 }),
        );
        if (errorCode === code.offsetOutOfRange) goBack(partition, { offset, epoch: unknownEpoch }, parts);
        else if (sameUpTo !== undefined) goBack(partition, sameUpTo, parts);
        // What is damaged there lies in the log as it was read.
        else if (errorCode !== 0 && !isOfPartition(errorCode))
          throw new KafkaError(errorCode, unsureWords(name, index), { topic: name });
      }),
  };
}

/** A broker over whose quota we are answers with nothing, and the wire has waited by then as long as it said. */
async function firstOf(
  name: string,
  index: number,
  fetch: () => Promise<readonly Fetched[]>,
): Promise<Fetched> {
  for (let asked = 0; asked < asksMax; asked++) {
    const [answer] = await fetch();
    if (answer !== undefined) return answer;
  }
  throw new Error(`${unsureWords(name, index)}: Kafka answers with nothing`);
}

const asksMax = 10;
const unsureWords = (name: string, index: number) =>
  `it cannot be seen whether partition ${index} of ${name} lost what was read already`;
