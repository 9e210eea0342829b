/**
 * The stats in Prometheus' text format 0.0.4. Printed from the same object as /stats, so that the two cannot disagree and
 * nothing is counted twice; that is also why there is no metrics library here. Never labelled by device.
 */
import type { Stats } from "../admin/views.ts";

type Kind = "counter" | "gauge" | "untyped";
type Labels = Readonly<Record<string, string>>;
interface Sample {
  readonly labels: Labels;
  readonly value: unknown;
}

const sinkTotals = ["delivered", "ignored", "refused", "skipped"];
const ingestNames = ["received", "accepted", "rejected", "duplicate", "judging"];
const spoolNames = ["entries", "bytes", "oldest_age_seconds"];

export function metricsText(stats: Stats): string {
  const { ingest, auth_cache: cache, spool } = stats;
  const sinks = Object.entries(stats.sinks);
  const ofSinks = (key: string) => sinks.map(([sink, s]) => ({ labels: { sink }, value: s[key] }));
  const more = [...new Set(sinks.flatMap(([, s]) => Object.keys(s)))].filter(
    (key) => !sinkTotals.includes(key) && key !== "waiting",
  );
  return [
    metric("build_info", "gauge", "Which Sluice this is", [
      { labels: { version: stats.version, gateway_id: stats.gateway_id }, value: 1 },
    ]),
    metric("uptime_seconds", "gauge", "Since start", one(stats.uptime_seconds)),
    metric("balanced", "gauge", "1 while the books balance", one(Number(stats.balanced))),
    metric(
      "clock_believed",
      "gauge",
      "1 while the host's clock is believed",
      one(Number(stats.clock.believed)),
    ),
    metric("received_total", "counter", "Messages taken in", one(ingest.received)),
    metric("accepted_total", "counter", "Messages accepted as events", one(ingest.accepted)),
    metric("rejected_total", "counter", "Messages the judge rejected", rejected(stats)),
    metric("duplicate_total", "counter", "Redeliveries recognised", one(ingest.duplicate)),
    metric("judging", "gauge", "Messages on their way to a verdict", one(ingest.judging)),
    extras("ingest", ingest, ingestNames),
    extras("source", Object(stats["source"]), []),
    extras("http", Object(stats["http"]), []),
    metric("log_lines_lost_total", "counter", "Lines of the log that nobody took", one(stats.log.lines_lost)),
    metric("auth_cache_size", "gauge", "Devices cached", one(cache.size)),
    metric("auth_cache_max_size", "gauge", "Most devices cached", one(cache.max_size)),
    metric("auth_cache_hits_total", "counter", "Look-ups answered from memory", one(cache.hits)),
    metric("auth_cache_misses_total", "counter", "Look-ups that asked the registry", one(cache.misses)),
    metric("auth_cache_errors_total", "counter", "Look-ups that failed", one(cache.errors)),
    metric("spool_entries", "gauge", "Entries on the disk", one(spool.entries)),
    metric("spool_bytes", "gauge", "Bytes on the disk", one(spool.bytes)),
    metric("spool_oldest_age_seconds", "gauge", "Age of the oldest entry", one(spool.oldest_age_seconds)),
    extras("spool", spool, spoolNames),
    ...sinkTotals.map((key) => metric(`sink_${key}_total`, "counter", `Entries ${key}`, ofSinks(key))),
    metric("sink_waiting", "gauge", "Entries not yet brought to the sink", ofSinks("waiting")),
    ...more.map((key) => metric(`sink_${key}`, "untyped", `As in /stats`, ofSinks(key))),
  ].join("");
}

function rejected({ ingest }: Stats): Sample[] {
  return Object.entries(ingest.rejected).map(([reason, value]) => ({ labels: { reason }, value }));
}

/** What a part counts beyond the promised names. */
function extras(part: string, stats: Readonly<Record<string, unknown>>, named: readonly string[]): string {
  const keys = Object.keys(stats).filter((key) => !named.includes(key));
  return keys.map((key) => metric(`${part}_${key}`, "untyped", "As in /stats", one(stats[key]))).join("");
}

function one(value: unknown): Sample[] {
  return [{ labels: {}, value }];
}

/** Nothing where no sample is a number. */
function metric(name: string, kind: Kind, help: string, samples: readonly Sample[]): string {
  const full = `sluice_${name}`;
  const lines = samples
    .filter(({ value }) => typeof value === "number")
    .map(({ labels, value }) => `${full}${labelText(labels)} ${String(value)}\n`);
  return lines.length === 0 ? "" : `# HELP ${full} ${help}\n# TYPE ${full} ${kind}\n${lines.join("")}`;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escape(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
