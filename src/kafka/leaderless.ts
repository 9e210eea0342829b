/**
 * Partitions that no broker leads, as while the only one that has them is away, or whose leader cannot be reached from here: the others
 * go on.
 *
 * The library makes an error of the whole answer that names one, so that its consumer would read nothing until all are led. So the answer
 * is taken as it is, and what the consumer then asks of their leader, node −1, is answered here: nothing is new, until one of them has a
 * leader. So is what it asks of a node that it cannot connect to, for which it would stop all others. Rejected alternative: a consumer of our own, which is the protocol of groups.
 */
import { sleep, type Clock } from "../core/clock.ts";
import { explain } from "../core/log/log.ts";
import { code, isForbidden, KafkaError } from "./error.ts";
import type { Cluster, Library } from "./kafka-client.ts";
import type { Topic, Wire } from "./requests.ts";

const noNode = -1;

export const isLed = (node: number | undefined): node is number => node !== undefined && node !== noNode;

export interface NamedPartition {
  readonly topic: string;
  readonly index: number;
  /** Its leader cannot be reached, or gives no answer; absent: it has none. */
  readonly why?: string;
}

export function leaderlessWords(partitions: readonly NamedPartition[]): string {
  return [...Map.groupBy(partitions, ({ why }) => why)]
    .map(([why, of]) =>
      why === undefined
        ? `no broker leads partition ${listed(of)} now`
        : `the broker that leads partition ${listed(of)} ${unreachedWords(why)}`,
    )
    .join("; ");
}

/** In the library's words: a request, and not the connection. */
const isSilent = /^[A-Z_]+ timed out/;
const silent = "gives no answer in time";
const unreached = "cannot be reached at the address that it advertises";

/** Of a broker, with why nothing can be had from it. */
export const unreachedWords = (why: string): string => `${isSilent.test(why) ? silent : unreached}: ${why}`;

function listed(partitions: readonly NamedPartition[]): string {
  const named = partitions.slice(0, 10).map(({ topic, index }) => `${index} of ${topic}`);
  return `${named.join(", ")}${partitions.length > named.length ? " and others" : ""}`;
}

const withLeaderless = (words: string, partitions: readonly NamedPartition[]): string =>
  partitions.length === 0 ? words : `${words}; ${leaderlessWords(partitions)}`;

export const nothingReadWords = (words: string, partitions: readonly NamedPartition[]): string =>
  `nothing can be read of ${withLeaderless(words, partitions)}`;

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

/** @throws naming those that take nothing, since too few of their replicas are in sync: as far as the user may see it (DESCRIBE_CONFIGS) */
export async function mustBeInSync(wire: Wire, topics: readonly Topic[]): Promise<void> {
  for (const { name: topic } of topics) {
    const found = await wire.tooFewInSync(topic).catch((error: unknown) => {
      if (error instanceof KafkaError && isForbidden(error)) return [];
      throw error;
    });
    if (found.length === 0) continue;
    const partitions = listed(found.map((index) => ({ topic, index })));
    throw new KafkaError(
      code.notEnoughReplicas,
      `fewer replicas are in sync than min.insync.replicas of partition ${partitions}, which take nothing until more are`,
    );
  }
}

/** From here on an answer in which partitions lack a leader is none but that, and the brokers' addresses are those of the last answer: the library keeps the first. */
export function tellLeaderless({ API, KafkaTSApiError }: Library, cluster: Cluster): void {
  const sendRequest = cluster.sendRequest as Send;
  const send: Send = async (api, request) => {
    if (api !== API.METADATA) return sendRequest(api, request);
    const answer = await sendRequest(api, request).catch((error: unknown) => {
      if (error instanceof KafkaTSApiError && lacksLeadersOnly(error.response)) return error.response;
      throw error;
    });
    const { brokers } = answer as Metadata;
    cluster["brokerMetadata"] = Object.fromEntries(brokers.map((broker) => [broker.nodeId, broker]));
    return answer;
  };
  cluster.sendRequest = send as Cluster["sendRequest"];
}

type Send = (api: unknown, request: unknown) => Promise<unknown>;
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
  /**
   * Of those dealt to us; none: all can be read again.
   * @param isRead whether there are others
   */
  leaderless(partitions: readonly NamedPartition[], isRead: boolean): void;
}

type Fetching = Parameters<Library["API"]["FETCH"]["request"]>[1];
/**
 * What the library's consumer asks of node −1, or of one that cannot be reached, is answered here.
 * @returns to be called when the partitions are dealt out anew
 */
export function answerForNobody(
  { API, KafkaTSApiError, ConnectionError }: Library,
  cluster: Cluster,
  { clock, waitMs, leaderless }: Waiting,
): () => void {
  const unread = new Map<number, readonly NamedPartition[]>();
  /** Nodes that are asked, and have not failed since. */
  const asked = new Set<number>();
  const isRead = () => unread.size === 0 || [...asked].some((node) => !unread.has(node));
  let wasRead = true;
  /** A connection that was closed is made again before anything is said of it. */
  const closed = new Set<number>();

  function tell(node: number, partitions: readonly NamedPartition[]): void {
    if (partitions.length > 0) unread.set(node, partitions);
    else if (!unread.delete(node) && isRead() === wasRead) return;
    wasRead = isRead();
    leaderless([...unread.values()].flat(), wasRead);
  }

  async function fetchNothing(node: number, { topics: wanted }: Fetching, error?: Error) {
    const why = error === undefined ? {} : { why: explain(error) };
    const partitions = wanted.flatMap(({ topicName: topic, partitions: of }) =>
      of.map(({ partition: index }) => ({ topic, index, ...why })),
    );
    tell(node, partitions);
    await sleep(clock, waitMs);
    const names = wanted.map(({ topicName }) => ({ id: null, name: topicName }));
    const { topics } = await cluster.sendRequest(API.METADATA, { topics: names });
    const leaderOf = ({ topic, index }: NamedPartition) =>
      topics
        .find(({ name }) => name === topic)
        ?.partitions.find(({ partitionIndex }) => partitionIndex === index)?.leaderId;
    const still = partitions.filter((each) => (leaderOf(each) ?? noNode) === node);
    if (still.length === partitions.length) return { sessionId: 0, responses: [] };
    tell(node, still);
    // The consumer looks for the leaders then.
    throw new KafkaTSApiError(code.notLeader, null, null);
  }

  const nobody = async (node: number, api: unknown, request: unknown, error?: Error) =>
    // Where the log begins is found out once its leader answers: from 0 on, which that corrects.
    api === API.LIST_OFFSETS ? { topics: [] } : fetchNothing(node, request as Fetching, error);

  const { sendRequestToNode } = cluster;
  cluster.sendRequestToNode = (node) => {
    const send: Send = async (api, request) => {
      if (node === noNode) return nobody(node, api, request);
      if (api === API.FETCH) asked.add(node);
      try {
        const answer = await (sendRequestToNode(node) as Send)(api, request);
        closed.delete(node);
        if (api === API.FETCH) tell(node, []);
        return answer;
      } catch (error) {
        if (api === API.FETCH) asked.delete(node);
        const isAgain = closed.has(node);
        if (error instanceof ConnectionError) closed.add(node);
        if (isAgain && error instanceof ConnectionError) return nobody(node, api, request, error);
        throw error;
      }
    };
    return send as Cluster["sendRequest"];
  };
  return () => {
    unread.clear();
    asked.clear();
    wasRead = true;
  };
}
