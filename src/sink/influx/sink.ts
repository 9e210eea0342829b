/**
 * The InfluxDB sink: one lane per database, one request at a time per lane, an outcome for every line.
 *
 * A line follows from its entry, the column types and the shift it was given. So a retry sends what may already be stored, which
 * changes nothing (20.50 may come again as 20.5). A type that was learned meanwhile stores no second version: the server refuses
 * the one that does not fit. An event without a field to write (a heartbeat without seq and metrics) has no line and counts as
 * ignored.
 */
import { fileURLToPath } from "node:url";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import type { Values } from "../../core/settings.ts";
import { retentionSeconds } from "./database.ts";
import { createDeliver } from "./deliver.ts";
import { createEncoding } from "./encoding.ts";
import { createFiles } from "./files.ts";
import type { Fetch } from "./http.ts";
import { createPace } from "../../core/pace.ts";
import { createServer } from "./server.ts";
import { fetchWith, influxMistakes, influxSettings } from "./settings.ts";
import { createTally } from "./tally.ts";
import type { Target } from "./target.ts";
import { sinkKind, type Sink, type SinkParts } from "../../core/sink.ts";

export const influx = sinkKind({
  name: "influx",
  title: "InfluxDB",
  settings: influxSettings,
  counts: {
    writes_ok: "Requests that stored lines.",
    writes_err: "Requests that stored none, or got no answer.",
    flushes: "Batches begun.",
    buffer_depth: "Entries in batches under way.",
    lines_refused: "Lines that it will never take.",
    lines_beyond_retention: "Lines taken that no query shows, for they are older than the retention period.",
    lines_parked: "Entries of batches that wait for an operator.",
    parked: "Databases that wait for an operator, and why; a hundred of them at most.",
    last_error: "The last error, null if there was none.",
    bytes_sent: "Bytes of requests.",
    target: "What it writes to.",
    batch_lines_max: "Lines per request, as the pace of its answers allows now.",
    collisions:
      "Readings at the time of another of their series: INFLUX_ON_COLLISION says what becomes of them.",
    columns_known: "Columns whose type is known.",
  },
  mistakes: influxMistakes,
  isAsked: ({ url, writeEnabled }) => url !== undefined && writeEnabled,
  open: openInfluxSink,
});

export interface InfluxOptions {
  readonly settings: Values<typeof influxSettings>;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the column types are kept. */
  readonly dataDir: string;
  readonly devicesMax?: number | undefined;
  readonly held: SinkParts<unknown>["held"];
  readonly fetch?: Fetch;
}

/** InfluxDB 3 is fastest with batches of 10,000 lines and takes bodies of 10 MiB at most. */
const linesMax = 10_000;
const batchBytesMax = 5_000_000;
/** A request of 500 lines costs us and the server twice what its lines do, so that beyond 10,000 lines/s fewer and larger ones go. */
const gatherMs = 50;
/** A delivery has time for this many requests that time out; what is settled by then is kept for the next one. */
const requestsPerDelivery = 4;
const dayMs = 86_400_000;

export function openInfluxSink(options: InfluxOptions): Sink {
  const { settings, devicesMax, clock, held } = options;
  const directory = directoryOf(settings);
  const target = directory === null ? server(options) : files(options, directory);
  const { databaseOf, tenantTag, types, collisions } = createEncoding(options);
  const tally = createTally();
  const pace = createPace(linesMax);
  const deliver = createDeliver({
    ...{ target, types, collisions, tally, pace, clock, tenantTag, devicesMax, held, databaseOf },
    distanceMaxMs: settings.timeDistanceMaxDays * dayMs,
    retentionMs: retentionSeconds(settings.retention ?? "forever") * 1_000,
  });

  return {
    name: "influx",
    get batchMax() {
      return pace.size;
    },
    batchBytesMax,
    batchTrigger: settings.batchSize,
    gatherMs,
    lingerMs: settings.flushIntervalMs,
    deadlineMs: settings.timeoutMs * requestsPerDelivery,
    whenFull: settings.whenFull,
    concurrency: settings.concurrency,
    lane: databaseOf,
    async deliver(delivery) {
      const [first] = delivery.entries;
      const database = first === undefined ? null : databaseOf(first);
      if (database === null) return { delivered: 0, ignored: delivery.entries.length, refused: 0 };
      return deliver(database, delivery);
    },
    probe: () => target.probe(),
    counters: [
      "writes_ok",
      "writes_err",
      "flushes",
      "lines_refused",
      "lines_beyond_retention",
      "bytes_sent",
      "collisions",
    ],
    stats: () => ({
      ...tally.stats(),
      bytes_sent: target.bytesSent,
      target: target.label,
      batch_lines_max: pace.size,
      collisions: collisions.count,
      columns_known: types.size,
    }),
    async close() {
      types.close();
      await target.close();
    },
  };
}

/** The directory for files; null for a server. */
function directoryOf({ url = "" }: InfluxOptions["settings"]): string | null {
  return url.startsWith("file:") ? fileURLToPath(url) : null;
}

function server({ settings, clock, log, fetch = fetchWith(settings) }: InfluxOptions): Target {
  const { url = "", api, org, retention, database, timeoutMs } = settings;
  return createServer({
    url,
    api: api === "file" ? "auto" : api,
    // Passed as they are, for they are read at each request and may be renewed.
    credentials: settings,
    org,
    retention,
    database,
    timeoutMs,
    clock,
    log,
    fetch,
  });
}

function files({ settings, clock, log }: InfluxOptions, directory: string): Target {
  const { fileBytesMax: bytesMax, fileAgeSeconds: ageSeconds } = settings;
  return createFiles({ directory, bytesMax, ageSeconds, clock, log });
}
