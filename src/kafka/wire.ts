/** The wire to Kafka: the requests that the sink and the source need, each with a deadline, and waiting while the cluster is not ready. */
import { sleep, type Clock } from "../core/clock.ts";
import { letGo } from "../core/memory/let-go.ts";
import { connect, type Cluster, type Library } from "./kafka-client.ts";
import { KafkaError } from "./error.ts";
import { tellLeaderless } from "./leaderless.ts";
import { overQuota } from "./paced.ts";
import { patiently } from "./patience.ts";
import { older, rawFetch, rawProduce, type Answer, type RawProduce } from "./raw.ts";
import type { Topic, Wire } from "./requests.ts";
import type { KafkaSettings } from "./kafka-settings.ts";

export async function connectWire(settings: KafkaSettings, clientId: string, clock: Clock): Promise<Wire> {
  const { library, cluster } = await connect(settings, clientId);
  tellLeaderless(library, cluster);
  return wireOf(library, cluster, settings, clock);
}

type Where = KafkaError["where"];
type KafkaTSApiError = InstanceType<Library["KafkaTSApiError"]>;
type Metadata = Awaited<ReturnType<Library["API"]["METADATA"]["response"]>>;

const operations = { read: 3, write: 4 } as const;
/** The oldest transaction's requests for clients; higher ones are for brokers. */
const announceVersion = 3;
/** 9 is what brokers from 2.8 on know; 12 says that the partition joins the transaction by itself. */
const produceVersion = { announced: 9, implicit: 12 } as const;

function wireOf(
  { API, KafkaTSApiError }: Library,
  cluster: Cluster,
  { servers, timeoutMs }: KafkaSettings,
  clock: Clock,
): Wire {
  const produces = {
    implicit: rawProduce(API, produceVersion.implicit),
    announced: rawProduce(API, produceVersion.announced),
  };
  const fetching = rawFetch(API);
  const announcing = older(API.ADD_PARTITIONS_TO_TXN, announceVersion);
  const announcingGroup = older(API.ADD_OFFSETS_TO_TXN, announceVersion);
  const ending = { implicit: API.END_TXN, announced: older(API.END_TXN, announceVersion) };
  const committing = {
    implicit: API.TXN_OFFSET_COMMIT,
    announced: older(API.TXN_OFFSET_COMMIT, announceVersion),
  };
  const flowOf = (level: number) => (level >= 2 ? "implicit" : "announced");

  /** Waits while the cluster is not ready; what the library throws gets the protocol's code. */
  function call<T>(
    request: () => Promise<T>,
    about?: Where | ((error: KafkaTSApiError) => Where),
  ): Promise<T> {
    return patiently({ clock, timeoutMs }, async () => {
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof KafkaTSApiError)) throw error;
        const where = typeof about === "function" ? about(error) : about;
        const words = `${error.message} at ${error.apiName ?? "a request"}`;
        throw new KafkaError(
          error.errorCode,
          where === undefined ? words : `${words} of ${where.topic}`,
          where,
        );
      }
    });
  }

  const closing = new AbortController();
  /** Over its quota: the broker reads nothing of us for so long, and what is asked meanwhile would run out of its time. */
  const throttled = async (ms: number) => {
    if (ms > 0) await sleep(clock, ms, closing.signal);
  };

  return {
    place: servers ?? "",
    async topics(names) {
      const request = {
        topics: names.map((name) => ({ id: null, name })),
        allowTopicAutoCreation: false,
        includeTopicAuthorizedOperations: true,
      };
      const ask = () => cluster.sendRequest(API.METADATA, request);
      const { clusterId, topics } = await call(ask, (error) => ({ topic: refusedTopics(error, names) }));
      const byName = new Map(topics.map((topic) => [topic.name, topic]));
      return {
        clusterId: clusterId ?? "",
        topics: names.map((name) => {
          const {
            topicId = "",
            partitions = [],
            topicAuthorizedOperations: bits = omitted,
          } = byName.get(name) ?? {};
          const leaders: number[] = [];
          for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
          const may: Topic["may"] = (operation) =>
            bits === omitted ? undefined : (bits & (1 << operations[operation])) !== 0;
          return { name, id: topicId, leaders, may };
        }),
      };
    },
    async tooFewInSync(name) {
      const resource = { resourceType: ofTopic, resourceName: name, configurationKeys: [leastInSync] };
      const asked = { resources: [resource], includeSynonyms: false };
      const { results } = await call(() => cluster.sendRequest(API.DESCRIBE_CONFIGS, asked));
      const least = Number(results[0]?.configs[0]?.value ?? 0);
      const { topics } = await call(() =>
        cluster.sendRequest(API.METADATA, { topics: [{ id: null, name }] }),
      );
      return (topics[0]?.partitions ?? [])
        .filter(({ isrNodes }) => isrNodes.length < least)
        .map(({ partitionIndex }) => partitionIndex);
    },
    async coordinator(kind, key) {
      const request = { keyType: kind === "group" ? 0 : 1, keys: [key] };
      const { coordinators } = await call(() => cluster.sendRequest(API.FIND_COORDINATOR, request));
      return coordinators[0]?.nodeId ?? -1;
    },
    async transactionLevel() {
      const { tags } = (await call(() => cluster.sendRequest(API.API_VERSIONS, {}))) as {
        tags: Record<number, Buffer>;
      };
      return levelIn(tags[2], "transaction.version");
    },
    async initProducer(node, transactionalId, transactionTimeoutMs) {
      const request = { transactionalId, transactionTimeoutMs, producerId: -1n, producerEpoch: -1 };
      const { producerId, producerEpoch } = await call(() =>
        cluster.sendRequestToNode(node)(API.INIT_PRODUCER_ID, request),
      );
      return { id: producerId, epoch: producerEpoch };
    },
    async produce(node, { transactionalId }, level, batches, restMaxMs) {
      const request: RawProduce = { transactionalId, timeoutMs, batches };
      const { responses, throttleTimeMs } = await call(() =>
        cluster.sendRequestToNode(node)(produces[flowOf(level)], request as never),
      );
      if (request.sent) letGo(request.sent);
      if (throttleTimeMs > restMaxMs) throw overQuota(throttleTimeMs);
      await throttled(throttleTimeMs);
      return responses.flatMap((topic) =>
        topic.partitionResponses.flatMap(({ index, errorCode, errorMessage }) => {
          if (errorCode === 0) return [];
          const name = "name" in topic ? topic.name : "";
          const words = new KafkaTSApiError(errorCode, errorMessage, responses).message;
          return new KafkaError(errorCode, `${words} of ${name}`, { topic: name, partition: index });
        }),
      );
    },
    async announce(node, { transactionalId, producer }, batches) {
      const topics = [...Map.groupBy(batches, ({ topic }) => topic.name)].map(([name, of]) => ({
        name,
        partitions: of.map(({ partition }) => partition),
      }));
      const request = {
        v3AndBelowTransactionalId: transactionalId,
        v3AndBelowProducerId: producer.id,
        v3AndBelowProducerEpoch: producer.epoch,
        v3AndBelowTopics: topics,
      };
      await call(() => cluster.sendRequestToNode(node)(announcing, request));
    },
    async announceGroup(node, { transactionalId, producer }, groupId) {
      const request = { transactionalId, producerId: producer.id, producerEpoch: producer.epoch, groupId };
      await call(() => cluster.sendRequestToNode(node)(announcingGroup, request));
    },
    async commitOffset(
      node,
      { transactionalId, producer },
      level,
      { group, topic, partition, offset, words },
    ) {
      const request = {
        transactionalId,
        groupId: group,
        producerId: producer.id,
        producerEpoch: producer.epoch,
        generationId: -1,
        memberId: "",
        groupInstanceId: null,
        topics: [
          {
            name: topic.name,
            partitions: [
              {
                partitionIndex: partition,
                committedOffset: BigInt(offset),
                committedLeaderEpoch: -1,
                committedMetadata: words,
              },
            ],
          },
        ],
      };
      await call(() => cluster.sendRequestToNode(node)(committing[flowOf(level)], request), {
        topic: topic.name,
        partition,
      });
    },
    async endTransaction(node, { transactionalId, producer }, level) {
      const request = {
        transactionalId,
        producerId: producer.id,
        producerEpoch: producer.epoch,
        committed: true,
      };
      const { producerId, producerEpoch } = await call(() =>
        cluster.sendRequestToNode(node)(ending[flowOf(level)], request),
      );
      return level >= 2 ? { id: producerId, epoch: producerEpoch } : producer;
    },
    async offset(node, { group, topic, partition }) {
      const topics = [{ name: topic.name, topicId: topic.id, partitionIndexes: [partition] }];
      const request = { groups: [{ groupId: group, topics }], requireStable: true };
      const { groups } = await call(() => cluster.sendRequestToNode(node)(API.OFFSET_FETCH, request), {
        topic: topic.name,
        partition,
      });
      const found = groups[0]?.topics[0]?.partitions[0];
      if (found === undefined || found.committedOffset < 0n) return undefined;
      return { offset: Number(found.committedOffset), words: found.committedMetadata ?? "" };
    },
    async fetch(node, request) {
      const names = new Map(request.wanted.map(({ topicId, topic }) => [topicId, topic]));
      const api = [...names.keys()].every((id) => isId.test(id)) ? fetching.byId : fetching.byName;
      const send = () => cluster.sendRequestToNode(node)(api, request as never) as unknown as Promise<Answer>;
      const { throttleMs, errorCode, fetched } = await call(send);
      await throttled(throttleMs);
      if (errorCode !== 0)
        throw new KafkaError(errorCode, new KafkaTSApiError(errorCode, null, null).message);
      return fetched.map((each) => ({ ...each, topic: names.get(each.topic) ?? each.topic }));
    },
    async logEnd(node, name, partitionIndex, which) {
      const partitions = [
        { partitionIndex, currentLeaderEpoch: -1, timestamp: which === "earliest" ? -2n : -1n },
      ];
      const request = { replicaId: -1, isolationLevel: 1, topics: [{ name, partitions }] };
      const { topics } = await call(() => cluster.sendRequestToNode(node)(API.LIST_OFFSETS, request), {
        topic: name,
        partition: partitionIndex,
      });
      return Number(topics[0]?.partitions[0]?.offset ?? 0n);
    },
    async tellOffsets(node, offsets) {
      for (const [groupId, ofGroup] of Map.groupBy(offsets, ({ group }) => group)) {
        const topics = [...Map.groupBy(ofGroup, ({ topic }) => topic)].map(([{ name, id: topicId }, of]) => ({
          name,
          topicId,
          partitions: of.map(({ partition, offset, words }) => ({
            partitionIndex: partition,
            committedOffset: BigInt(offset),
            committedLeaderEpoch: -1,
            committedMetadata: words,
          })),
        }));
        const request = {
          groupId,
          generationIdOrMemberEpoch: -1,
          memberId: "",
          groupInstanceId: null,
          topics,
        };
        await call(() => cluster.sendRequestToNode(node)(API.OFFSET_COMMIT, request));
      }
    },
    async heartbeat(node, groupId, memberId) {
      const request = { groupId, generationId: -1, memberId, groupInstanceId: null };
      await call(() => cluster.sendRequestToNode(node)(API.HEARTBEAT, request));
    },
    // Of a connection that is gone already there is nothing to be told, and an error that nobody waits for would end the process.
    close() {
      closing.abort();
      return cluster.disconnect().catch(() => {});
    },
  };
}

/** All zeros: the cluster gives its topics none. */
const isId = /[1-9a-f]/;
const ofTopic = 2;
const leastInSync = "min.insync.replicas";

/** What the broker says of topics it did not ask for by name. */
const omitted = -2_147_483_648;

/** Of the topics that were asked for, those that the answer's error is about. */
function refusedTopics({ errorCode, response }: KafkaTSApiError, names: readonly string[]): string {
  const { topics = [] } = (response ?? {}) as Partial<Metadata>;
  const refused = topics.flatMap((topic) => (topic.errorCode === errorCode ? (topic.name ?? []) : []));
  return (refused.length > 0 ? refused : names).join(" and ");
}

/** The level of a feature in the answer to ApiVersions (finalized_features); 0: the cluster has none. */
function levelIn(features: Buffer | undefined, feature: string): number {
  const found = features?.indexOf(feature) ?? -1;
  return features === undefined || found < 0 ? 0 : features.readInt16BE(found + feature.length);
}
