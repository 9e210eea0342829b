/** What can be read now: the topics as they are, the partitions whose leader answers, and those that have to wait. */
import { systemClock } from "../../core/clock.ts";
import { KafkaError, whyUnread } from "../../kafka/error.ts";
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import { leaderlessWords, nothingReadWords, type NamedPartition } from "../../kafka/leaderless.ts";
import { byReach, type TopicPartition } from "../../kafka/reach.ts";
import type { Wire } from "../../kafka/requests.ts";
import { provedGroup } from "../../kafka/rights.ts";
import { connectWire } from "../../kafka/wire.ts";
import { byLeader, leadersOf, readableTopics, readWords, topicNames } from "./topics.ts";

interface Look {
  readonly led: readonly TopicPartition[];
  /** No broker leads them, or the one that does cannot be reached from here. */
  readonly unread: readonly NamedPartition[];
  readonly words: string;
  /** Another one: leaders, partitions or who can be reached are others. */
  readonly picture: string;
}

/** @throws if one of the topics is not there or may not be read, or no partition can be read */
export async function look(at: Wire, settings: KafkaSettings, names: readonly string[]): Promise<Look> {
  const { topics } = await readableTopics(at, names);
  const { led: all, leaderless } = byLeader(settings, topics);
  // A connection that cannot be made would end those to the others.
  const { reached: led, unreached, nodes } = await byReach(at, all);
  const unread = [...leaderless, ...unreached];
  const words = readWords(settings, topics);
  if (led.length === 0) throw new Error(nothingReadWords(words, unread));
  return { led, unread, words, picture: JSON.stringify([leadersOf(settings, topics), nodes]) };
}

/**
 * Whether there is another picture by now. What no broker in particular is asked goes over the connection that was made first: if that
 * has ended while those to others go on, and a new one can be made, the answer is yes as well, for then all are made anew.
 * @param signal it has ended because we closed it
 */
export async function isAnother(
  picture: string,
  at: Wire,
  signal: AbortSignal,
  asked: (ask: (at: Wire) => Promise<Look>) => Promise<Look>,
  lookBy: (at: Wire) => Promise<Look>,
): Promise<boolean> {
  try {
    return (await lookBy(at)).picture !== picture;
  } catch (error) {
    if (error instanceof KafkaError || signal.aborted) throw error;
    await asked(lookBy);
    return true;
  }
}

/** For `check`. */
export async function probe(settings: KafkaSettings): Promise<string> {
  const names = topicNames(settings);
  const told = (error: unknown) =>
    new Error(`Kafka: ${whyUnread(error, names, settings.groupId)}`, { cause: error });
  const wire = await connectWire(settings, "sluice-check", systemClock).catch((error: unknown) => {
    throw told(error);
  });
  try {
    const ask = async () => {
      const found = await look(wire, settings, names);
      if (settings.groupId !== undefined) await provedGroup(wire, settings.groupId);
      return found;
    };
    const { words, unread } = await ask().catch((error: unknown) => {
      throw told(error);
    });
    if (unread.length > 0) throw new Error(`Kafka: ${leaderlessWords(unread)}`);
    return `Kafka at ${wire.place}: ${words}`;
  } finally {
    void wire.close();
  }
}
