/**
 * A record as a message: who speaks is in its headers, else in its key.
 *
 *   header `topic`                               tenant/{tenant}/device/{device}/{type}, as at an MQTT broker
 *   headers `tenant`, `device`, `type`           or tenant_id, device_id, msg_type
 *   key                                          the topic, {tenant}/{device}/{type}, {tenant}/{device}, or {device}
 *
 * A type that nobody names is telemetry, a tenant that nobody names is KAFKA_SOURCE_TENANT. A topic may be one that a mapping takes; with
 * KAFKA_SOURCE_KEY=topic the key is one. The judge says no to what is none of these.
 */
import type { Mark, Message } from "../../core/message.ts";
import { ownTopic } from "../../core/topic-level.ts";
import type { ReadRecord } from "../../kafka/read-batch.ts";
import type { Partition } from "./partition.ts";

export class KafkaMessage implements Message {
  /** It may be on the disk from before a crash, and only the mark is behind. */
  readonly dup = true;
  readonly retained = false;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly receivedMs: number;
  mark: Mark;
  readonly isJudged: boolean;
  readonly partition: Partition;
  readonly offset: number;
  readonly epoch: number;
  readonly #timeMs: number;
  isDurable = false;

  constructor(partition: Partition, record: Placed, said: Content, receivedMs: number) {
    const { offset, timeMs, epoch } = record;
    this.partition = partition;
    this.offset = offset;
    this.epoch = epoch;
    this.#timeMs = timeMs;
    this.topic = said.topic;
    this.payload = said.payload;
    this.isJudged = said.isJudged;
    this.receivedMs = receivedMs;
    this.mark = partition.markAt(offset + 1, epoch);
  }

  /**
   * Topic, partition, time and bytes in the upper bits, the offset in the lower: whoever reads the record has the same. The offset alone
   * would not do: a log that lost its end, as by a power cut, gives it to another record.
   */
  redeliveryKey(): number {
    const seed = (this.partition.seed ^ this.#timeMs) >>> 0;
    return (
      Number(Bun.hash.wyhash(this.payload, BigInt(seed)) & 0x1f_ffffn) * offsets + (this.offset % offsets)
    );
  }
}

type Placed = Pick<ReadRecord, "offset" | "timeMs" | "epoch">;

const offsets = 2 ** 32;

/** What a record says. */
export interface Content {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** By whoever wrote it: neither token nor registry is asked. */
  readonly isJudged: boolean;
}

const defaultType = "telemetry";

interface Naming {
  /** Of a device whose tenant nobody names. */
  readonly tenant: string;
  readonly key: "device" | "topic";
}

/** The topic that a record of raw messages stands for. `where`: its own place, of which the judge makes a reject. */
export function topicOf(record: Pick<ReadRecord, "key" | "headers">, naming: Naming, where: string): string {
  const key = record.key === null ? "" : record.key.toString();
  const topic = record.headers?.get("topic") ?? record.headers?.get("mqtt_topic");
  if (topic !== undefined) return topic;
  if (naming.key === "topic") return key === "" ? where : key;
  const named = record.headers && byHeaders(record.headers, key, naming.tenant);
  return named ?? byKey(key, naming.tenant) ?? where;
}

function byHeaders(headers: ReadonlyMap<string, string>, key: string, tenant: string): string | undefined {
  const device = headers.get("device") ?? headers.get("device_id");
  const named = headers.get("tenant") ?? headers.get("tenant_id");
  const type = headers.get("type") ?? headers.get("msg_type");
  if (device === undefined && named === undefined && type === undefined) return undefined;
  return ownTopic(named ?? tenant, device ?? key, type ?? defaultType);
}

function byKey(key: string, tenant: string): string | undefined {
  const parts = key.split("/");
  if (parts.length === 5 && parts[0] === "tenant") return key;
  const [first = "", second, third] = parts;
  if (key === "" || parts.length > 3) return undefined;
  return second === undefined
    ? ownTopic(tenant, first, defaultType)
    : ownTopic(first, second, third ?? defaultType);
}
