/**
 * What a group deals out, where the library takes all members for alike and their topics for the same for good.
 *
 * Partitions that a topic got after the group dealt its own out: the library looks for partitions when it starts or a leader is another, so
 * these would be nobody's until a gateway starts anew. As with Java's client the leader of the group has all of them dealt out again, by
 * joining once more. (For another member to do so changes nothing.)
 */
import type { Cluster, Library } from "./kafka-client.ts";

type Send = (api: unknown, request: object) => Promise<unknown>;
type Dealt = Awaited<ReturnType<Library["API"]["SYNC_GROUP"]["response"]>>;
type Consumer = Awaited<ReturnType<InstanceType<Library["Client"]>["startConsumer"]>>;

/**
 * From here on members of a group are alike: the library deals its own topics out to all of them, and nobody would read those of one that
 * has others. A group takes in who deals out in a way that all have in common, which it knows by a name, so that is the topics'. And what
 * was dealt out of a topic that was made anew with fewer partitions, for which the library would join again without end, is left out.
 */
export function dealOutAlike({ API }: Library, cluster: Cluster, topics: readonly string[]): void {
  const name = `RoundRobinAssigner of ${topics.toSorted().join(",")}`;
  const sendRequest = cluster.sendRequest as Send;

  async function dealt(request: object): Promise<Dealt> {
    const answer = (await sendRequest(API.SYNC_GROUP, { ...request, protocolName: name })) as Dealt;
    const asked = { topics: topics.map((topic) => ({ id: null, name: topic })) };
    const { topics: found } = await cluster.sendRequest(API.METADATA, asked);
    const isThere = (topic: string, index: number) =>
      found.some((of) => of.name === topic && of.partitions.some((each) => each.partitionIndex === index));
    const assignment = Object.entries(answer.assignment).map(
      ([topic, indexes]) => [topic, indexes.filter((index) => isThere(topic, index))] as const,
    );
    return { ...answer, assignment: Object.fromEntries(assignment) };
  }

  const send: Send = (api, request) => {
    if (api === API.SYNC_GROUP) return dealt(request);
    if (api !== API.JOIN_GROUP) return sendRequest(api, request);
    return sendRequest(api, { ...request, protocols: [{ name, metadata: { version: 0, topics } }] });
  };
  cluster.sendRequest = send as Cluster["sendRequest"];
}

/** @param cluster as it is now: an error of this look is no matter of the membership. @returns looks once, as a member of the group */
export function dealOutMore(
  { API, API_ERROR, KafkaTSApiError }: Library,
  { sendRequest }: Cluster,
  groupId: string,
  names: readonly string[],
): (consumer: Consumer) => Promise<void> {
  /** The group is asked: a leader that was away a moment may not have dealt them out itself. */
  const areAllDealt = async () => {
    const { groups } = await sendRequest(API.DESCRIBE_GROUPS, { groups: [groupId] });
    const [group] = groups;
    if (group?.groupState !== "Stable") return true;
    const dealt = group.members.map(({ memberAssignment }) => countIn(memberAssignment));
    const asked = { topics: names.map((name) => ({ id: null, name })) };
    const { topics } = await sendRequest(API.METADATA, asked);
    return topics.flatMap(({ partitions }) => partitions).length === dealt.reduce((sum, of) => sum + of, 0);
  };

  return async (consumer) => {
    const group = consumer["consumerGroup"];
    if (!group || group["memberId"] === "" || group["memberId"] !== group["leaderId"]) return;
    if (await areAllDealt()) return;
    await consumer["fetchMetadata"]();
    const error = new KafkaTSApiError(API_ERROR.REBALANCE_IN_PROGRESS, null, null);
    group["heartbeatError"] = error;
    consumer.emit("heartbeatError", error);
    consumer.emit("rebalanceInProgress");
  };
}

/** Of a member's part, as the consumers of a group write it: a version, then the name of each topic and its partitions. */
function countIn(part: Buffer | null): number {
  if (part === null || part.length === 0) return 0;
  let count = 0;
  let at = 6;
  for (let topics = part.readInt32BE(2); topics > 0; topics--) {
    at += 2 + part.readInt16BE(at);
    const partitions = part.readInt32BE(at);
    count += partitions;
    at += 4 + 4 * partitions;
  }
  return count;
}
