/**
 * The answer of /stats, every field of it with a sentence: the OpenAPI document and /docs are made from it, and tests hold real answers
 * against it. What only one kind of source or sink counts stands beside what all of them have, and is described with that kind.
 */
import { z } from "zod";
import { attentionSchema, partStateSchema } from "../admin/attention-schema.ts";
import { cacheStats } from "../admin/cache-stats.ts";
import type { Counted } from "../admin/views.ts";
import type { Stats } from "../admin/measurements.ts";
import type { Counts } from "../core/kind.ts";

const whole = z.number().int().min(0);
const count = (help: string) => whole.describe(help);
const text = (help: string) => z.string().describe(help);
const orNull = (help: string) => z.number().nullable().describe(help);
const words = (help: string) => z.string().nullable().describe(help);

const percentiles = z
  .object({
    p50: orNull("Half took no longer; null: there were none."),
    p99: orNull("99 of 100 took no longer."),
  })
  .describe("Milliseconds since the start, as fine as the buckets of the histogram in /metrics.");

const rejected = z.record(z.string(), whole).describe("Rejects by reason; GET /reasons has the cures.");

const totals = {
  received: count("Messages that came."),
  accepted: count("Stored as events."),
  rejected,
  duplicate: count("Redelivered, and already on disk."),
};

const source = {
  kind: text("mqtt, broker, kafka or http_ingest."),
  connected: z.boolean().exactOptional().describe("Whether messages can come."),
  detail: z.string().exactOptional().describe("Where it is connected to or listens, or what is wrong."),
  reconnects: whole.exactOptional().describe("Connections lost since the start."),
  unacknowledged: whole.exactOptional().describe("Messages that came and are not acknowledged yet."),
};

const sink = {
  delivered: count("It has them."),
  ignored: count("Not meant for it."),
  refused: count("It will never take them: they are dead letters."),
  skipped: count("Left out because the spool was full, if that is allowed."),
  waiting: count("Still to be delivered."),
  spooled: whole.describe("Offered to it: the sum of the five before."),
  trouble: z.string().nullable().exactOptional().describe("Why it cannot deliver now; null if it can."),
  alarms: z
    .array(z.unknown())
    .exactOptional()
    .describe(
      "What stands still until somebody acts: the lane (such as a database), why, and the scope: if it is `lane`, the others go on.",
    ),
  oldest_age_seconds: z.number().exactOptional().describe("Age of the oldest entry that waits."),
  latency_ms: percentiles.exactOptional(),
};

/** @param counted what only some kinds of sinks and sources count */
export function statsSchema(counted: Counted): z.ZodType<Stats> {
  return z
    .looseObject({
      version: text("Of the program."),
      gateway_id: text("GATEWAY_ID."),
      uptime_seconds: z.number().describe("Since the start."),
      balanced: z.boolean().describe("Whether the books balance."),
      attention: attentionSchema.describe("The worst thing that is wrong now."),
      parts: z
        .array(partStateSchema)
        .readonly()
        .describe("The same as GET /readyz, with since when and what to do."),
      mode: z.string().exactOptional().describe("MODE."),
      ingest: z
        .looseObject({
          ...totals,
          judging: count(
            "In memory, or waiting on disk to be judged: what the disk does not hold is not accepted yet.",
          ),
          deferred: whole
            .exactOptional()
            .describe("Of those: on disk, until the registry or the clock is known."),
          replayed: whole.exactOptional().describe("Dead letters that an operator replayed."),
          split: whole.exactOptional().describe("Further events of messages that a mapping made several of."),
          telemetry_without_metrics: whole
            .exactOptional()
            .describe("Accepted, but without a reading for InfluxDB."),
          held: z
            .string()
            .nullable()
            .exactOptional()
            .describe("Why nothing is acknowledged now; null: it is."),
          held_reason: z.string().nullable().exactOptional().describe("The same in one word, for /metrics."),
          latency_ms: percentiles.exactOptional(),
          settings_mistakes: z
            .array(z.string())
            .exactOptional()
            .describe("Values in app_settings that are not in force, and why."),
          since_start: z.object(totals).exactOptional().describe("The same since the start of this process."),
        })
        .describe("received = accepted + rejected{reason} + duplicate + judging, since the first start."),
      source: z.unknown().exactOptional().describe("The first of `sources`."),
      sources: z.array(withCounts(source, counted.sources)).readonly().describe("What messages come by."),
      http: z
        .object({ wrong_tokens: count("Requests with a wrong token since the start.") })
        .exactOptional()
        .describe("This HTTP surface."),
      clock: z
        .object({
          believed: z.boolean().describe("Whether the host's clock can be right."),
          time_known: z.boolean().describe("While it is not, messages without ts wait."),
          detail: words("What is wrong with it."),
        })
        .describe("The host's clock."),
      certificates: z
        .array(z.object({ setting: text("That names it."), ends_at: text("ISO 8601, UTC.") }))
        .readonly()
        .describe("Certificates that the settings name, and when each ends."),
      log: z
        .object({ lines_lost: count("Lines lost because nobody read them in time.") })
        .describe("The log."),
      process: z
        .object({
          cpu_seconds: z.number().describe("User and system time since the start."),
          resident_bytes: count("Memory that it holds."),
          open_files: orNull("Open file descriptors; null where the system does not tell."),
          open_files_max: orNull("As many as it may open."),
          event_loop_lag_seconds: z.number().describe("How late a timer ran, at worst, in the last minute."),
        })
        .exactOptional()
        .describe("The process, as the system sees it."),
      watchdog: z
        .object({
          progressing: z.boolean().describe("False: something stands still without a name for why."),
          stalls: count("How often that was so since the start."),
        })
        .describe("What looks whether work goes on."),
      auth_cache: cacheStats.describe("Devices that were looked up."),
      registry: z
        .object({
          available: z.boolean().describe("Whether it answers."),
          queries: count("Asked since the start."),
          devices: count("Looked up, all queries together."),
          errors: count("Queries without an answer."),
          waiting: count("Devices that wait for an answer."),
          not_provisioned: count(
            "How often AUTO_PROVISION did not register a device that asked: there were too many.",
          ),
          last_error: words("The last one."),
          changes_unheard: words(
            "Why it does not tell of changes, so that devices are read anew every second.",
          ),
        })
        .exactOptional()
        .describe("Where devices are registered."),
      spool: z
        .looseObject({
          entries: count("Waiting for the sink that is furthest behind."),
          bytes: count("On disk, compressed."),
          bytes_max: count("SPOOL_MAX_BYTES."),
          oldest_age_seconds: z.number().describe("Age of the oldest entry that waits."),
          last_seq: whole.exactOptional().describe("Number of the newest entry."),
          free_disk_bytes: orNull("On the disk of DATA_DIR; null: it cannot be read."),
          free_bytes_min: count("SPOOL_MIN_FREE_BYTES: what stays free on it."),
          dead_letters: whole.exactOptional().describe("Kept, for somebody to replay or discard."),
          dead_letters_bytes: whole.exactOptional().describe("Their size."),
          dead_letters_discarded: whole
            .exactOptional()
            .describe("Removed for their bound of bytes or age, since the start."),
          entries_per_second: z
            .number()
            .nullable()
            .exactOptional()
            .describe("In the last ten minutes; null: not known yet."),
          bytes_per_second: z.number().nullable().exactOptional().describe("The same in bytes."),
          offline_hours_left: z
            .number()
            .nullable()
            .exactOptional()
            .describe("Until it is full if nothing were delivered from now on; null: not known yet."),
          drain_seconds_left: z
            .number()
            .nullable()
            .exactOptional()
            .describe("Until all is delivered at this pace; null: not known, or it does not catch up."),
          written_bytes_per_day: z
            .number()
            .nullable()
            .exactOptional()
            .describe("To all disks, which wears flash."),
        })
        .describe("The durable log between intake and sinks."),
      local_store: z
        .object({
          rows_expired: count("Removed for their age."),
          rows_removed_for_room: count("Removed because the disk was short of room."),
        })
        .exactOptional()
        .describe("The tables in DATA_DIR, on a site without PostgreSQL."),
      sinks: z
        .record(
          z.string(),
          withCounts(sink, counted.sinks).describe(
            "spooled = delivered + ignored + refused + skipped + waiting",
          ),
        )
        .describe("By name: where entries go, and what became of them."),
    })
    .meta({ title: "Stats" });
}

function withCounts<S extends z.ZodRawShape>(common: S, counts: Counts) {
  const own: z.ZodRawShape = Object.fromEntries(
    Object.entries(counts).map(([name, help]) => [name, z.unknown().exactOptional().describe(help)]),
  );
  return z.looseObject<S>({ ...own, ...common });
}
