/**
 * The wire to Kafka: the requests that the sink and the source need, each with a deadline. The one file that knows the client
 * library, so that another can take its place.
 *
 * The library is kafka-ts (MIT, no dependencies), of which only the protocol is used: requests, framing, TLS and SASL. Its own
 * producer sends some records twice when a leader changes, and costs five times as much as batch.ts. Rejected: @platformatic/kafka,
 * kept by a company, whose requests end at Produce 11 and EndTxn 4: that is the older transaction (five requests and a pause instead of
 * three); in a compiled executable it needs a patch (WebAssembly), and it brings nine packages. kafkajs, which loses records. The
 * library is loaded at the first connection, so that a gateway without Kafka does not pay for it.
 */
import type * as KafkaTs from "kafka-ts";
import type { Clock } from "../core/clock.ts";
import type { Producer } from "./batch.ts";
import { code, KafkaError } from "./error.ts";
import { patiently } from "./patience.ts";
import { parseServers } from "./servers.ts";
import { tlsOf, type KafkaSettings } from "./settings.ts";

type Library = typeof KafkaTs;
type Api = Library["API"];
type Cluster = ReturnType<InstanceType<Library["Client"]>["createCluster"]>;
type Encoder = Parameters<Api["PRODUCE"]["request"]>[0];

export interface Topic {
  readonly name: string;
  readonly id: string;
  /** Node that leads each partition; −1: none does now. */
  readonly leaders: readonly number[];
  /** May the user do this? undefined: the cluster does not say. */
  may(operation: keyof typeof operations): boolean | undefined;
}

export interface Topics {
  readonly clusterId: string;
  /** In the order asked for. */
  readonly topics: readonly Topic[];
}

/** An offset of a group, and the words kept with it. */
export interface GroupOffset {
  readonly group: string;
  readonly topic: Topic;
  readonly partition: number;
  readonly offset: number;
  readonly words: string;
}

/** Who sends a transaction. */
export interface Sender {
  readonly transactionalId: string;
  readonly producer: Producer;
}

/** A batch on its way to one partition. */
export interface Batch {
  readonly topic: Topic;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface Wire {
  /** Where the first connection stands. */
  readonly place: string;
  /** @throws if one of the topics is not there or may not be seen */
  topics(names: readonly string[]): Promise<Topics>;
  /** The node that keeps the group or the transactions of this name. */
  coordinator(kind: "group" | "transaction", key: string): Promise<number>;
  /** From 2 on a transaction needs three requests only (KIP-890). */
  transactionLevel(): Promise<number>;
  /** Ends what an earlier process of this id left open, and shuts it out. */
  initProducer(node: number, transactionalId: string, timeoutMs: number): Promise<Producer>;
  /** To one node, at most one batch per partition. @returns what was refused */
  produce(
    node: number,
    sender: Sender,
    level: number,
    batches: readonly Batch[],
  ): Promise<readonly KafkaError[]>;
  /** For the older transaction: what it will touch. */
  announce(
    node: number,
    sender: Sender,
    batches: readonly Pick<Batch, "topic" | "partition">[],
  ): Promise<void>;
  announceGroup(node: number, sender: Sender, group: string): Promise<void>;
  /** Puts an offset into the transaction. */
  commitOffset(node: number, sender: Sender, level: number, offset: GroupOffset): Promise<void>;
  /** Commits. @returns the producer for the next transaction */
  endTransaction(node: number, sender: Sender, level: number): Promise<Producer>;
  /** undefined: the group holds none. */
  offset(
    node: number,
    at: Pick<GroupOffset, "group" | "topic" | "partition">,
  ): Promise<Pick<GroupOffset, "offset" | "words"> | undefined>;
  close(): Promise<void>;
}

const operations = { read: 3, write: 4 } as const;
/** The oldest transaction's requests for clients; higher ones are for brokers. */
const announceVersion = 3;
/** With it names are sent and not ids; 12 says that the partition joins the transaction by itself. */
const produceVersion = { announced: 11, implicit: 12 } as const;

/** Why the last try to connect to an address did not work: the library tells its log and nobody else. */
const reasons = new Map<string, string>();
const reasonsMax = 100;

const listening: KafkaTs.Logger = {
  debug() {},
  info() {},
  warn: noteReason,
  error() {},
};

function noteReason(message: string, metadata?: unknown): void {
  const [address] = /[^ ]+$/.exec(message) ?? [""];
  if (reasons.size >= reasonsMax) reasons.clear();
  if (typeof metadata === "object" && metadata !== null && "reason" in metadata)
    reasons.set(address, String(metadata.reason));
}

/** @throws with the cause, in the words of the first broker that gave one */
export async function connectWire(settings: KafkaSettings, clientId: string, clock: Clock): Promise<Wire> {
  const library = await import("kafka-ts");
  library.setLogger(listening);
  const servers = parseServers(settings.servers ?? "") ?? [];
  const client = new library.Client({
    clientId,
    bootstrapServers: [...servers],
    sasl: loginOf(library, settings),
    ssl: tlsOf(settings)?.() ?? null,
    requestTimeout: settings.timeoutMs,
    connectTimeout: settings.timeoutMs,
  });
  const cluster = client.createCluster();
  try {
    await cluster.connect();
  } catch (error) {
    await cluster.disconnect();
    const known = servers.flatMap(({ host, port }) => reasons.get(`${host}:${port}`) ?? []);
    const why = known[0] ?? (error instanceof Error ? error.message : String(error));
    throw loginOutage(why, `cannot connect to Kafka at ${settings.servers ?? ""}: ${why}`);
  }
  return wireOf(library, cluster, settings, clock);
}

/** A wrong password is no matter of waiting. */
function loginOutage(why: string, words: string): Error {
  return /SASL/.test(why) ? new KafkaError(code.loginFailed, words) : new Error(words);
}

function loginOf(
  { saslPlain, saslScramSha256, saslScramSha512, oAuthBearer }: Library,
  settings: KafkaSettings,
): KafkaTs.SASLProvider | null {
  const { saslMechanism, saslUsername: username = "", saslPassword: password = "" } = settings;
  if (saslMechanism === "PLAIN") return saslPlain({ username, password });
  if (saslMechanism === "SCRAM-SHA-256") return saslScramSha256({ username, password });
  if (saslMechanism === "SCRAM-SHA-512") return saslScramSha512({ username, password });
  if (saslMechanism === "none") return null;
  return oAuthBearer(() => Promise.resolve({ access_token: settings.saslToken ?? "" }));
}

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
  const announcing = older(API.ADD_PARTITIONS_TO_TXN, announceVersion);
  const announcingGroup = older(API.ADD_OFFSETS_TO_TXN, announceVersion);
  const ending = { implicit: API.END_TXN, announced: older(API.END_TXN, announceVersion) };
  const committing = {
    implicit: API.TXN_OFFSET_COMMIT,
    announced: older(API.TXN_OFFSET_COMMIT, announceVersion),
  };
  const flowOf = (level: number) => (level >= 2 ? "implicit" : "announced");

  /** Waits while the cluster is not ready; what the library throws gets the protocol's code. */
  function ask<T>(request: () => Promise<T>, where?: KafkaError["where"]): Promise<T> {
    return patiently({ clock, timeoutMs }, async () => {
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof KafkaTSApiError)) throw error;
        throw new KafkaError(error.errorCode, `${error.message} at ${error.apiName ?? "a request"}`, where);
      }
    });
  }

  return {
    place: servers ?? "",
    async topics(names) {
      const asked = {
        topics: names.map((name) => ({ id: null, name })),
        allowTopicAutoCreation: false,
        includeTopicAuthorizedOperations: true,
      };
      const { clusterId, topics } = await ask(() => cluster.sendRequest(API.METADATA, asked)).catch(
        (error: unknown) => {
          throw named(error, names);
        },
      );
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
    async coordinator(kind, key) {
      const asked = { keyType: kind === "group" ? 0 : 1, keys: [key] };
      const { coordinators } = await ask(() => cluster.sendRequest(API.FIND_COORDINATOR, asked));
      return coordinators[0]?.nodeId ?? -1;
    },
    async transactionLevel() {
      const { tags } = (await ask(() => cluster.sendRequest(API.API_VERSIONS, {}))) as {
        tags: Record<number, Buffer>;
      };
      return levelIn(tags[2], "transaction.version");
    },
    async initProducer(node, transactionalId, transactionTimeoutMs) {
      const asked = { transactionalId, transactionTimeoutMs, producerId: -1n, producerEpoch: -1 };
      const { producerId, producerEpoch } = await ask(() =>
        cluster.sendRequestToNode(node)(API.INIT_PRODUCER_ID, asked),
      );
      return { id: producerId, epoch: producerEpoch };
    },
    async produce(node, { transactionalId }, level, batches) {
      const asked = { transactionalId, timeoutMs, batches };
      const { responses } = await ask(() =>
        cluster.sendRequestToNode(node)(produces[flowOf(level)], asked as never),
      );
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
      const asked = {
        v3AndBelowTransactionalId: transactionalId,
        v3AndBelowProducerId: producer.id,
        v3AndBelowProducerEpoch: producer.epoch,
        v3AndBelowTopics: topics,
      };
      await ask(() => cluster.sendRequestToNode(node)(announcing, asked));
    },
    async announceGroup(node, { transactionalId, producer }, groupId) {
      const asked = { transactionalId, producerId: producer.id, producerEpoch: producer.epoch, groupId };
      await ask(() => cluster.sendRequestToNode(node)(announcingGroup, asked));
    },
    async commitOffset(
      node,
      { transactionalId, producer },
      level,
      { group, topic, partition, offset, words },
    ) {
      const asked = {
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
      await ask(() => cluster.sendRequestToNode(node)(committing[flowOf(level)], asked), {
        topic: topic.name,
        partition,
      });
    },
    async endTransaction(node, { transactionalId, producer }, level) {
      const asked = {
        transactionalId,
        producerId: producer.id,
        producerEpoch: producer.epoch,
        committed: true,
      };
      const { producerId, producerEpoch } = await ask(() =>
        cluster.sendRequestToNode(node)(ending[flowOf(level)], asked),
      );
      return level >= 2 ? { id: producerId, epoch: producerEpoch } : producer;
    },
    async offset(node, { group, topic, partition }) {
      const topics = [{ name: topic.name, topicId: topic.id, partitionIndexes: [partition] }];
      const asked = { groups: [{ groupId: group, topics }], requireStable: true };
      const { groups } = await ask(() => cluster.sendRequestToNode(node)(API.OFFSET_FETCH, asked), {
        topic: topic.name,
        partition,
      });
      const found = groups[0]?.topics[0]?.partitions[0];
      if (found === undefined || found.committedOffset < 0n) return undefined;
      return { offset: Number(found.committedOffset), words: found.committedMetadata ?? "" };
    },
    close: () => cluster.disconnect(),
  };
}

/** What the broker says of topics it did not ask for by name. */
const omitted = -2_147_483_648;

function named(error: unknown, names: readonly string[]): unknown {
  if (!(error instanceof KafkaError)) return error;
  return new KafkaError(error.code, `${error.message.replace(/ \(-?\d+\)$/, "")} of ${names.join(", ")}`);
}

/** The request of the library in this version. */
function older<A extends { readonly apiVersion: number; readonly fallback?: A }>(api: A, version: number): A {
  let found = api;
  while (found.apiVersion > version && found.fallback !== undefined) found = found.fallback;
  return found;
}

/** Produce with batches that are bytes already. All answers are returned, also those with an error, of which the library throws the first. */
function rawProduce({ PRODUCE }: Api, version: number): Api["PRODUCE"] {
  const api = older(PRODUCE, version);
  return {
    ...api,
    request: (encoder, data) => writeProduce(encoder, data as unknown as RawProduce),
    response: async (decoder) => {
      try {
        return await api.response(decoder);
      } catch (error) {
        if (error instanceof Error && "response" in error)
          return error.response as Awaited<ReturnType<typeof api.response>>;
        throw error;
      }
    },
  };
}

interface RawProduce {
  readonly transactionalId: string;
  readonly timeoutMs: number;
  readonly batches: readonly Batch[];
}

/** Produce 9 to 12, with acknowledgement by all replicas. */
function writeProduce(encoder: Encoder, { transactionalId, timeoutMs, batches }: RawProduce): Encoder {
  const topics = [...Map.groupBy(batches, ({ topic }) => topic.name)];
  return encoder
    .writeCompactString(transactionalId)
    .writeInt16(-1)
    .writeInt32(timeoutMs)
    .writeCompactArray(topics, (each, [name, of]) =>
      each
        .writeCompactString(name)
        .writeCompactArray(of, (one, { partition, bytes }) =>
          one.writeInt32(partition).writeCompactBytes(bytes).writeTagBuffer(),
        )
        .writeTagBuffer(),
    )
    .writeTagBuffer();
}

/** The level of a feature in the answer to ApiVersions (finalized_features); 0: the cluster has none. */
function levelIn(features: Buffer | undefined, feature: string): number {
  const found = features?.indexOf(feature) ?? -1;
  return features === undefined || found < 0 ? 0 : features.readInt16BE(found + feature.length);
}
