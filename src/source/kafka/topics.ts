/** Which topics are read, and whether they can be. */
import { systemClock } from "../../core/clock.ts";
import { whyUnread } from "../../kafka/error.ts";
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import { connectWire } from "../../kafka/wire.ts";

/** What these settings want to be read. */
export function topicNames({
  sourceTopic,
  validatedSource,
  validatedTopic,
  errorTopic,
}: KafkaSettings): string[] {
  const names = [
    ...(sourceTopic === undefined ? [] : [sourceTopic]),
    ...(validatedSource ? [validatedTopic, errorTopic] : []),
  ];
  return [...new Set(names)];
}

/** For `check`. */
export async function probe(settings: KafkaSettings): Promise<string> {
  const names = topicNames(settings);
  const unread = (error: unknown) => new Error(`Kafka: ${whyUnread(error, names)}`, { cause: error });
  const wire = await connectWire(settings, "sluice-check", systemClock).catch((error: unknown) => {
    throw unread(error);
  });
  try {
    const { topics } = await wire.topics(names).catch((error: unknown) => {
      throw unread(error);
    });
    for (const { name, may } of topics)
      if (may("read") === false)
        throw new Error(`the gateway's user may not read ${name}: allow it READ on the topic`);
    return `Kafka at ${wire.place}: ${topics.map(({ name, leaders }) => `${name} (${leaders.length} partitions)`).join(", ")}`;
  } finally {
    void wire.close();
  }
}
