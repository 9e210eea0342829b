/**
 * The bounds of memory, named and added up: the most that a gateway may hold with given settings, if everything is at
 * its bound at the same time. docs/memory.md is printed from it.
 *
 * A bound is a constant or a setting in the file that enforces it, and is imported from there. A bound counted in
 * items uses the weight per item that memory-bounds.test.ts finds on the heap, rounded up.
 */
import { activeDevicesMax } from "../src/admin/device-activity.ts";
import { devicesMax } from "../src/admin/recent-rejects.ts";
import { underWayMax } from "../src/admin/review/quarantine-queue.ts";
import { valuesOf } from "../src/core/kind.ts";
import { waitingBytesMax as logBytesMax } from "../src/core/log/output.ts";
import type { MemoryBound } from "../src/core/memory/bound.ts";
import { memoryShares, programBytes } from "../src/core/memory/budget.ts";
import { sinkBatchBytesMax } from "../src/core/sink.ts";
import { readAheadEntriesMax } from "../src/drain/read-ahead.ts";
import { intakeMessagesMax, parkedMax } from "../src/intake/ingest.ts";
import { rejudgedBytesMax } from "../src/intake/rejudge.ts";
import { formsMax } from "../src/judge/form-shelf.ts";
import { bucketsMax } from "../src/judge/limit.ts";
import { reasons } from "../src/judge/reasons.ts";
import { topicsMax } from "../src/core/address.ts";
import { streamsBytesMax } from "../src/http/streams.ts";
import { askedSinks } from "../src/sink/index.ts";
import { plansMax } from "../src/sink/influx/plan.ts";
import { columnsMax } from "../src/sink/influx/types.ts";
import { seriesMax } from "../src/sink/influx/series.ts";
import { askedSources } from "../src/source/index.ts";
import { endingsBytesMax, framesMax } from "../src/sink/kafka/record.ts";
import { retainedTopicsMax } from "../src/spool/retained.ts";
import type { Config } from "../src/config/tables.ts";

const MiB = 1024 * 1024;

/** Pages that SQLite keeps per file (its default), and the part of a write-ahead log that it needs in memory. */
const sqliteBytes = 8 * MiB;

/** What one item weighs on the heap. */
export const itemBytes = {
  /** A message in the intake with what the judge made from it, without its payload. */
  message: 768,
  /** A message that waits for a look-up, with its parsed body. */
  parkedMessage: 2_048,
  /** With its places in the index of tokens, which a gateway has that devices ask with a token alone. */
  cachedDevice: 1_088,
  packet: 192,
  retainedTopic: 192,
  bucket: 224,
  /** Of a topic as fleets have it, with its parts, what redelivery makes of it, and who speaks as a row has it. */
  topic: 640,
  /** How a payload is written, of the most characters and values. */
  form: 12_288,
  /** When and how often a device was heard. */
  heardDevice: 224,
  rejectRow: 1_024,
  requeued: 192,
  column: 512,
  /** How a form becomes fields of a line, of the most values. */
  plan: 16_384,
  /** A series with the last times of its readings, however long those are. */
  series: 1_152,
  /** A device as its records name it. */
  frame: 576,
  /** A byte of what closes the records of all devices that measure the same: kept as text too, and its names. */
  endingByte: 6,
  /** A place in the window of a drain. */
  place: 16,
};

/** The limits of unproven messages and of kept payloads, in two generations each. */
const otherBucketMaps = 2 * 2;
/** Copies of a batch, as text and as the bytes of a request; its entries count as read-ahead. */
const batchCopies = 2;

/** As it waited and as it is judged. */
const rejudgedCopies = 2;

/** The bounds with these settings, in the order of a message's way. */
export function memoryBounds(config: Config): readonly MemoryBound[] {
  const sinks = askedSinks(config);
  const lanes = sinks.map((kind) => Number(valuesOf(config, kind)["concurrency"] ?? 1));
  const batches = 1 + lanes.reduce((sum, concurrency) => sum + concurrency, 0);
  const drains = 1 + sinks.length;
  const [hasInflux, hasKafka] = ["influx", "kafka"].map((asked) => sinks.some(({ name }) => name === asked));
  const memory = memoryShares(config.memory);
  const { sizeMax } = config.cache;
  const buckets = 2 * Math.max(bucketsMax, sizeMax) + otherBucketMaps * bucketsMax;
  return [
    { part: "the program, with what it compiles", bytes: programBytes },
    ...askedSources(config).flatMap((kind) => kind.memory?.(valuesOf(config, kind)) ?? []),
    { part: "payloads in the intake (MEMORY_MAX_BYTES)", bytes: memory.intakeBytes },
    {
      part: "messages in the intake",
      bytes: parkedMax * itemBytes.parkedMessage + (intakeMessagesMax - parkedMax) * itemBytes.message,
    },
    { part: "payloads that waited on the disk to be judged", bytes: rejudgedCopies * rejudgedBytesMax },
    { part: "auth cache (AUTH_CACHE_MAX_SIZE)", bytes: sizeMax * itemBytes.cachedDevice },
    { part: "rate limits of devices", bytes: buckets * itemBytes.bucket },
    {
      part: "topics of devices: their addresses, keys and columns",
      bytes: Math.max(topicsMax, sizeMax) * itemBytes.topic,
    },
    { part: "forms of payloads", bytes: formsMax * itemBytes.form },
    {
      part: "redelivery window (REDELIVERY_WINDOW)",
      bytes: config.spool.redeliveryWindow * itemBytes.packet,
    },
    { part: "retained topics", bytes: retainedTopicsMax * itemBytes.retainedTopic },
    { part: "the spool's newest groups (MEMORY_MAX_BYTES)", bytes: memory.tailBytes },
    { part: "groups that were read from the disk last (MEMORY_MAX_BYTES)", bytes: memory.recentBytes },
    {
      part: `read ahead for ${drains === 1 ? "a sink" : `${drains} sinks`} (MEMORY_MAX_BYTES)`,
      bytes: memory.readAheadBytes + drains * readAheadEntriesMax * itemBytes.place,
    },
    {
      part: `batches on their way, ${batches} at a time`,
      bytes: batches * batchCopies * sinkBatchBytesMax,
    },
    ...(hasInflux
      ? [
          { part: "columns of InfluxDB", bytes: columnsMax * itemBytes.column },
          { part: "forms of payloads as lines of InfluxDB", bytes: plansMax * itemBytes.plan },
          {
            part: "series of InfluxDB, in two generations (AUTH_CACHE_MAX_SIZE)",
            bytes: 2 * Math.max(seriesMax, sizeMax) * itemBytes.series,
          },
        ]
      : []),
    ...(hasKafka
      ? [
          {
            part: "devices as Kafka's records name them (AUTH_CACHE_MAX_SIZE)",
            bytes:
              Math.max(framesMax, 2 * sizeMax) * itemBytes.frame + endingsBytesMax * itemBytes.endingByte,
          },
        ]
      : []),
    { part: "live streams of readers that are slow", bytes: streamsBytesMax },
    {
      part: "when devices were heard",
      bytes: 2 * Math.max(activeDevicesMax, sizeMax) * itemBytes.heardDevice,
    },
    { part: "recent rejects", bytes: reasons.length * devicesMax * itemBytes.rejectRow },
    { part: "replays under way", bytes: underWayMax * itemBytes.requeued },
    { part: "lines of the log that nobody took yet", bytes: logBytesMax },
    { part: "SQLite: spool, cache and local store", bytes: 3 * sqliteBytes },
  ];
}

export function memorySum(bounds: readonly MemoryBound[]): number {
  return bounds.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The bounds as a Markdown table. */
export function memoryTable(bounds: readonly MemoryBound[]): string {
  const mebibytes = (bytes: number) => (bytes / MiB).toFixed(1);
  const rows = bounds.map(({ part, bytes }) => [part, mebibytes(bytes)]);
  const table = [
    ["what lies in memory", "MiB at most"],
    ...rows,
    ["**all of it**", `**${mebibytes(memorySum(bounds))}**`],
  ];
  const widths = [0, 1].map((at) => Math.max(...table.map((row) => row[at]?.length ?? 0)));
  const lines = table.map(
    ([part = "", size = ""]) => `| ${part.padEnd(widths[0] ?? 0)} | ${size.padStart(widths[1] ?? 0)} |`,
  );
  const [heading = "", ...others] = lines;
  const rule = `| ${"-".repeat(widths[0] ?? 0)} | ${"-".repeat((widths[1] ?? 1) - 1)}: |`;
  return `${[heading, rule, ...others].join("\n")}\n`;
}
