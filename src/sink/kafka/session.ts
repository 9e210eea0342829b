/**
 * A session with Kafka: one producer of the gateway's transactional id, from its first request to its first error.
 *
 * Records, position and commit are one transaction, in three requests if the cluster can (Produce, TxnOffsetCommit, EndTxn: KIP-890),
 * else by the older flow. After any error the session is closed and another opened, which ends what was left open, shuts an older
 * process of this id out and reads the position: no transaction is ever repaired, so there is one way back from every fault.
 */
import type { Clock } from "../../core/clock.ts";
import type { Compression, Producer, RecordBatch } from "../../kafka/batch.ts";
import { isPassing, type KafkaError } from "../../kafka/error.ts";
import { TooMuch } from "../../kafka/paced.ts";
import { patiently } from "../../kafka/patience.ts";
import type { KafkaSettings } from "../../kafka/kafka-settings.ts";
import { mustBeLed } from "../../kafka/leaderless.ts";
import type { Batch, Topic, Wire } from "../../kafka/requests.ts";
import { provedGroup, provedTopics } from "../../kafka/rights.ts";
import { connectWire } from "../../kafka/wire.ts";
import { readPositions, writePositions, type KeptPosition, type Place, type Positions } from "./kept.ts";

/** What goes to one partition, as batches that the broker takes one at a time. */
export interface Load {
  readonly topic: Topic;
  readonly partition: number;
  readonly batches: readonly RecordBatch[];
}

/** A batch that was refused, and why. */
export interface Fault {
  readonly batch: RecordBatch;
  readonly error: KafkaError;
}

export interface SessionOptions {
  readonly settings: KafkaSettings;
  readonly names: { readonly transactionalId: string; readonly group: string };
  readonly kept: KeptPosition;
  readonly clock: Clock;
  /** The position was not there but is known from the file. */
  readonly gone: () => void;
}

export class Session {
  readonly validated: Topic;
  readonly rejected: Topic;
  /** How far each start of the spool has got. */
  readonly positions: Positions;
  readonly openedMs: number;
  usedMs: number;
  /** When the transaction under way began, if there is one. */
  #begunMs: number | undefined;
  readonly #options: SessionOptions;
  readonly #wire: Wire;
  readonly #place: Place;
  readonly #level: number;
  readonly #nodes: { readonly transactions: number; readonly group: number };
  #producer: Producer;
  /** Topic and partition → the next sequence number, of this epoch of the producer. */
  #sequences = new Map<string, number>();

  static async open(options: SessionOptions): Promise<Session> {
    const { settings, names, kept, clock } = options;
    const wire = await connectWire(settings, names.transactionalId, clock);
    try {
      const { clusterId, topics } = await wire.topics([settings.validatedTopic, settings.errorTopic]);
      const [validated, rejected] = topics as [Topic, Topic];
      // Else each try would leave its records, aborted, in the topics.
      provedTopics(topics, "write");
      provedTopics([validated], "read");
      const transactions = await wire.coordinator("transaction", names.transactionalId);
      const group = await provedGroup(wire, names.group);
      const level = await wire.transactionLevel();
      const producer = await wire.initProducer(
        transactions,
        names.transactionalId,
        settings.transactionTimeoutMs,
      );
      const held = await wire.offset(group, { group: names.group, topic: validated, partition: 0 });
      const place = { clusterId, topicId: validated.id };
      const told = readPositions(held?.words ?? "");
      const positions = told.size > 0 ? told : kept.read(place);
      if (told.size === 0 && positions.size > 0) options.gone();
      return new Session(options, wire, {
        validated,
        rejected,
        place,
        level,
        nodes: { transactions, group },
        producer,
        positions,
      });
    } catch (error) {
      void wire.close();
      throw error;
    }
  }

  private constructor(
    options: SessionOptions,
    wire: Wire,
    found: {
      readonly validated: Topic;
      readonly rejected: Topic;
      readonly place: Place;
      readonly level: number;
      readonly nodes: { readonly transactions: number; readonly group: number };
      readonly producer: Producer;
      readonly positions: Positions;
    },
  ) {
    this.#options = options;
    this.#wire = wire;
    this.validated = found.validated;
    this.rejected = found.rejected;
    this.positions = found.positions;
    this.#place = found.place;
    this.#level = found.level;
    this.#nodes = found.nodes;
    this.#producer = found.producer;
    this.openedMs = options.clock.monoMs();
    this.usedMs = this.openedMs;
  }

  /** Sends the records of a transaction. @returns what was refused as the records' own fault: the session is to be closed then. @throws every other error */
  async produce(loads: readonly Load[], compression: Compression): Promise<readonly Fault[]> {
    this.#touch();
    mustBeLed(loads);
    this.#begunMs = this.usedMs;
    if (this.#level < 2) await this.#wire.announce(this.#nodes.transactions, this.#sender, loads);
    const faults: Fault[] = [];
    const rounds = Math.max(0, ...loads.map(({ batches }) => batches.length));
    for (let round = 0; round < rounds; round++) {
      const due = loads.filter(({ batches }) => round < batches.length);
      const byLeader = [...Map.groupBy(due, ({ topic, partition }) => topic.leaders[partition] ?? -1)];
      const found = await Promise.all(byLeader.map(([node, of]) => this.#send(node, of, round, compression)));
      faults.push(...found.flat());
    }
    return faults;
  }

  /** Puts the position into the transaction and commits it. */
  async commit(): Promise<void> {
    this.#touch();
    this.#leftMs();
    try {
      await this.#commit();
    } catch (error) {
      // Over meanwhile, as on a machine that was paused?
      this.#leftMs(error);
      throw error;
    }
  }

  async #commit(): Promise<void> {
    const { group } = this.#options.names;
    const sender = this.#sender;
    const words = writePositions(this.positions);
    const offset = [...this.positions.values()].at(-1)?.seq ?? 0;
    if (this.#level < 2) await this.#wire.announceGroup(this.#nodes.transactions, sender, group);
    const at = { group, topic: this.validated, partition: 0, offset, words };
    await this.#wire.commitOffset(this.#nodes.group, sender, this.#level, at);
    const producer = await this.#wire.endTransaction(this.#nodes.transactions, sender, this.#level);
    if (producer.epoch !== this.#producer.epoch || producer.id !== this.#producer.id) this.#sequences.clear();
    this.#producer = producer;
    this.#begunMs = undefined;
    this.#options.kept.write(this.#place, words);
  }

  /** What is not committed is aborted by whoever opens the next session, or by the broker in time. */
  close(): void {
    void this.#wire.close();
  }

  get #sender() {
    return { transactionalId: this.#options.names.transactionalId, producer: this.#producer };
  }

  #touch(): void {
    this.usedMs = this.#options.clock.monoMs();
  }

  /** How long the transaction may still last. @throws if it is over: the brokers abort it, and then say what they say if another has its name */
  #leftMs(cause?: unknown): number {
    const { clock, settings } = this.#options;
    const leftMs = (this.#begunMs ?? clock.monoMs()) + settings.transactionTimeoutMs - clock.monoMs();
    if (leftMs > 0) return leftMs;
    throw new TooMuch(
      "Kafka: a transaction takes longer than KAFKA_TRANSACTION_TIMEOUT_MS: less is sent at a time",
      { cause },
    );
  }

  /** One round to one node. Of what is refused in passing only that is sent again. */
  async #send(
    node: number,
    loads: readonly Load[],
    round: number,
    compression: Compression,
  ): Promise<Fault[]> {
    let rest = loads.map(({ topic, partition, batches }) => {
      const batch = batches[round] as RecordBatch;
      const key = `${topic.name}/${partition}`;
      const sequence = this.#sequences.get(key) ?? 0;
      this.#sequences.set(key, (sequence + batch.count) & 0x7fffffff);
      return {
        topic,
        partition,
        batch,
        key,
        sequence,
        bytes: batch.finish(this.#producer, sequence, compression),
      };
    });
    const faults: Fault[] = [];
    const { clock, settings } = this.#options;
    await patiently({ clock, timeoutMs: settings.timeoutMs }, async () => {
      const errors = await this.#wire.produce(node, this.#sender, this.#level, rest, this.#leftMs());
      const errorOf = ({ topic, partition }: Pick<Batch, "topic" | "partition">) =>
        errors.find(({ where }) => where?.topic === topic.name && where.partition === partition);
      rest = rest.filter((sent) => errorOf(sent) !== undefined);
      const lasting = errors.find((error) => !isPassing(error) && !error.isOfRecords);
      if (lasting !== undefined) throw lasting;
      for (const sent of rest) {
        const error = errorOf(sent);
        if (!error?.isOfRecords) continue;
        faults.push({ batch: sent.batch, error });
        // It is not in the log, so that the next batch follows the one before it.
        this.#sequences.set(sent.key, sent.sequence);
      }
      rest = rest.filter((sent) => !errorOf(sent)?.isOfRecords);
      const passing = errors.find(isPassing);
      if (passing !== undefined) throw passing;
    });
    return faults;
  }
}
