/** Which partitions can be had from here: each broker that leads some is asked for something, at the address that it advertises. */
import { explain } from "../core/log/log.ts";
import { KafkaError } from "./error.ts";
import type { NamedPartition } from "./leaderless.ts";
import type { Topic, Wire } from "./requests.ts";

export interface TopicPartition {
  readonly topic: Topic;
  readonly index: number;
}

interface Reach {
  readonly reached: readonly TopicPartition[];
  readonly unreached: readonly NamedPartition[];
  /** The brokers that lead those. */
  readonly nodes: readonly number[];
}

export const named = ({ topic, index }: TopicPartition): NamedPartition => ({ topic: topic.name, index });

/** @param all each of which a broker leads */
export async function byReach(at: Wire, all: readonly TopicPartition[]): Promise<Reach> {
  const byNode = Map.groupBy(all, ({ topic, index }) => topic.leaders[index] ?? -1);
  const asked = await Promise.all(
    [...byNode].map(async ([node, of]) => ({ node, of, why: await whyUnreached(at, node, of[0]) })),
  );
  return {
    reached: asked.flatMap(({ of, why }) => (why === undefined ? of : [])),
    unreached: asked.flatMap(({ of, why }) =>
      why === undefined ? [] : of.map((each) => ({ ...named(each), why })),
    ),
    nodes: asked.flatMap(({ node, why }) => (why === undefined ? [] : [node])).sort((a, b) => a - b),
  };
}

async function whyUnreached(at: Wire, node: number, first?: TopicPartition): Promise<string | undefined> {
  try {
    if (first) await at.logEnd(node, first.topic.name, first.index, "latest");
    return undefined;
  } catch (error) {
    // What is wrong with the partition whoever reads it or writes to it tells.
    return error instanceof KafkaError ? undefined : explain(error);
  }
}
