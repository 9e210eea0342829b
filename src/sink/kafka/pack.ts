/**
 * Sorts entries into batches, per topic and partition.
 *
 * A batch is closed at 900 KB, for the broker's bound (`message.max.bytes`, 1 MiB) is per batch and partition: a burst of one device
 * all goes to one partition. A batch that was refused is split in halves at the next try, and one that was too large also bounds those
 * that follow, until larger ones are taken again; an entry that is refused alone is told with the broker's words.
 *
 * The time of a record is that of its entry's arrival, but never ahead of now: a broker takes nothing of an hour ahead, and this host's
 * clock may have been set right since.
 */
import type { Entry } from "../../core/entry.ts";
import { createPace } from "../../core/pace.ts";
import { RecordBatch } from "../../kafka/batch.ts";
import { code } from "../../kafka/error.ts";
import type { Topic } from "../../kafka/requests.ts";
import type { Encoder } from "./record.ts";
import type { Fault, Load } from "./session.ts";

interface Targets {
  readonly validated: Topic;
  readonly rejected: Topic;
}

interface Packer {
  /** Of a delivery: its epoch. */
  begin(epoch: string): void;
  /** @param alone each entry in a batch of its own. The loads are good until the next call. */
  pack(entries: readonly Entry[], targets: Targets, alone?: boolean): readonly Load[];
  /** After these batches of the last `pack` were refused. @returns why, by seq, of entries that were refused alone */
  split(faults: readonly Fault[]): Map<number, string>;
  /** The batches of the last `pack` were taken. */
  taken(): void;
}

const batchBytesMax = 900_000;
/** Split no further by size than this: a smaller bound would make a batch of each record for good. */
const batchBytesMin = 1_000;

class Packed extends RecordBatch {
  readonly seqs: number[] = [];

  override clear(): void {
    super.clear();
    this.seqs.length = 0;
  }
}

export function createPacker(encoder: Encoder, wallMs: () => number): Packer {
  const pool: Packed[] = [];
  /** Before these entries a batch ends. */
  const cuts = new Set<number>();
  let used = 0;
  const pace = createPace(batchBytesMax);

  function fresh(): Packed {
    const batch = pool[used] ?? new Packed();
    pool[used++] = batch;
    batch.clear();
    return batch;
  }

  return {
    begin(epoch) {
      cuts.clear();
      encoder.begin(epoch);
      pool.length = Math.min(pool.length, poolMax);
    },
    pack(entries, { validated, rejected }, alone = false) {
      used = 0;
      const nowMs = wallMs();
      const byTopic = [new Map<number, Packed[]>(), new Map<number, Packed[]>()] as const;
      for (const entry of entries) {
        const isEvent = entry.kind === "event";
        const topic = isEvent ? validated : rejected;
        const { bytes, hash } = encoder.keyOf(entry);
        const partition = hash % topic.leaders.length;
        const open = byTopic[isEvent ? 0 : 1];
        const value = encoder.valueOf(entry);
        let batches = open.get(partition);
        if (batches === undefined) open.set(partition, (batches = [fresh()]));
        let batch = batches.at(-1) as Packed;
        const isFull =
          batch.count > 0 && (batch.bytes + value.length > pace.size || alone || cuts.has(entry.seq));
        if (isFull) batches.push((batch = fresh()));
        batch.add(Math.min(entry.receivedMs, nowMs), bytes, value);
        batch.seqs.push(entry.seq);
      }
      return byTopic.flatMap((open, i) =>
        [...open].map(([partition, batches]) => ({
          topic: i === 0 ? validated : rejected,
          partition,
          batches,
        })),
      );
    },
    split(faults) {
      const alone = new Map<number, string>();
      for (const { batch, error } of faults) {
        const { seqs } = batch as Packed;
        const [only] = seqs;
        if (seqs.length === 1 && only !== undefined) alone.set(only, error.message);
        else cuts.add(seqs[seqs.length >> 1] ?? 0);
        if (seqs.length > 1) cuts.add(seqs[0] ?? 0);
        if (seqs.length > 1 && error.code === code.messageTooLarge)
          pace.tooMuch(Math.max(2 * batchBytesMin, batch.bytes));
      }
      return alone;
    },
    taken() {
      pace.taken(Math.max(0, ...pool.slice(0, used).map(({ bytes }) => bytes)));
    },
  };
}

/** Buffers that are kept from one delivery to the next. */
const poolMax = 32;
