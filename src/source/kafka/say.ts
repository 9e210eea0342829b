/**
 * What a record says: a message as a device sent it, one that was judged already, or nothing. Which of them is known by the topic, and
 * what is nothing is counted here.
 */
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import type { ReadRecord } from "../../kafka/read-batch.ts";
import { topicOf, type Content } from "./message.ts";
import type { Partition } from "./partition.ts";
import { saidByValidated } from "./validated.ts";

/** @param counted is counted up */
export function createSay(settings: KafkaSettings, counted: { tombstones: number; errors: number }) {
  const { sourceTopic, sourceTenant, sourceKey } = settings;
  const naming = { tenant: sourceTenant, key: sourceKey };

  return ({ topic, index }: Partition, record: ReadRecord): Content | undefined => {
    const { value } = record;
    if (value === null) {
      counted.tombstones++;
      return undefined;
    }
    if (isCountedOnly(settings, topic.name)) {
      counted.errors++;
      return undefined;
    }
    const where = `${topic.name}/${index}/${record.offset}`;
    if (topic.name === sourceTopic)
      return { topic: topicOf(record, naming, where), payload: value, isJudged: false };
    return saidByValidated(value, sourceTenant) ?? { topic: where, payload: value, isJudged: false };
  };
}

/** The topic of errors, unless it is read for its messages. */
export function isCountedOnly({ errorTopic, sourceTopic }: KafkaSettings, topic: string): boolean {
  return topic === errorTopic && topic !== sourceTopic;
}
