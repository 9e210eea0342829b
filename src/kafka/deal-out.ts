/**
 * Partitions that a topic got after the group dealt its own out. The library looks for partitions when it starts or a leader is another, so
 * these would be nobody's until a gateway starts anew. As with Java's client the leader of the group has all of them dealt out again, by
 * joining once more. (For another member to do so changes nothing.)
 */
import type { Cluster, Library } from "./kafka-client.ts";

type Consumer = Awaited<ReturnType<InstanceType<Library["Client"]>["startConsumer"]>>;

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
