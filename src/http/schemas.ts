/**
 * The answers of /readyz and /stats as schemas: the OpenAPI document is made from them, and the tests check real
 * answers against them.
 */
import { z } from "zod";
import { cacheStats } from "../admin/cache-stats.ts";
import type { Stats } from "../admin/views.ts";

const count = z.number().int().min(0);

const sinkStats = z
  .looseObject({
    delivered: count,
    ignored: count,
    refused: count,
    skipped: count,
    spooled: count,
    waiting: count,
  })
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
    .describe("The worst thing that is wrong now, since when, the reporting system's words, and the remedy."),
  parts: parts.describe("The same as GET /readyz."),
  ingest: z
    .looseObject({
      received: count,
      accepted: count,
      rejected: z.record(z.string(), count),
      duplicate: count,
      judging: count,
    })
    .describe("received = accepted + rejected{reason} + duplicate + judging"),
  log: z.object({ lines_lost: count.describe("Log lines lost because nobody read them in time.") }),
  clock: z
    .object({ believed: z.boolean(), time_known: z.boolean(), detail: z.string().nullable() })
    .describe("Whether the host's clock is believed; while the time is not known, messages without ts wait."),
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
    detail: z.string().describe("What was wrong and the remedy, in one sentence."),
  })
  .describe("Problem details, RFC 9457; some problems have further members.");
