/**
 * A record as a message: who speaks is in its headers, else in its key.
 *
 *   header `topic`                               tenant/{tenant}/device/{device}/{type}, as at an MQTT broker
 *   headers `tenant`, `device`, `type`           or tenant_id, device_id, msg_type
 *   key                                          the topic, {tenant}/{device}/{type}, {tenant}/{device}, or {device}
 *
 * A type that nobody names is telemetry, a tenant that nobody names is KAFKA_SOURCE_TENANT. The judge says no to what is none of these.
 */
import type { Mark, Message } from "../../core/message.ts";
import type { ReadRecord } from "../../kafka/read-batch.ts";
import type { Partition } from "./partition.ts";

export class KafkaMessage implements Message {
  /** It may be on the disk from before a crash, and only the mark is behind. */
  readonly dup = true;
  readonly retained = false;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly receivedMs: number;
  readonly mark: Mark;
  readonly isJudged: boolean;
  readonly partition: Partition;
  readonly offset: number;
  isDurable = false;

  constructor(partition: Partition, offset: number, said: Said, receivedMs: number) {
    this.partition = partition;
    this.offset = offset;
    this.topic = said.topic;
    this.payload = said.payload;
    this.isJudged = said.isJudged;
    this.receivedMs = receivedMs;
    this.mark = { key: partition.markKey, value: String(offset + 1) };
  }

  /** Topic and partition in the upper bits, the offset in the lower: whoever reads the record has the same. */
  redeliveryKey(): number {
    return this.partition.seed * offsets + (this.offset % offsets);
  }
}

const offsets = 2 ** 32;

/** What a record says. */
export interface Said {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** By whoever wrote it: neither token nor registry is asked. */
  readonly isJudged: boolean;
}

const topics = new Map<string, string>();
const topicsMax = 20_000;
const defaultType = "telemetry";

/** The topic that a record of raw messages stands for. `where`: its own place, of which the judge makes a reject. */
export function topicOf(
  { key, headers }: Pick<ReadRecord, "key" | "headers">,
  tenant: string,
  where: string,
): string {
  const text = key === null ? "" : key.toString();
  if (headers !== undefined) return byHeaders(headers, text, tenant) ?? byKey(text, tenant) ?? where;
  const known = topics.get(text);
  if (known !== undefined) return known;
  const found = byKey(text, tenant);
  if (found === undefined) return where;
  if (topics.size >= topicsMax) topics.clear();
  topics.set(text, found);
  return found;
}

function byHeaders(headers: ReadonlyMap<string, string>, key: string, tenant: string): string | undefined {
  const topic = headers.get("topic") ?? headers.get("mqtt_topic");
  if (topic !== undefined) return topic;
  const device = headers.get("device") ?? headers.get("device_id");
  const named = headers.get("tenant") ?? headers.get("tenant_id");
  const type = headers.get("type") ?? headers.get("msg_type");
  if (device === undefined && named === undefined && type === undefined) return undefined;
  return topicFrom(named ?? tenant, device ?? key, type ?? defaultType);
}

function byKey(key: string, tenant: string): string | undefined {
  const parts = key.split("/");
  if (parts.length === 5 && parts[0] === "tenant") return key;
  const [first = "", second, third] = parts;
  if (key === "" || parts.length > 3) return undefined;
  return second === undefined
    ? topicFrom(tenant, first, defaultType)
    : topicFrom(first, second, third ?? defaultType);
}

export function topicFrom(tenant: string, device: string, type: string): string {
  return `tenant/${tenant}/device/${device}/${type}`;
}
