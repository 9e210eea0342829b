/**
 * What the group's consumer fetches, read by read-batch.ts. The library's own reader believes whatever bytes a disk has (no CRC), makes
 * text of keys and values, passes over a batch that cannot be unpacked, and waits for ever behind one whose length is damaged.
 */
import { sleep, type Clock } from "../core/clock.ts";
import type { Pace } from "../core/pace.ts";
import { code, isOfPartition, KafkaError } from "./error.ts";
import type { Cluster, Library } from "./kafka-client.ts";
import { fetchInPace } from "./paced.ts";
import { bareFetch, type Answer } from "./raw.ts";
import { readRecords, type ReadRecord, type Room } from "./read-batch.ts";
import type { Fetched, Place } from "./requests.ts";

/** What whoever reads wants to know of a partition. */
export interface FetchWatch {
  /** It could not be read a moment ago. */
  isPutOff(topic: string, index: number): boolean;
  /** Of the leader that wrote the record before this offset; −1: not known. */
  epochAt(topic: string, index: number, offset: number): number;
  /** What was fetched was read from there on, up to there (or back to there, if the log lost its end); or it cannot be read on, for this reason. */
  read(fetched: Fetched, from: number, end: Place, error?: unknown): void;
  /** The log has nothing at this offset. */
  outOfRange(topic: string, index: number, offset: number): Promise<void>;
}

type Fetching = Parameters<Library["API"]["FETCH"]["request"]>[1];

/** A record as the library's consumer passes it on, as the value: the rest of it is only what it counts with. */
interface Carrier {
  readonly offsetDelta: number;
  readonly timestampDelta: 0;
  readonly value: ReadRecord;
  readonly headers: readonly never[];
}

const sessionless = { sessionId: 0, sessionEpoch: -1 };

/** From here on the consumer's records have a `ReadRecord` as their value. */
export function fetchChecked(
  { API, KafkaTSApiError }: Library,
  cluster: Cluster,
  { clock, watch, pace }: { readonly clock: Clock; readonly watch: FetchWatch; readonly pace: Pace },
): void {
  const api = bareFetch(API.FETCH);
  const { sendRequestToNode } = cluster;
  let turn = 0;

  async function fetchFrom(node: number, request: Fetching) {
    const asked = request.topics.flatMap(({ partitions, ...topic }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    const due = asked.filter(({ topic, partition }) => !watch.isPutOff(topic.topicName, partition.partition));
    if (due.length === 0) {
      await sleep(clock, request.maxWaitMs);
      return { sessionId: 0, responses: [] };
    }
    // A broker fills its answer in this order: whoever comes first by turns leaves nobody waiting behind a backlog.
    const first = turn++ % due.length;
    const inTurn = [...due.slice(first), ...due.slice(0, first)];
    const topics = [...Map.groupBy(inTurn, ({ topic }) => topic.topicName).values()].flatMap((of) =>
      of.slice(0, 1).map(({ topic }) => ({
        ...topic,
        partitions: of.map(({ partition }) => ({
          ...partition,
          lastFetchedEpoch: watch.epochAt(
            topic.topicName,
            partition.partition,
            Number(partition.fetchOffset),
          ),
        })),
      })),
    );
    const fetch = async (maxBytes: number) => {
      const send = sendRequestToNode(node)(api, { ...request, ...sessionless, topics, maxBytes });
      const { throttleMs, errorCode, fetched: of } = (await send) as unknown as Answer;
      // Over its quota: what is asked of this broker meanwhile would run out of its time.
      if (throttleMs > 0) await sleep(clock, throttleMs);
      if (errorCode !== 0) throw new KafkaTSApiError(errorCode, null, null);
      return of;
    };
    const responses: Awaited<ReturnType<typeof responseOf>>[] = [];
    await fetchInPace(pace, fetch, async (fetched, room) => {
      const found = fetched.flatMap((each) => {
        const at = inTurn.find(
          ({ topic, partition }) =>
            (topic.topicName === each.topic || topic.topicId === each.topic) &&
            partition.partition === each.partition,
        );
        if (at === undefined) return [];
        const { topic, partition } = at;
        const isFirst = at === inTurn[0];
        return [
          { fetched: { ...each, topic: topic.topicName, isFirst }, from: Number(partition.fetchOffset) },
        ];
      });
      await mustBeFine(found);
      for (const { fetched: of, from } of found) responses.push(await responseOf(of, from, room));
    });
    return { sessionId: 0, responses };
  }

  /** What the consumer has to see to: it looks for the leader, joins again, or begins where the log does. */
  async function mustBeFine(found: readonly Found[]): Promise<void> {
    const wrong = found.filter(({ fetched: { errorCode } }) => errorCode !== 0 && !isOfPartition(errorCode));
    for (const { fetched, from } of wrong)
      if (fetched.errorCode === code.offsetOutOfRange)
        await watch.outOfRange(fetched.topic, fetched.partition, from);
    const [first] = wrong;
    if (first === undefined) return;
    const responses = wrong.map(({ fetched: { topic, partition, errorCode } }) => ({
      topicName: topic,
      partitions: [{ partitionIndex: partition, errorCode }],
    }));
    throw new KafkaTSApiError(first.fetched.errorCode, null, { responses });
  }

  async function responseOf(fetched: Fetched, from: number, room: Room) {
    const { topic, partition, errorCode } = fetched;
    const records: Carrier[] = [];
    let end: Place = { offset: from, epoch: watch.epochAt(topic, partition, from) };
    let error: unknown;
    const carry = (record: ReadRecord) => {
      records.push({ offsetDelta: record.offset, timestampDelta: 0, value: record, headers: [] });
      end = { offset: record.offset + 1, epoch: record.epoch };
    };
    try {
      if (errorCode !== 0)
        throw new KafkaError(errorCode, `partition ${partition} of ${topic} cannot be read`);
      end = backTo(fetched, from) ?? (await readRecords(fetched, end, carry, room));
    } catch (thrown) {
      error = thrown;
    }
    watch.read(fetched, from, end, error);
    const batch = { baseOffset: 0n, baseTimestamp: 0n, lastOffsetDelta: end.offset - 1, records };
    return {
      topicName: topic,
      partitions: [
        {
          partitionIndex: partition,
          errorCode: 0,
          abortedTransactions: [],
          records: end.offset === from ? [] : [batch],
        },
      ],
    };
  }

  cluster.sendRequestToNode = (node) => {
    const send = sendRequestToNode(node) as (asked: unknown, request: unknown) => Promise<unknown>;
    const either = (asked: unknown, request: unknown) =>
      asked === API.FETCH ? fetchFrom(node, request as Fetching) : send(asked, request);
    return either as Cluster["sendRequest"];
  };
}

/** The log lost its end: what is new begins where it is no longer the same. */
function backTo({ sameUpTo }: Fetched, from: number): Place | undefined {
  return sameUpTo && { ...sameUpTo, offset: Math.min(from, sameUpTo.offset) };
}

interface Found {
  readonly fetched: Fetched;
  readonly from: number;
}
