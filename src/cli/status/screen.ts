/**
 * One screen about a gateway: first the sentence that says what is wrong, then the way of a message from its source
 * to each sink.
 *
 * It is made from the answers of /stats alone, so that it works with any gateway that answers over HTTP.
 */
import { stripVTControlCharacters, styleText } from "node:util";
import { z } from "zod";
import { attentionSchema } from "../../admin/attention-schema.ts";
import { partSchema } from "../../admin/readiness.ts";
import { counted, duration, entriesWait, localTime, number, size } from "../../core/text/readable.ts";
import { oneLine } from "../../core/text/terminal.ts";
import { table } from "../report.ts";

const count = z.number();
const latency = z.object({ p50: z.number().nullable(), p99: z.number().nullable() });

/** What the screen needs from /stats. */
export const shownStats = z.looseObject({
  version: z.string(),
  gateway_id: z.string(),
  uptime_seconds: count,
  balanced: z.boolean(),
  attention: attentionSchema,
  parts: z.array(partSchema),
  ingest: z.looseObject({
    received: count,
    accepted: count,
    duplicate: count,
    judging: count,
    rejected: z.record(z.string(), count),
    latency_ms: latency,
  }),
  auth_cache: z.looseObject({ size: count, max_size: count, hit_rate: z.number().nullable() }),
  spool: z.looseObject({
    entries: count,
    bytes: count,
    bytes_max: count,
    dead_letters: count,
    offline_hours_left: z.number().nullable(),
  }),
  sinks: z.record(
    z.string(),
    z.looseObject({
      delivered: count,
      refused: count,
      skipped: count,
      waiting: count,
      oldest_age_seconds: count,
      trouble: z.string().nullable(),
      latency_ms: latency,
    }),
  ),
});
export type ShownStats = z.infer<typeof shownStats>;

/** Messages per second between two updates, in total and per sink; absent if there was only one. */
export interface Rates {
  readonly received: number;
  readonly delivered: Readonly<Record<string, number>>;
}

interface Shown {
  readonly stats: ShownStats;
  readonly rates?: Rates | undefined;
  readonly inColour: boolean;
}

export function screen({ stats, rates, inColour }: Shown): string {
  const { gateway_id: id, parts, version, uptime_seconds: uptime } = stats;
  return [
    oneLine(`Sluice ${version} at ${id}, up ${duration(uptime)}`),
    sentence(stats, inColour),
    table([
      ["part", "", "says"],
      ...parts.map(({ part, ok, detail }) => [part, ok ? "ok" : "NOT OK", detail]),
    ]),
    intakeText(stats, rates),
    spoolText(stats),
    sinksText(stats, rates),
    `Books ${stats.balanced ? "balance" : "DO NOT BALANCE"}.\n`,
  ].join("\n");
}

/**
 * As much of a screen as a terminal shows at once, from its top, where the sentence is: a terminal that is written too much shows the end.
 * Lines that are too wide are wrapped by it, and count as many.
 */
export function fitting(text: string, { columns, rows }: { columns: number; rows: number }): string {
  let left = rows - 1;
  const lines = text.trimEnd().split("\n");
  const shown = lines.findIndex((line, at) => {
    left -= Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns));
    return left < (at === lines.length - 1 ? 0 : 1);
  });
  return shown === -1 ? text : `${[...lines.slice(0, shown), "…"].join("\n")}\n`;
}

const styles = { working: "green", warning: "yellow", critical: "red" } as const;

function sentence({ attention }: ShownStats, inColour: boolean): string {
  const { level, text, since, detail, remedy } = attention;
  const styled = (said: string) =>
    inColour ? styleText([styles[level], "bold"], said, { validateStream: false }) : said;
  if (since === null && detail === null) return styled(text);
  const time = since === null ? "" : ` (since ${localTime(since)})`;
  return `${styled(oneLine(`${text}${time}`))}\n  ${oneLine(detail ?? "")}\n  ${oneLine(remedy ?? "")}`;
}

function intakeText({ ingest, auth_cache: cache }: ShownStats, rates: Rates | undefined): string {
  const { received, accepted, duplicate, judging, rejected, latency_ms: ms } = ingest;
  const rows = Object.entries(rejected).toSorted(([, a], [, b]) => b - a);
  const sum = rows.reduce((total, [, n]) => total + n, 0);
  const worst = rows.slice(0, 3).map(([reason, n]) => `${reason} ${number(n)}`);
  const why = worst.length === 0 ? "" : ` (${worst.join(", ")}${rows.length > 3 ? ", …" : ""})`;
  const now = rates === undefined ? "" : `; now ${number(rates.received)} per second`;
  const rate = cache.hit_rate === null ? "" : `, ${(cache.hit_rate * 100).toFixed(1)} % answered from memory`;
  return [
    `Received ${number(received)} = accepted ${number(accepted)} + rejected ${number(sum)}${why} + duplicate ${number(duplicate)} + judging ${number(judging)}${now}\n`,
    `To disk in ${millis(ms.p50)} (p50), ${millis(ms.p99)} (p99). Devices cached: ${number(cache.size)} of ${number(cache.max_size)}${rate}.\n`,
  ].join("");
}

function spoolText({ spool }: ShownStats): string {
  const { entries, bytes, bytes_max: bytesMax, offline_hours_left: hours, dead_letters: letters } = spool;
  const room = hours === null ? "" : `; room for ${duration(hours * 3600)} if nothing were delivered`;
  const dead = letters === 0 ? "" : `; ${counted(letters, "dead letter")} (sluice dead-letters list)`;
  return `Spool: ${entriesWait(entries)}, ${size(bytes)} of ${size(bytesMax)}${room}${dead}.\n`;
}

function sinksText({ sinks }: ShownStats, rates: Rates | undefined): string {
  const rows = Object.entries(sinks).map(([name, sink]) => [
    name,
    number(sink.delivered),
    rates === undefined ? "-" : number(rates.delivered[name] ?? 0),
    number(sink.waiting),
    sink.waiting === 0 ? "-" : duration(sink.oldest_age_seconds),
    millis(sink.latency_ms.p99),
    number(sink.refused),
    number(sink.skipped),
  ]);
  return table([
    ["sink", "delivered", "per second", "waiting", "oldest", "p99", "refused", "skipped"],
    ...rows,
  ]);
}

/** Formats a percentile, which is the bound of a histogram bucket. */
function millis(ms: number | null): string {
  if (ms === null) return "-";
  return ms < 1000 ? `${ms} ms` : duration(ms / 1000);
}
