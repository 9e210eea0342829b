/**
 * Partitions that no broker leads, as while the only one that has them is away: the others go on.
 *
 * The library makes an error of the whole answer that names one, so that its consumer would read nothing until all are led. So the answer
 * is taken as it is, and what the consumer then asks of their leader, node −1, is answered here: nothing is new, until one of them has a
 * leader. Rejected alternative: a consumer of our own, which is the protocol of groups.
 */
import { sleep, type Clock } from "../core/clock.ts";
import { code, KafkaError } from "./error.ts";
import type { Cluster, Library } from "./kafka-client.ts";
import type { Topic } from "./requests.ts";

const noNode = -1;

export const isLed = (node: number | undefined): node is number => node !== undefined && node !== noNode;

export interface NamedPartition {
  readonly topic: string;
  readonly index: number;
}

export function leaderlessWords(partitions: readonly NamedPartition[]): string {
  const named = partitions.slice(0, 10).map(({ topic, index }) => `${index} of ${topic}`);
  const more = partitions.length > named.length ? " and others" : "";
  return `no broker leads partition ${named.join(", ")}${more} now`;
}

export const withLeaderless = (words: string, partitions: readonly NamedPartition[]): string =>
  partitions.length === 0 ? words : `${words}; ${leaderlessWords(partitions)}`;

/** @throws naming those of them that no broker leads */
export function mustBeLed(
  partitions: readonly { readonly topic: Topic; readonly partition: number }[],
): void {
  const leaderless = partitions.filter(({ topic, partition }) => !isLed(topic.leaders[partition]));
  if (leaderless.length === 0) return;
  const named = leaderless.map(({ topic, partition }) => ({ topic: topic.name, index: partition }));
  throw new KafkaError(code.leaderNotAvailable, leaderlessWords(named));
}

/** @throws if one of all their partitions has no leader */
export function mustBeLedWhole(topics: readonly Topic[]): void {
  mustBeLed(topics.flatMap((topic) => topic.leaders.map((_, partition) => ({ topic, partition }))));
}

/** From here on an answer in which partitions lack a leader is none but that. */
export function tellLeaderless({ API, KafkaTSApiError }: Library, cluster: Cluster): void {
  const { sendRequest } = cluster;
  cluster.sendRequest = async (api, request) => {
    try {
      return await sendRequest(api, request);
    } catch (error) {
      const isOfTopics = (api as unknown) === API.METADATA && error instanceof KafkaTSApiError;
      if (isOfTopics && lacksLeadersOnly(error.response)) return error.response as never;
      throw error;
    }
  };
}

type Metadata = Awaited<ReturnType<Library["API"]["METADATA"]["response"]>>;

/** Nothing is wrong with the topics but that some of their partitions have no leader. */
function lacksLeadersOnly(answer: unknown): boolean {
  const isFine = ({ errorCode }: { errorCode: number }) =>
    errorCode === 0 || errorCode === code.leaderNotAvailable;
  const { errorCode, topics } = answer as Metadata;
  return errorCode === 0 && topics.every((topic) => topic.errorCode === 0 && topic.partitions.every(isFine));
}

interface Waiting {
  readonly clock: Clock;
  readonly waitMs: number;
  /** Of those dealt to us; none: all are led again. */
  leaderless(partitions: readonly NamedPartition[]): void;
}

type Fetching = Parameters<Library["API"]["FETCH"]["request"]>[1];

/** What the library's consumer asks of node −1 is answered here. */
export function answerForNobody(
  { API, KafkaTSApiError }: Library,
  cluster: Cluster,
  { clock, waitMs, leaderless }: Waiting,
): void {
  async function fetchNothing({ topics: asked }: Fetching) {
    const partitions = asked.flatMap(({ topicName: topic, partitions: of }) =>
      of.map(({ partition: index }) => ({ topic, index })),
    );
    leaderless(partitions);
    await sleep(clock, waitMs);
    const names = asked.map(({ topicName }) => ({ id: null, name: topicName }));
    const { topics } = await cluster.sendRequest(API.METADATA, { topics: names });
    const leaderOf = ({ topic, index }: NamedPartition) =>
      topics
        .find(({ name }) => name === topic)
        ?.partitions.find(({ partitionIndex }) => partitionIndex === index)?.leaderId;
    const still = partitions.filter((each) => !isLed(leaderOf(each)));
    if (still.length === partitions.length) return { sessionId: 0, responses: [] };
    leaderless(still);
    // The consumer looks for the leaders then.
    throw new KafkaTSApiError(code.notLeader, null, null);
  }

  const { sendRequestToNode } = cluster;
  const nobody = async (api: unknown, request: unknown) =>
    // Where the log begins is found out once somebody leads it: from 0 on, which its leader corrects.
    api === API.LIST_OFFSETS ? { topics: [] } : fetchNothing(request as Fetching);
  cluster.sendRequestToNode = (node) =>
    node === noNode ? (nobody as unknown as Cluster["sendRequest"]) : sendRequestToNode(node);
}
