/**
 * The Kafka sink: exactly once. The records of a batch and the position they came from are one transaction of the gateway's own
 * transactional id; what a lost answer hides is found by reading the position again (session.ts).
 *
 * The position is an offset of a group that nobody joins, with the totals in its metadata. It is committed daily also if nothing comes,
 * for Kafka forgets it after a week. What a broker says of records (too large, a time that is not taken) is looked into by verdicts.ts.
 */
import type { Clock } from "../../core/clock.ts";
import { isFor, type Entry } from "../../core/entry.ts";
import { KnownPositions } from "../../core/known-positions.ts";
import { explain } from "../../core/log/log.ts";
import { Outage } from "../../core/outage.ts";
import { createPace } from "../../core/pace.ts";
import { advanced, outcomeBetween, refusedOf } from "../../core/position.ts";
import {
  sinkKind,
  type Delivery,
  type Outcome,
  type Position,
  type Sink,
  type SinkParts,
} from "../../core/sink.ts";
import { createTurns } from "../../core/turns.ts";
import { asOutage } from "../../kafka/error.ts";
import { kafkaMistakes, kafkaSettings, type KafkaSettings } from "../../kafka/kafka-settings.ts";
import { leaderlessWords, mustBeInSync, mustBeLedWhole } from "../../kafka/leaderless.ts";
import { inPace } from "../../kafka/paced.ts";
import { byReach } from "../../kafka/reach.ts";
import { provedTopics, provedTransaction } from "../../kafka/rights.ts";
import { connectWire } from "../../kafka/wire.ts";
import { createKeptPosition } from "./kept.ts";
import { createPacker } from "./pack.ts";
import { createEncoder } from "./record.ts";
import { Session } from "./session.ts";
import { strikesMax, Verdicts } from "./verdicts.ts";
import { createWitness } from "./witness.ts";
import { counted } from "../../core/text/readable.ts";

/** A row of the list of sinks. */
export const kafka = sinkKind({
  name: "kafka",
  title: "Kafka",
  settings: kafkaSettings,
  counts: {
    transactions: "Transactions committed.",
    sessions: "Connections opened as a producer: one every five minutes at most, and one after an error.",
    split: "Batches sent again without what the broker refused of them.",
  },
  isAsked: ({ servers, sinkEnabled, validatedSource }) =>
    servers !== undefined && sinkEnabled && !validatedSource,
  mistakes: kafkaMistakes,
  open: openKafkaSink,
});

const entriesMax = 5_000;
const bytesMax = 4 * 1024 * 1024;
/** A transaction costs three requests and about a millisecond of CPU whatever is in it: it waits until it is worth it. */
const batchTrigger = 2_000;
const lingerMs = 50;
/** Brokers close a connection that is quiet for 10 minutes (`connections.max.idle.ms`). */
const quietMaxMs = 240_000;
/** Java's client looks as often whether a topic has more partitions (`metadata.max.age.ms`); a session knows those of its beginning. */
const sessionMaxMs = 300_000;
/** Any entry that comes may be the proof that the others are refused for their own sake. */
const unprovenRetryMs = 5_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Requests of one delivery that may each take all their time, beside what a transaction may rest for the sake of a quota. */
const requestsPerDelivery = 8;

const isMeant = (entry: Entry) => isFor("kafka", entry);

export function openKafkaSink(parts: SinkParts<KafkaSettings>): Sink {
  const { settings, gatewayId, dataDir, devicesMax, clock, log } = parts;
  const name = `sluice-${gatewayId}`;
  const names = {
    transactionalId: name,
    group: name,
    topics: [settings.validatedTopic, settings.errorTopic],
  };
  const options = {
    settings,
    names,
    kept: createKeptPosition(dataDir),
    clock,
    gone: () =>
      log.info(
        { group: name },
        "Kafka holds the position no more (it forgets it after a week, and a reset of the group's offsets takes it away): that kept in DATA_DIR counts",
      ),
  };
  const known = new KnownPositions();
  const pace = createPace(entriesMax);
  const packer = createPacker(createEncoder(gatewayId, settings.deviceId, devicesMax), () => clock.wallMs());
  const witness = createWitness(isMeant);
  const counts = { transactions: 0, sessions: 0, split: 0 };
  /** A delivery that the drain gave up may still be under way: the next waits for it, at most as long as its requests may take. */
  const exclusive = createTurns();
  let session: Session | undefined;
  let committedMs = Number.NEGATIVE_INFINITY;

  async function opened(): Promise<Session> {
    const nowMs = clock.monoMs();
    if (session && (nowMs - session.usedMs > quietMaxMs || nowMs - session.openedMs > sessionMaxMs)) drop();
    if (session === undefined) {
      session = await Session.open(options);
      counts.sessions++;
    }
    return session;
  }

  function drop(): void {
    session?.close();
    session = undefined;
  }

  /** Whatever goes wrong, the session goes with it. */
  async function safely<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      drop();
      throw asOutage(error, names);
    }
  }

  async function commit(at: Session): Promise<void> {
    await at.commit();
    committedMs = clock.monoMs();
    counts.transactions++;
  }

  async function positions(epochs: readonly string[]): Promise<Position[]> {
    drop();
    const at = await opened();
    return known.read(
      epochs,
      epochs.flatMap((epoch) => at.positions.get(epoch) ?? []),
    );
  }

  /** One transaction, or several tries of it that are aborted, until every entry that stands in the way is found. */
  async function deliver(delivery: Delivery): Promise<Outcome> {
    const { before, entries, epoch } = delivery;
    const [firstSeq = 0, last = 0] = [entries[0]?.seq, entries.at(-1)?.seq];
    const baseOf = known.begins(delivery);
    const verdicts = new Verdicts(delivery.aside, (seq) => entries[seq - firstSeq]?.kind);
    packer.begin(epoch);
    for (;;) {
      if (delivery.signal.aborted) throw new Error("the delivery was called off");
      const at = await opened();
      const base = baseOf(at.positions.get(epoch));
      const fresh = entries.filter((entry) => entry.seq > base.seq);
      const refused = refusedOf("kafka", fresh, verdicts.whys);
      const wanted = fresh.filter((entry) => isMeant(entry) && !verdicts.whys.has(entry.seq));
      const ignored = fresh.length - wanted.length - refused.length;
      const settled = { delivered: wanted.length, ignored, refused: refused.length };
      const after = advanced(base, settled, last, before.skipped);
      const outcome = outcomeBetween(before, after.totals, entries.length);
      if (fresh.length === 0) return outcome;
      const begunMs = clock.monoMs();
      const loads = packer.pack(wanted, at);
      const faults = await at.produce(loads, settings.compression);
      if (faults.length > 0) {
        counts.split++;
        drop();
        const stuck = verdicts.note({ loads, faults, alone: packer.split(faults), validated: at.validated });
        if (stuck !== undefined) await prove(stuck, wanted, delivery, verdicts);
        continue;
      }
      if (refused.length > 0) delivery.refuse(refused);
      if (delivery.signal.aborted) throw new Error("the delivery was called off");
      at.positions.delete(epoch);
      at.positions.set(epoch, after);
      known.commits(epoch, after.seq);
      await commit(at);
      known.committed(after);
      packer.taken();
      // Twice as much would take longer than a transaction may.
      if ((clock.monoMs() - begunMs) * 2 < settings.transactionTimeoutMs) pace.taken(entries.length);
      return outcome;
    }
  }

  /** All entries of a kind were refused: are some behind them taken, in the same try? It is not committed. */
  async function prove(
    { kind, why }: { readonly kind: Entry["kind"]; readonly why: string },
    refused: readonly Entry[],
    delivery: Delivery,
    verdicts: Verdicts,
  ): Promise<void> {
    const others = witness.behind(kind, delivery);
    const all = [...refused.filter((entry) => entry.kind === kind), ...others];
    for (let strikes = 0; others.length > 0;) {
      const at = await opened();
      const loads = packer.pack(all, at, true);
      const faults = await at.produce(loads, settings.compression);
      drop();
      const stuck = verdicts.note({ loads, faults, alone: packer.split(faults), validated: at.validated });
      if (stuck !== undefined) break;
      if (++strikes >= strikesMax) return;
    }
    throw new Outage(
      `Kafka takes none of the records at hand: ${why}: see the topic's max.message.bytes, message.timestamp.before.max.ms and cleanup.policy, and this host's clock`,
      { alarm: true, retryMaxMs: unprovenRetryMs },
    );
  }

  const daily = clock.every(hourMs, () => {
    if (clock.monoMs() - committedMs < dayMs) return;
    void exclusive(async () => {
      // After a quiet day the old connection is gone.
      const at = await opened();
      if (at.positions.size > 0) await commit(at);
    }).catch((error: unknown) => {
      drop();
      log.debug({ error: explain(error) }, "the position was not committed again; the next hour will do");
    });
  });

  return {
    name: "kafka",
    get batchMax() {
      return pace.size;
    },
    batchBytesMax: bytesMax,
    batchTrigger,
    lingerMs,
    deadlineMs: settings.timeoutMs * requestsPerDelivery + settings.transactionTimeoutMs,
    whenFull: settings.whenFull,
    positions: (epochs) => exclusive(() => safely(() => positions(epochs))),
    deliver: (delivery) =>
      exclusive(() => safely(() => inPace(pace, delivery.entries.length, () => deliver(delivery)))),
    probe: () => probe(settings, names, clock),
    stats: () => ({ ...counts }),
    // oxlint-disable-next-line typescript/require-await
    async close() {
      daily.cancel();
      drop();
    },
  };
}

interface Names {
  readonly transactionalId: string;
  readonly group: string;
  readonly topics: readonly string[];
}

/** Asks only: a producer of this id would shut out the gateway that runs. */
async function probe(settings: KafkaSettings, names: Names, clock: Clock): Promise<string> {
  try {
    const wire = await connectWire(settings, `${names.group}-check`, clock);
    try {
      const { topics } = await wire.topics(names.topics);
      mustBeLedWhole(topics);
      const all = topics.flatMap((topic) => topic.leaders.map((_, index) => ({ topic, index })));
      const { unreached } = await byReach(wire, all);
      if (unreached.length > 0) throw new Outage(`Kafka: ${leaderlessWords(unreached)}`);
      await provedTransaction(wire, names.transactionalId, names.group);
      provedTopics(topics, "write");
      provedTopics(topics.slice(0, 1), "read");
      await mustBeInSync(wire, topics);
      const said = topics
        .map(({ name, leaders }) => `${name} (${counted(leaders.length, "partition")})`)
        .join(", ");
      return `Kafka at ${wire.place}: ${said}; transactional id ${names.transactionalId}`;
    } finally {
      void wire.close();
    }
  } catch (error) {
    throw asOutage(error, names);
  }
}
