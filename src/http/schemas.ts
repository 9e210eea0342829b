/** What /readyz and /stats answer, as schemas: the document is made of them, and the tests hold real answers against them. */
import { z } from "zod";
import { cacheStats } from "../admin/cache-stats.ts";
import type { Stats } from "../admin/views.ts";

const count = z.number().int().min(0);

const sinkStats = z
  .looseObject({ delivered: count, ignored: count, refused: count, skipped: count, waiting: count })
  .describe("spooled = delivered + ignored + refused + skipped + waiting");

const parts = z.array(z.object({ part: z.string(), ok: z.boolean(), detail: z.string() })).readonly();

export const statsSchema: z.ZodType<Stats> = z.looseObject({
  version: z.string(),
  gateway_id: z.string(),
  uptime_seconds: z.number(),
  balanced: z.boolean().describe("Whether the books balance."),
  attention: z
    .object({
      level: z.enum(["working", "warning", "critical"]),
      text: z.string(),
      since: z.string().nullable(),
      detail: z.string().nullable(),
      remedy: z.string().nullable(),
    })
    .describe("The worst thing that is wrong now, since when, in whose words, and the cure."),
  parts: parts.describe("As GET /readyz says."),
  ingest: z
    .looseObject({
      received: count,
      accepted: count,
      rejected: z.record(z.string(), count),
      duplicate: count,
      judging: count,
    })
    .describe("received = accepted + rejected{reason} + duplicate + judging"),
  log: z.object({ lines_lost: count.describe("Lines of the log that nobody took in time.") }),
  clock: z
    .object({ believed: z.boolean(), time_known: z.boolean(), detail: z.string().nullable() })
    .describe("Whether the host's clock is believed; while the time is not known, readings without ts wait."),
  auth_cache: cacheStats,
  spool: z.looseObject({ entries: count, bytes: count, oldest_age_seconds: z.number() }),
  sources: z.array(z.looseObject({ kind: z.string() })).readonly(),
  sinks: z.record(z.string(), sinkStats),
});

export const readySchema = z.object({ status: z.literal("ready"), parts });

/** RFC 9457. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What was wrong and the mend, in a sentence."),
  })
  .describe("Problem details, RFC 9457; some problems have further members.");
