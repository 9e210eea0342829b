/**
 * The Kafka source: reads topics with its own offsets, which are written in the transaction that makes the messages durable. So nothing
 * is lost or doubled however the gateway ends. If several gateways share a topic as a group, see group.ts.
 *
 * Topics: KAFKA_SOURCE_TOPIC holds what devices send, and is judged. KAFKA_VALIDATED_SOURCE reads what a gateway or an existing pipeline
 * has judged; whoever may write to that topic is trusted with it, and its errors are counted.
 */
import { backoffMs, sleep, type Timer } from "../../core/clock.ts";
import { explain } from "../../core/log/log.ts";
import type { Intake } from "../../core/message.ts";
import { Said } from "../../core/log/said.ts";
import { isoOf } from "../../core/text/iso.ts";
import { sourceKind, type Source, type SourceParts } from "../../core/source.ts";
import { whyUnread } from "../../kafka/error.ts";
import { kafkaSettings, type KafkaSettings } from "../../kafka/kafka-settings.ts";
import { leaderlessWords, nothingReadWords, type NamedPartition } from "../../kafka/leaderless.ts";
import { createFetchPace, isTooSlow } from "../../kafka/paced.ts";
import type { Topic, Wire } from "../../kafka/requests.ts";
import { provedGroup } from "../../kafka/rights.ts";
import { unpackedBytesMax } from "../../kafka/unpack.ts";
import { connectWire } from "../../kafka/wire.ts";
import { readAsGroup } from "./group.ts";
import { groupPartitions } from "./group-partitions.ts";
import { KafkaMessage } from "./message.ts";
import { isAnother, look, probe } from "./look.ts";
import { epochKeyOf, markKeyOf, Partition } from "./partition.ts";
import { readAll } from "./reader.ts";
import { createSay, isCountedOnly } from "./say.ts";
import { topicNames } from "./topics.ts";

/** A row of the list of sources. What is wrong with its settings the sink of the same name says: they are the same. */
export const kafka = sourceKind({
  name: "kafka",
  title: "Kafka",
  settings: kafkaSettings,
  counts: {
    lag: "Records that are in the partitions and not read yet.",
    tombstones: "Records without a value, which are no messages.",
    errors_counted: "Records of KAFKA_ERROR_TOPIC, which are counted and not taken.",
    lost: "Records that Kafka removed before they were read.",
    lost_at: "When that was noticed last; ISO 8601, UTC.",
    unread: "Why some partitions are not read now, while the others are; null: all are.",
  },
  isAsked: ({ servers, sourceTopic, validatedSource }) =>
    servers !== undefined && (sourceTopic !== undefined || validatedSource),
  probe,
  open: openKafkaSource,
  memory: () => [{ part: "a batch of Kafka, unpacked", bytes: unpackedBytesMax }],
});

type Options = Pick<SourceParts<KafkaSettings>, "settings" | "gatewayId" | "clock" | "log" | "marks">;

const retry = { baseMs: 250, maxMs: 5_000 };
/** Leaders and partitions are looked at again this often. */
const lookAgainMs = 30_000;
const leaderlessLookMs = 5_000;
const commitEveryMs = 5_000;

export function openKafkaSource({ settings, gatewayId, clock, log, marks }: Options): Source {
  const name = `sluice-${gatewayId}-source`;
  const names = topicNames(settings);
  const place = settings.servers ?? "";
  const waitMs = Math.max(1, Math.min(settings.pollSeconds * 1000, settings.timeoutMs / 2));
  const pace = createFetchPace();
  const partitions = new Map<string, Partition>();
  const counted = { reconnects: 0, tombstones: 0, errors: 0, lost: 0 };
  let lostMs: number | null = null;
  const first = Promise.withResolvers<void>();
  let connection = new AbortController();
  let connected = false;
  /** The last connection ended since an answer did not get through: this one reads once one does. */
  let isSlow = false;
  const stopping = new AbortController();
  let detail = `${place}: not started`;
  /** Why some partitions wait for a leader. */
  let waits = "";
  const troubles = new Said();
  let wire: Wire | undefined;
  let committing: Timer | undefined;
  let running: Promise<void> = Promise.resolve();

  const say = createSay(settings, counted);

  function lost(partition: Partition, from: number, to: number): void {
    const count = Math.max(0, to - from);
    counted.lost += count;
    if (count > 0) lostMs = clock.wallMs();
    log.error(
      { topic: partition.topic.name, partition: partition.index, from, to, lost: count },
      count > 0
        ? "records were removed by Kafka's retention before they were read"
        : "the partition lost records that were read already: read on at its end, or where what is new begins",
    );
  }

  const readerParts = (intake: Intake, { signal }: AbortController) => ({
    intake,
    clock,
    log,
    waitMs,
    pace,
    signal,
    say,
    lost,
  });

  async function run(intake: Intake): Promise<void> {
    for (let attempt = 0; !stopping.signal.aborted;) {
      const startedMs = clock.monoMs();
      const now = new AbortController();
      connection = now;
      try {
        await (settings.groupId === undefined
          ? session(intake, now)
          : membership(intake, now, settings.groupId));
        attempt = 0;
      } catch (error) {
        isSlow ||= isTooSlow(error);
        // What was given up by ourselves ends with an error as well.
        if (!now.signal.aborted) over(whyUnread(error, names, settings.groupId));
        if (clock.monoMs() - startedMs > lookAgainMs) attempt = 0;
        first.resolve();
        await sleep(clock, backoffMs(attempt++, retry.baseMs, retry.maxMs), connection.signal);
      }
    }
  }

  function over(why: string): void {
    if (connected) counted.reconnects++;
    connected = false;
    if (stopping.signal.aborted) return;
    const said = `${place}: ${why}`;
    if (troubles.isNew(said)) log.warn({ kafka: place }, said);
    [detail, waits] = [said, ""];
  }

  /** One connection, until it ends, or the partitions or their leaders are others. */
  async function session(intake: Intake, now: AbortController): Promise<void> {
    const at = await connectWire(settings, name, clock);
    wire = at;
    now.signal.addEventListener("abort", () => void at.close());
    let again: Timer | undefined;
    try {
      const { led, unread, words, picture } = await look(at, settings, names);
      const lookMs = unread.length > 0 ? leaderlessLookMs : lookAgainMs;
      again = clock.every(lookMs, () => void lookAgain(at, now, picture));
      const read = await Promise.all(led.map(({ topic, index }) => partitionOf(at, topic, index)));
      const isUnread = ({ topic, index }: Partition) =>
        unread.some((one) => one.topic === topic.name && one.index === index);
      for (const partition of partitions.values())
        if (!read.includes(partition) && !isUnread(partition)) partition.forget();
      if (!isSlow) reads(words, unread);
      await readAll({
        wire: at,
        partitions: read,
        ...readerParts(intake, now),
        answered() {
          if (isSlow) reads(words, unread);
          isSlow = false;
        },
      });
    } finally {
      again?.cancel();
      void at.close();
      wire = undefined;
    }
  }

  /** By a connection of its own. */
  async function asked<T>(ask: (at: Wire) => Promise<T>): Promise<T> {
    const at = await connectWire(settings, name, clock);
    return ask(at).finally(() => void at.close());
  }

  /** One membership, until it ends. */
  async function membership(intake: Intake, now: AbortController, groupId: string): Promise<void> {
    const dealt = await groupPartitions({ names, partitions, marks, clock, log, asked, lost });
    // The library asks it without end, and tells nobody that it may not, or that it cannot be reached.
    await asked((at) => provedGroup(at, groupId));
    await readAsGroup({
      ...dealt,
      settings,
      groupId,
      gatewayId,
      topics: names,
      ...readerParts(intake, now),
      reads(leaderless, isRead) {
        const what = `${names.join(", ")} in the group ${groupId}`;
        if (isRead) reads(what, leaderless);
        else over(nothingReadWords(what, leaderless));
      },
    });
  }

  function reads(what: string, leaderless: readonly NamedPartition[]): void {
    const before = waits;
    [detail, waits] = [`${place}: reading ${what}`, leaderlessWords(leaderless)];
    if (!connected) log.info({ kafka: place }, `reading ${what}`);
    if (waits !== "" && waits !== before) log.warn({ kafka: place }, `${waits}; the others are read`);
    connected = true;
    troubles.forget();
    first.resolve();
  }

  async function partitionOf(at: Wire, topic: Topic, index: number): Promise<Partition> {
    const key = markKeyOf(topic, index);
    const known = partitions.get(key);
    const mark = marks.get(key);
    const node = topic.leaders[index] ?? -1;
    const partition =
      known ??
      (mark === undefined
        ? new Partition(topic, index, await startOf(at, topic, index, node))
        : Partition.from(topic, index, mark, marks.get(epochKeyOf(key))));
    partitions.set(key, partition);
    partition.topic = topic;
    return partition;
  }

  /** From the beginning; but errors are only counted, and those before this gateway's first start are no news. */
  function startOf(at: Wire, { name: topic }: Topic, index: number, node: number): Promise<number> {
    return at.logEnd(node, topic, index, isCountedOnly(settings, topic) ? "latest" : "earliest");
  }

  async function lookAgain(at: Wire, now: AbortController, before: string): Promise<void> {
    try {
      if (await isAnother(before, at, now.signal, asked, (by) => look(by, settings, names))) now.abort();
    } catch (error) {
      log.debug({ error: explain(error) }, "Kafka's partitions cannot be looked at now");
    }
  }

  /** So that Kafka's own tools show how far behind it is; nothing is read from it. */
  async function commitOffsets(): Promise<void> {
    const at = wire;
    if (at === undefined) return;
    try {
      const node = await at.coordinator("group", name);
      await at.tellOffsets(
        node,
        [...partitions.values()].map(({ topic, index, durable }) => ({
          group: name,
          topic,
          partition: index,
          offset: durable,
          words: "",
        })),
      );
    } catch (error) {
      log.debug({ error: explain(error) }, "Kafka was not told how far this gateway has read");
    }
  }

  return {
    async start(intake) {
      running = run(intake);
      committing = clock.every(commitEveryMs, () => void commitOffsets());
      await Promise.race([first.promise, sleep(clock, settings.timeoutMs)]);
    },
    durable(messages) {
      for (const message of messages)
        if (message instanceof KafkaMessage) message.partition.noteDurable(message);
    },
    reconnect() {
      for (const partition of partitions.values()) partition.rewind();
      connection.abort();
    },
    async stopIntake() {
      stopping.abort();
      committing?.cancel();
      connection.abort();
      await running;
    },
    async close() {
      await this.stopIntake();
      connected = false;
      detail = `${place}: closed`;
    },
    status() {
      const all = [...partitions.values()];
      const stuck = all.map((each) => each.trouble?.why ?? each.heldBack()).find((why) => why !== undefined);
      return {
        kind: "kafka",
        connected,
        detail: [detail, waits, stuck].filter(Boolean).join("; "),
        reconnects: counted.reconnects,
        unacknowledged: all.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0),
        lag: all.reduce((sum, { lag }) => sum + lag, 0),
        tombstones: counted.tombstones,
        errors_counted: counted.errors,
        lost: counted.lost,
        lost_at: isoOf(lostMs),
        unread: connected ? [waits, stuck].filter(Boolean).join("; ") || null : null,
      };
    },
    counters: ["tombstones", "errors_counted", "lost"],
  };
}
