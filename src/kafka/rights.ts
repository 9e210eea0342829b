/**
 * Rights that are proved without harm, also beside a gateway that runs: by asking as somebody whom the brokers do not know. They answer that
 * a right is missing before they answer that, and change nothing either way. To see a group or a transactional id is not to use it.
 */
import { explain } from "../core/log/log.ts";
import { code, isForbidden, KafkaError } from "./error.ts";
import { unreachedWords } from "./leaderless.ts";
import type { Topic, Wire } from "./requests.ts";

/** What the cluster says itself of these topics. @throws naming the first for which the right is missing */
export function provedTopics(topics: readonly Topic[], right: "read" | "write"): void {
  const topic = topics.find(({ may }) => may(right) === false);
  if (topic === undefined) return;
  const words = `the gateway's user may not ${right === "read" ? "read" : "write to"} ${topic.name}`;
  throw new KafkaError(code.topicForbidden, words, { topic: topic.name });
}

/** READ on the group. @returns the node that keeps it @throws if the right is missing, or that node cannot be reached */
export async function provedGroup(wire: Wire, group: string): Promise<number> {
  const node = await wire.coordinator("group", group);
  await asNobody(wire.heartbeat(node, group, "")).catch((error: unknown) => {
    if (error instanceof KafkaError) throw error;
    throw new Error(`the broker that coordinates the group ${group} ${unreachedWords(explain(error))}`, {
      cause: error,
    });
  });
  return node;
}

/** WRITE on the transactional id, and READ on the group whose offset is put into its transactions. @throws if one is missing */
export async function provedTransaction(wire: Wire, transactionalId: string, group: string): Promise<void> {
  const node = await wire.coordinator("transaction", transactionalId);
  await wire.coordinator("group", group);
  await asNobody(wire.announceGroup(node, { transactionalId, producer: { id: -1n, epoch: -1 } }, group));
}

/** Whatever else a cluster says to nobody. */
async function asNobody(asked: Promise<void>): Promise<void> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof KafkaError) || isForbidden(error)) throw error;
  }
}
