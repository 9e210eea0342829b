/**
 * The settings of Kafka, for its sink and its source alike: one cluster per gateway. The names that existing pipelines set
 * (KAFKA_BOOTSTRAP_SERVERS, KAFKA_VALIDATED_DATA_TOPIC, KAFKA_ERROR_TOPIC) mean what they mean there.
 */
import { z } from "zod";
import { lastGood, pairMistakes, readTls, tlsMistakes, type TlsTexts } from "../core/net/pem.ts";
import { oneOf, integer, decimal, flag, optionalString, string, type Values } from "../core/settings.ts";
import { sinkSettings } from "../core/sink.ts";
import { oneLevel } from "../core/topic-level.ts";
import { parseServers } from "../core/net/servers.ts";

const { timeoutMs, whenFull } = sinkSettings({
  prefix: "KAFKA",
  title: "Kafka",
  timeoutMs: 10_000,
  concurrency: { default: 1, per: "partition" },
  whenFull: "hold",
});

/** What a topic may be called (Kafka: org.apache.kafka.common.internals.Topic). */
const topicName = z
  .string()
  .regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/, "up to 249 letters, digits, dots, dashes and underscores");

export const kafkaSettings = {
  servers: optionalString({
    name: "KAFKA_BOOTSTRAP_SERVERS",
    unit: "host:port,…",
    check: z.string().refine((s) => parseServers(s) !== undefined, "host:port, several separated by commas"),
    help: "Brokers to begin with (absent: no Kafka).",
  }),
  validatedTopic: string({
    name: "KAFKA_VALIDATED_DATA_TOPIC",
    default: "iot_validated_data",
    unit: "topic",
    check: topicName,
    help: "Topic of the events; partition 0 of it also carries the gateway's position.",
  }),
  errorTopic: string({
    name: "KAFKA_ERROR_TOPIC",
    default: "iot_errors",
    unit: "topic",
    check: topicName,
    help: "Topic of the rejects.",
  }),
  sinkEnabled: flag({
    name: "KAFKA_SINK_ENABLED",
    default: true,
    help: "0 turns writing to Kafka off, for a gateway that only reads from it.",
  }),
  deviceId: oneOf({
    name: "KAFKA_DEVICE_ID",
    default: "device",
    words: ["device", "tenant/device"],
    help: "What the key and device_id of a record hold: the device's id as existing consumers expect it, or with its tenant before it.",
  }),
  compression: oneOf({
    name: "KAFKA_COMPRESSION",
    default: "none",
    words: ["none", "gzip", "zstd"],
    help: "How batches are compressed; every consumer has to have the codec.",
  }),
  sourceTopic: optionalString({
    name: "KAFKA_SOURCE_TOPIC",
    unit: "topic",
    check: topicName,
    help: "Topic to take device messages from (absent: none); key or headers name tenant, device and type.",
  }),
  validatedSource: flag({
    name: "KAFKA_VALIDATED_SOURCE",
    default: false,
    help: "1: take events from KAFKA_VALIDATED_DATA_TOPIC, judged by whoever wrote them, and count what is in KAFKA_ERROR_TOPIC; writes neither.",
  }),
  sourceKey: oneOf({
    name: "KAFKA_SOURCE_KEY",
    default: "device",
    words: ["device", "topic"],
    help: "What the key of a record is: the device, as tenant/device/type or a part of that, or a topic as at an MQTT broker, our own or one that MAPPINGS_FILE takes.",
  }),
  sourceTenant: string({
    name: "KAFKA_SOURCE_TENANT",
    default: "default",
    unit: "name",
    check: oneLevel,
    help: "Tenant, and site, of records that name none.",
  }),
  sourcePartitions: optionalString({
    name: "KAFKA_SOURCE_PARTITIONS",
    unit: "numbers",
    check: z.string().regex(/^\d{1,6}(,\d{1,6})*$/, "numbers separated by commas, such as 0,1"),
    help: "Partitions that this gateway reads, if several share the topics without a group (absent: all).",
  }),
  groupId: optionalString({
    name: "KAFKA_CONSUMER_GROUP_ID",
    help: "Shares the partitions with the other gateways of this group; absent: this gateway reads all, exactly once.",
  }),
  pollSeconds: decimal({
    name: "KAFKA_CONSUMER_POLL_TIMEOUT_S",
    default: 1,
    unit: "seconds",
    help: "How long a broker may wait with its answer while there is nothing new.",
  }),
  tls: flag({ name: "KAFKA_TLS", default: false, help: "1: connect with TLS." }),
  tlsCa: optionalString({
    name: "KAFKA_TLS_CA",
    unit: "path",
    help: "PEM file of the CA that signed the brokers' certificates (absent: those that this host trusts).",
  }),
  tlsCert: optionalString({
    name: "KAFKA_TLS_CERT",
    unit: "path",
    help: "PEM file of the client certificate.",
  }),
  tlsKey: optionalString({
    name: "KAFKA_TLS_KEY",
    unit: "path",
    help: "PEM file of the key of KAFKA_TLS_CERT.",
  }),
  saslMechanism: oneOf({
    name: "KAFKA_SASL_MECHANISM",
    default: "none",
    words: ["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
    help: "How the gateway logs in at the brokers.",
  }),
  saslUsername: optionalString({ name: "KAFKA_SASL_USERNAME", help: "User, for PLAIN and SCRAM." }),
  saslPassword: optionalString({
    name: "KAFKA_SASL_PASSWORD",
    secret: true,
    help: "Password of KAFKA_SASL_USERNAME.",
  }),
  saslToken: optionalString({
    name: "KAFKA_SASL_TOKEN",
    secret: true,
    help: "Token, for OAUTHBEARER; as KAFKA_SASL_TOKEN_FILE it is read again when another process renews it.",
  }),
  transactionTimeoutMs: integer({
    name: "KAFKA_TRANSACTION_TIMEOUT_MS",
    default: 30_000,
    unit: "ms",
    min: 5_000,
    max: 900_000,
    help: "How long readers of committed records may wait for a gateway that ended without a word.",
  }),
  timeoutMs,
  whenFull,
};

export type KafkaSettings = Values<typeof kafkaSettings>;

const tlsNames = { ca: "KAFKA_TLS_CA", cert: "KAFKA_TLS_CERT", key: "KAFKA_TLS_KEY" };

/** What is wrong with these settings taken together, a sentence each. */
export function kafkaMistakes(settings: KafkaSettings): string[] {
  const { servers, validatedTopic, errorTopic, tls, tlsCa, tlsCert, tlsKey } = settings;
  if (servers === undefined) return withoutServers(settings);
  const paths = { ca: tlsCa, cert: tlsCert, key: tlsKey };
  const mistakes = [
    ...loginMistakes(settings),
    ...pairMistakes(tlsNames, paths),
    ...tlsMistakes(tlsNames, paths),
  ];
  if (validatedTopic === errorTopic)
    mistakes.push(
      `KAFKA_ERROR_TOPIC=${errorTopic} must not be KAFKA_VALIDATED_DATA_TOPIC: their readers expect other messages`,
    );
  if (
    settings.sinkEnabled &&
    (settings.sourceTopic === validatedTopic || settings.sourceTopic === errorTopic)
  )
    mistakes.push(
      `KAFKA_SOURCE_TOPIC=${settings.sourceTopic} is a topic that the gateway writes: set KAFKA_SINK_ENABLED=0, or KAFKA_VALIDATED_SOURCE=1 to read events`,
    );
  if (settings.groupId !== undefined && settings.sourcePartitions !== undefined)
    mistakes.push(
      "KAFKA_SOURCE_PARTITIONS and KAFKA_CONSUMER_GROUP_ID exclude each other: a group deals the partitions out",
    );
  if (!tls && (tlsCa ?? tlsCert ?? tlsKey) !== undefined)
    mistakes.push("KAFKA_TLS_CA, KAFKA_TLS_CERT and KAFKA_TLS_KEY need KAFKA_TLS=1");
  return mistakes;
}

/** Else nothing would be read, and nothing said of it. */
function withoutServers({ sourceTopic, validatedSource }: KafkaSettings): string[] {
  if (sourceTopic === undefined && !validatedSource) return [];
  const asked = validatedSource ? "KAFKA_VALIDATED_SOURCE=1" : `KAFKA_SOURCE_TOPIC=${sourceTopic}`;
  return [`${asked} needs KAFKA_BOOTSTRAP_SERVERS, the brokers to read from`];
}

function loginMistakes({ saslMechanism, saslUsername, saslPassword, saslToken }: KafkaSettings): string[] {
  if (saslMechanism === "none") {
    const set = [saslUsername, saslPassword, saslToken].some((given) => given !== undefined);
    return set
      ? ["KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_TOKEN need a KAFKA_SASL_MECHANISM"]
      : [];
  }
  const mistakes: string[] = [];
  if (saslMechanism === "OAUTHBEARER") {
    if (saslToken === undefined) mistakes.push("KAFKA_SASL_MECHANISM=OAUTHBEARER needs a KAFKA_SASL_TOKEN");
  } else if (saslUsername === undefined || saslPassword === undefined)
    mistakes.push(
      `KAFKA_SASL_MECHANISM=${saslMechanism} needs a KAFKA_SASL_USERNAME and a KAFKA_SASL_PASSWORD`,
    );
  return mistakes;
}

/** The files of the TLS settings, read at each connection, so that a renewed one needs no restart; undefined: no TLS. */
export function tlsOf({ tls, tlsCa, tlsCert, tlsKey }: KafkaSettings): (() => TlsTexts) | undefined {
  if (!tls) return undefined;
  return lastGood(() => readTls(tlsNames, { ca: tlsCa, cert: tlsCert, key: tlsKey }));
}
