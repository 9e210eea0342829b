/** Which topics are read, and whether they can be. */
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import { isLed } from "../../kafka/leaderless.ts";
import { named, type TopicPartition } from "../../kafka/reach.ts";
import type { Topic, Topics, Wire } from "../../kafka/requests.ts";
import { provedTopics } from "../../kafka/rights.ts";
import { counted } from "../../core/text/readable.ts";

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

/** The indexes of its partitions that this gateway reads, if no group deals them out. */
function ownPartitions({ sourcePartitions }: KafkaSettings, { leaders }: Topic): number[] {
  const own = sourcePartitions?.split(",").map(Number);
  return leaders.map((_, index) => index).filter((index) => own?.includes(index) ?? true);
}

/** What this gateway reads, and what nobody can read now, as while the one broker that has it is away. */
export function byLeader(settings: KafkaSettings, topics: readonly Topic[]) {
  const all = topics.flatMap((topic) => ownPartitions(settings, topic).map((index) => ({ topic, index })));
  const hasLeader = ({ topic, index }: TopicPartition) => isLed(topic.leaders[index]);
  const leaderless = all.filter((each) => !hasLeader(each));
  return { led: all.filter(hasLeader), leaderless: leaderless.map(named) };
}

/** Another word: the partitions or their leaders are others. */
export function leadersOf(settings: KafkaSettings, topics: readonly Topic[]): string {
  const own = (topic: Topic) => ownPartitions(settings, topic).map((index) => topic.leaders[index]);
  return JSON.stringify(topics.map((topic) => [topic.id, own(topic)]));
}

/** What is read, in words; a partition that is asked for and is not there may be made later. */
export function readWords(settings: KafkaSettings, topics: readonly Topic[]): string {
  const shown = topics.map(
    (topic) => `${topic.name} (${counted(ownPartitions(settings, topic).length, "partition")})`,
  );
  const asked = settings.sourcePartitions?.split(",").map(Number) ?? [];
  const absent = asked.filter((index) => topics.every(({ leaders }) => index >= leaders.length));
  const rest =
    absent.length === 0 ? "" : `; KAFKA_SOURCE_PARTITIONS names ${absent.join(" and ")}, and there is none`;
  return `${shown.join(", ")}${rest}`;
}

/** @throws if one of them is not there, or may be seen and not read */
export async function readableTopics(at: Wire, names: readonly string[]): Promise<Topics> {
  const found = await at.topics(names);
  provedTopics(found.topics, "read");
  return found;
}
