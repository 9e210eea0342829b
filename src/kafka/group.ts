/**
 * Membership of a group, by the client's consumer: the classic protocol with a static member, so that a gateway that is back after a
 * crash has its partitions at once (with the newer protocol it waits for 45 s). It keeps itself alive, and says nothing to anybody if it
 * does not: whoever uses it watches its heartbeats.
 */
import type { Clock } from "../core/clock.ts";
import type { Pace } from "../core/pace.ts";
import { dealOutAlike, dealOutMore } from "./deal-out.ts";
import { noConnection, openClient } from "./kafka-client.ts";
import type { ReadRecord } from "./read-batch.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import { fetchChecked, type FetchWatch } from "./group-fetch.ts";
import { answerForNobody, tellLeaderless, type NamedPartition } from "./leaderless.ts";
import { tellRefusals } from "./refusals.ts";

export interface GroupRecord extends ReadRecord {
  readonly topic: string;
  readonly partition: number;
}

export interface GroupOptions {
  readonly settings: KafkaSettings;
  readonly clientId: string;
  readonly groupId: string;
  readonly instanceId: string;
  readonly topics: readonly string[];
  readonly waitMs: number;
  readonly pace: Pace;
  readonly clock: Clock;
  /** Resolves when all of them are durable: only then they are committed. */
  take(records: readonly GroupRecord[]): Promise<void>;
  readonly watch: FetchWatch;
  /** Of those dealt to us these cannot be read now, and whether others are; none: all can again. */
  leaderless(partitions: readonly NamedPartition[], isRead: boolean): void;
  /** The partitions are about to be dealt out anew. */
  dealsAnew(): void;
  /** The group knows us. */
  heard(): void;
  /** It does not take us in, or gives us nothing to read, and that does not end by itself. */
  refused(error: unknown): void;
}

/** Leaders are looked for as often without a group. */
const lookEveryMs = 30_000;

/** Resolves when the group's coordinator is found, which may take as long as the brokers are away. */
export async function joinGroup(options: GroupOptions): Promise<{ leave(): Promise<void> }> {
  const { settings, clientId, groupId, instanceId, topics, waitMs, clock, take } = options;
  const { library, client, cluster } = await openClient(settings, clientId);
  tellLeaderless(library, cluster);
  dealOutAlike(library, cluster, topics);
  fetchChecked(library, cluster, options);
  const forget = answerForNobody(library, cluster, options);
  const look = dealOutMore(library, cluster, groupId, topics);
  tellRefusals(library, cluster, {
    ...options,
    unconnected: (error) => options.refused(noConnection(settings, error)),
  });
  // The library makes one of its own otherwise.
  client.createCluster = () => cluster;
  const consumer = await client.startConsumer({
    topics: [...topics],
    groupId,
    groupInstanceId: instanceId,
    groupProtocol: "classic",
    // Who is new to the topic reads it from its beginning.
    fromTimestamp: -2n,
    maxWaitMs: waitMs,
    retrier: async (work) => {
      await work();
    },
    onBatch: async (messages, { resolveOffset }) => {
      await take(
        messages.map(({ topic, partition, value }) => ({
          ...(value as unknown as ReadRecord),
          topic,
          partition,
        })),
      ).catch((error: unknown) => {
        options.refused(error);
        throw error;
      });
      // Also if the partitions are about to be dealt out anew: the library would commit nothing, and whoever gets one read this once more.
      for (const message of messages) resolveOffset(message);
    },
  });
  // Of a log that lost its end what is new has offsets that were committed before. What was read already whoever takes it tells.
  consumer["offsetManager"].isResolved = () => false;
  consumer.on("rebalanceInProgress", () => {
    forget();
    options.dealsAnew();
    // Of a partition that is new to it the library would ask no node in particular.
    void consumer["fetchMetadata"]().catch(() => {});
  });
  const looking = clock.every(lookEveryMs, () => void look(consumer).catch(() => {}));
  return {
    leave() {
      looking.cancel();
      return consumer.close();
    },
  };
}
