/**
 * Writes the measurements in the two text formats of Prometheus: 0.0.4, which everything reads, and OpenMetrics 1.0
 * if the client requests it.
 *
 * They differ in three things: OpenMetrics names a counter's family without `_total`, names units, and ends with `#
 * EOF`.
 */
import { latencyBounds, type HistogramStats } from "../core/histogram.ts";
import type { Measurements } from "../admin/measurements.ts";
import { metricsOf, type Metric } from "./metric-table.ts";

export const textMedia = "text/plain; version=0.0.4; charset=utf-8";
export const openMetricsMedia = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Readonly<Record<string, string>>;

export function metricsText(measurements: Measurements, asOpenMetrics: boolean): string {
  const families = metricsOf(measurements).map((metric) => familyText(metric, measurements, asOpenMetrics));
  return `${families.join("")}${asOpenMetrics ? "# EOF\n" : ""}`;
}

/** The name in a query: `sluice_` before all names except those that every process has, `_total` after counters. */
export function nameOf({ name, type }: Pick<Metric, "name" | "type">): string {
  const full = name.startsWith("process_") ? name : `sluice_${name}`;
  return type === "counter" ? `${full}_total` : full;
}

/** Returns "" if none of its values is known now. */
function familyText(metric: Metric, measurements: Measurements, asOpenMetrics: boolean): string {
  const lines = linesOf(metric, measurements);
  if (lines.length === 0) return "";
  const name = nameOf(metric);
  const family = asOpenMetrics && metric.type === "counter" ? name.slice(0, -"_total".length) : name;
  const unit = asOpenMetrics ? unitLine(family) : "";
  return `# HELP ${family} ${metric.help}\n# TYPE ${family} ${metric.type}\n${unit}${lines.join("")}`;
}

function unitLine(family: string): string {
  const unit = /_(seconds|bytes)$/.exec(family)?.[1];
  return unit === undefined ? "" : `# UNIT ${family} ${unit}\n`;
}

function linesOf(metric: Metric, measurements: Measurements): string[] {
  const name = nameOf(metric);
  if (metric.type === "histogram")
    return metric.samples(measurements).flatMap(({ labels, value }) => histogramLines(name, labels, value));
  return metric.samples(measurements).flatMap(({ labels, value }) => {
    const number = typeof value === "boolean" ? Number(value) : value;
    return typeof number === "number" ? [line(name, labels, number)] : [];
  });
}

function histogramLines(
  name: string,
  labels: Labels,
  { counts, count, sumSeconds }: HistogramStats,
): string[] {
  let sum = 0;
  const buckets = counts.map((n, i) => {
    const bound = latencyBounds[i];
    sum += n;
    return line(`${name}_bucket`, { ...labels, le: bound === undefined ? "+Inf" : String(bound) }, sum);
  });
  return [...buckets, line(`${name}_sum`, labels, sumSeconds), line(`${name}_count`, labels, count)];
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
