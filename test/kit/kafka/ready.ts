/** A broker that answers is not ready yet: its coordinators have to make and load their topics first. */
import { API, Client, setLogger } from "kafka-ts";
import { until } from "../until.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const readyMs = 60_000;

export async function coordinatorsReady(port: number): Promise<void> {
  setLogger(quiet);
  const bootstrapServers = [{ host: "127.0.0.1", port }];
  await until(async () => {
    const cluster = new Client({ clientId: "ready", bootstrapServers }).createCluster();
    try {
      await cluster.connect();
      const [group, transactions] = await Promise.all(
        [0, 1].map(async (keyType) => {
          const { coordinators } = await cluster.sendRequest(API.FIND_COORDINATOR, {
            keyType,
            keys: ["ready"],
          });
          return coordinators[0]?.nodeId ?? -1;
        }),
      );
      const asked = {
        transactionalId: "ready",
        transactionTimeoutMs: 10_000,
        producerId: -1n,
        producerEpoch: -1,
      };
      await cluster.sendRequestToNode(transactions ?? -1)(API.INIT_PRODUCER_ID, asked);
      const groups = [{ groupId: "ready", topics: [] }];
      await cluster.sendRequestToNode(group ?? -1)(API.OFFSET_FETCH, { groups, requireStable: true });
    } finally {
      await cluster.disconnect();
    }
  }, readyMs);
}
