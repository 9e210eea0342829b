/**
 * What the group's consumer would begin anew for each second, without end, and tell only its log: brokers that are away, a right that is
 * missing, a group that deals out in another way. Whoever joins is told, and that the group took us in, which the library tells nobody either.
 */
import { KafkaError } from "./error.ts";
import type { Cluster, Library } from "./kafka-client.ts";

interface Told {
  /** The group has dealt out: we are one of it. */
  heard(): void;
  /** It does not end by itself. */
  refused(error: unknown): void;
  /** None of the brokers takes its connection. */
  unconnected(error: unknown): void;
}

/** @param cluster all that the consumer asks goes through it as it is now */
export function tellRefusals(
  { API, API_ERROR, ConnectionError, KafkaTSApiError }: Library,
  cluster: Cluster,
  told: Told,
): void {
  const is = API_ERROR;
  /** The consumer waits, looks for the leader or the coordinator, joins again, or looks where the log begins. */
  const seenTo: ReadonlySet<number> = new Set([
    ...[is.LEADER_NOT_AVAILABLE, is.NOT_LEADER_OR_FOLLOWER, is.OFFSET_NOT_AVAILABLE, is.OFFSET_OUT_OF_RANGE],
    ...[is.COORDINATOR_LOAD_IN_PROGRESS, is.COORDINATOR_NOT_AVAILABLE, is.NOT_COORDINATOR],
    ...[is.MEMBER_ID_REQUIRED, is.UNKNOWN_MEMBER_ID, is.ILLEGAL_GENERATION, is.REBALANCE_IN_PROGRESS],
    // Another has our name: to join again at once would shut it out in turn.
    is.FENCED_INSTANCE_ID,
  ]);

  const isSeenTo = (error: unknown) =>
    error instanceof ConnectionError || (error instanceof KafkaTSApiError && seenTo.has(error.errorCode));
  const asKafkaError = (error: unknown) =>
    error instanceof KafkaTSApiError
      ? new KafkaError(
          error.errorCode,
          `${error.message}${error.apiName === undefined ? "" : ` at ${error.apiName}`}`,
        )
      : error;

  const watched = (send: Cluster["sendRequest"]) =>
    (async (api: unknown, request: unknown) => {
      try {
        const answer = await (send as (api: unknown, request: unknown) => Promise<unknown>)(api, request);
        if (api === API.SYNC_GROUP || api === API.HEARTBEAT) told.heard();
        return answer;
      } catch (error) {
        // A commit that is refused is made again with the next.
        if (api !== API.OFFSET_COMMIT && !isSeenTo(error)) told.refused(asKafkaError(error));
        throw error;
      }
    }) as Cluster["sendRequest"];

  const { sendRequest, sendRequestToNode } = cluster;
  cluster.sendRequest = watched(sendRequest);
  cluster.sendRequestToNode = (node) => watched(sendRequestToNode(node));

  const connect = cluster.connect.bind(cluster);
  let isOver = false;
  cluster.connect = async () => {
    // Or it tried on beside the next membership, and shut that out once it got through.
    if (isOver) await new Promise<never>(() => {});
    await connect().catch((error: unknown) => {
      isOver = true;
      told.unconnected(error);
      throw error;
    });
  };
}
