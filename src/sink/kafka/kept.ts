/**
 * How far the gateway has got in Kafka, as words: with them goes the offset that the transaction commits, and they are kept in DATA_DIR.
 *
 * Kafka forgets the offsets of a group that nobody joins 7 days after the last commit (`offsets.retention.minutes`). While the gateway
 * runs it commits them daily; for one that was off for longer the file counts, if it is the same topic of the same cluster: without it
 * all that the spool holds would be delivered again. So it does if somebody has reset the group's offsets, which takes the words away. A compacted topic for the positions was the alternative: one more topic to create,
 * to allow and to read through at each start.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Position } from "../../core/sink.ts";

/** Epoch → how far; the newest last. */
export type Positions = Map<string, Position>;

/** The broker's bound is 4,096 (`offset.metadata.max.bytes`). */
const wordsBytesMax = 4_000;
const epochText = /^[A-Za-z0-9-]{1,64}$/;

/** The epochs that were written to last, as many as there is room for. */
export function writePositions(positions: Positions): string {
  const rows = [...positions].map(([epoch, { seq, totals }]) => {
    const { delivered, ignored, refused, skipped } = totals;
    return JSON.stringify([epoch, seq, delivered, ignored, refused, skipped]);
  });
  let bytes = 0;
  let from = rows.length;
  while (from > 0 && bytes + (rows[from - 1]?.length ?? 0) < wordsBytesMax)
    bytes += (rows[--from]?.length ?? 0) + 1;
  return `[${rows.slice(from).join(",")}]`;
}

/** What is none of ours (another program's group of the same name) has no positions. */
export function readPositions(words: string): Positions {
  const positions: Positions = new Map();
  for (const row of rowsOf(words)) {
    if (!Array.isArray(row)) continue;
    const [epoch, ...numbers] = row as unknown[];
    if (typeof epoch !== "string" || !epochText.test(epoch) || !numbers.every(Number.isSafeInteger)) continue;
    const [seq = 0, delivered = 0, ignored = 0, refused = 0, skipped = 0] = numbers as number[];
    positions.set(epoch, { epoch, seq, totals: { delivered, ignored, refused, skipped } });
  }
  return positions;
}

function rowsOf(words: string): unknown[] {
  try {
    const rows = JSON.parse(words) as unknown;
    return Array.isArray(rows) ? rows : [];
  } catch {
    return [];
  }
}

/** Whose position it is: of another cluster, or a topic that was made anew, it says nothing. */
export interface Place {
  readonly clusterId: string;
  readonly topicId: string;
}

export interface KeptPosition {
  read(place: Place): Positions;
  /** Costs no fsync: what a loss of power takes is missed only after 7 days of silence. */
  write(place: Place, words: string): void;
}

interface Kept extends Place {
  readonly words: string;
  /** CRC-32 of the words, for a loss of power may leave parts of two positions. */
  readonly crc: number;
}

/** More than there ever is to say. */
const fileBytes = 8_192;

/**
 * Written once per transaction, so in place and with spaces up to one length: to write another file and rename it waited for the disk,
 * which took a tenth of what the sink costs.
 */
export function createKeptPosition(dataDir: string): KeptPosition {
  const path = join(dataDir, "kafka-position.json");
  return {
    read({ clusterId, topicId }) {
      try {
        const kept = JSON.parse(readFileSync(path, "utf8")) as Partial<Kept>;
        const { words = "", crc = crcOf(words) } = kept;
        const isOurs = kept.clusterId === clusterId && kept.topicId === topicId && crc === crcOf(words);
        return isOurs ? readPositions(words) : new Map();
      } catch {
        return new Map();
      }
    },
    write(place, words) {
      const kept: Kept = { ...place, words, crc: crcOf(words) };
      try {
        const file = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o666);
        try {
          writeSync(file, JSON.stringify(kept).padEnd(fileBytes), 0);
        } finally {
          closeSync(file);
        }
      } catch {
        // It is committed all the same: a disk that is full must not hold Kafka up.
      }
    },
  };
}

const crcOf = (words: string): number => Bun.hash.crc32(words);
