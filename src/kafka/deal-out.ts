/**
 * Partitions that a topic got after the group dealt its own out. The library looks for partitions when it starts or a leader is another, so
 * these would be nobody's until a gateway starts anew. As with Java's client the leader of the group has all of them dealt out again, by
 * joining once more. (For another member to do so changes nothing.)
 */
import type { Cluster, Library } from "./kafka-client.ts";

type Consumer = Awaited<ReturnType<InstanceType<Library["Client"]>["startConsumer"]>>;
type Syncing = Parameters<Library["API"]["SYNC_GROUP"]["request"]>[1];

/** @returns looks once, as a member of the group */
export function dealOutMore(
  { API, API_ERROR, KafkaTSApiError }: Library,
  cluster: Cluster,
  names: readonly string[],
): (consumer: Consumer) => Promise<void> {
  /** By us as the leader: a leader that is back may not have been asked to. */
  let dealt = 0;
  const send = cluster.sendRequest as (api: unknown, request: unknown) => Promise<unknown>;
  const noted = (api: unknown, request: unknown) => {
    if (api === API.SYNC_GROUP) dealt = countOf(request as Syncing);
    return send(api, request);
  };
  cluster.sendRequest = noted as Cluster["sendRequest"];

  return async (consumer) => {
    const group = consumer["consumerGroup"];
    if (!group || group["memberId"] === "" || group["memberId"] !== group["leaderId"]) return;
    const asked = { topics: names.map((name) => ({ id: null, name })) };
    const { topics } = await cluster.sendRequest(API.METADATA, asked);
    if (topics.flatMap(({ partitions }) => partitions).length === dealt) return;
    await consumer["fetchMetadata"]();
    const error = new KafkaTSApiError(API_ERROR.REBALANCE_IN_PROGRESS, null, null);
    group["heartbeatError"] = error;
    consumer.emit("heartbeatError", error);
    consumer.emit("rebalanceInProgress");
  };
}

const countOf = ({ assignments }: Syncing): number =>
  assignments.flatMap(({ assignment }) => Object.values(assignment).flat()).length;
