/**
 * What Kafka's answers mean to a gateway: wait, look again, act, or it is the record's own fault. The codes are those of the
 * protocol (org.apache.kafka.common.protocol.Errors).
 */
import { explain } from "../core/log/log.ts";
import { Outage } from "../core/outage.ts";

/** An answer with an error code. */
export class KafkaError extends Error {
  override readonly name = "KafkaError";
  readonly code: number;
  /** Which topic it is about (or topics, with an "and"), and of a batch which partition refused it. */
  readonly where: { readonly topic: string; readonly partition?: number } | undefined;

  constructor(code: number, words: string, where?: KafkaError["where"]) {
    super(`${words} (${code})`);
    this.code = code;
    this.where = where;
  }

  /** The records' own fault: their batch is split, and what is refused alone is refused. */
  get isOfRecords(): boolean {
    return ofRecords.has(this.code);
  }
}

export const code = {
  unknown: -1,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopic: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  messageTooLarge: 10,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  otherProtocol: 23,
  sessionTimeout: 26,
  topicForbidden: 29,
  groupForbidden: 30,
  clusterForbidden: 31,
  invalidTimestamp: 32,
  unsupportedVersion: 35,
  invalidProducerEpoch: 47,
  transactionTimeout: 50,
  concurrentTransactions: 51,
  transactionForbidden: 53,
  storageError: 56,
  loginFailed: 58,
  groupNotFound: 69,
  invalidRecord: 87,
  unstableOffset: 88,
  producerFenced: 90,
  unknownTopicId: 100,
} as const;

const ofRecords: ReadonlySet<number> = new Set([
  code.messageTooLarge,
  code.recordListTooLarge,
  code.invalidTimestamp,
  code.invalidRecord,
]);

/** Something is wrong with the one partition, where it lies: others of the same leader can be read. */
const ofPartition: ReadonlySet<number> = new Set([code.unknown, code.corruptMessage, code.storageError]);
export const isOfPartition = (errorCode: number): boolean => ofPartition.has(errorCode);

/** Nothing was done, and the same request is to be repeated in a moment. */
const passing: ReadonlySet<number> = new Set([
  code.coordinatorLoading,
  code.coordinatorNotAvailable,
  code.notCoordinator,
  code.concurrentTransactions,
  code.unstableOffset,
]);

export const isNotCoordinator = (error: unknown): boolean =>
  error instanceof KafkaError && error.code === code.notCoordinator;
export const isPassing = (error: unknown): boolean => error instanceof KafkaError && passing.has(error.code);

/** A right is missing. */
const forbidden: ReadonlySet<number> = new Set([
  code.topicForbidden,
  code.groupForbidden,
  code.clusterForbidden,
  code.transactionForbidden,
]);
export const isForbidden = (error: KafkaError): boolean => forbidden.has(error.code);

/** What an operator has to do, by code; the names are filled in. */
export interface Names {
  readonly topics: readonly string[];
  readonly group: string;
  readonly transactionalId: string;
}

/** As the drain is to take it: with the remedy if it does not end by itself. */
export function asOutage(error: unknown, names: Names): unknown {
  if (!(error instanceof KafkaError)) return error;
  const remedy = remedyOf(error, names);
  if (remedy === undefined) return new Outage(`Kafka: ${error.message}`, { cause: error });
  return new Outage(`Kafka: ${error.message}: ${remedy}`, { alarm: true, cause: error });
}

/** As a source tells it. */
export function whyUnread(error: unknown, topics: readonly string[], group?: string): string {
  const words = explain(error);
  if (!(error instanceof KafkaError)) return words;
  const named = error.where?.topic ?? topics.join(" and ");
  if (error.code === code.unknownTopic) return `${words}: create the topic ${named}`;
  if (error.code === code.topicForbidden) return `${words}: allow the gateway's user READ on ${named}`;
  if (error.code === code.unknownTopicId) return `${words}: the topic ${named} was deleted, or created anew`;
  if (error.code === code.groupForbidden)
    return `${words}: allow the gateway's user READ on the group ${group}`;
  if (error.code === code.otherProtocol)
    return `${words}: other programs read in the group ${group}, or gateways that read other topics (this one itself, for 30 s after its topics were changed): give the gateways of ${topics.join(" and ")} a KAFKA_CONSUMER_GROUP_ID of their own`;
  if (error.code === code.sessionTimeout)
    return `${words}: let the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms permit 30 s`;
  return error.code === code.loginFailed ? `${words}: ${loginRemedy}` : words;
}

const loginRemedy =
  "see KAFKA_SASL_MECHANISM, with KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or KAFKA_SASL_TOKEN";

function remedyOf(error: KafkaError, { topics, group, transactionalId }: Names): string | undefined {
  const named = error.where?.topic ?? topics.join(" and ");
  switch (error.code) {
    case code.unknownTopic:
      return `create the topic ${named}, or set KAFKA_VALIDATED_DATA_TOPIC and KAFKA_ERROR_TOPIC`;
    case code.topicForbidden:
      return `allow the gateway's user WRITE on ${topics.join(" and ")}, and READ on ${topics[0]}, which holds its position`;
    case code.groupForbidden:
      return `allow the gateway's user READ on the group ${group}, which holds its position`;
    case code.transactionForbidden:
      return `allow the gateway's user WRITE on the transactional id ${transactionalId}`;
    case code.transactionTimeout:
      return "set KAFKA_TRANSACTION_TIMEOUT_MS to no more than the brokers' transaction.max.timeout.ms";
    case code.clusterForbidden:
      return `allow the gateway's user WRITE on ${topics.join(" and ")}, which lets it send exactly once`;
    case code.unstableOffset:
      return "a transaction of this gateway hangs in Kafka: kafka-transactions.sh find-hanging shows it, and abort ends it";
    case code.concurrentTransactions:
      return "the brokers do not get this gateway's last transaction ended, and their logs say why: if fewer replicas are in sync than min.insync.replicas of a topic, it ends once they are; if a topic's max.message.bytes leaves no room for the mark of its end, raise it and then restart the broker that coordinates the transaction";
    case code.loginFailed:
      return loginRemedy;
    case code.invalidProducerEpoch:
    case code.producerFenced:
      return `another gateway uses the transactional id ${transactionalId}: give each a GATEWAY_ID of its own`;
    default:
      return undefined;
  }
}
