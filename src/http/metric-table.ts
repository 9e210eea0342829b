/**
 * Every metric: name, type, unit and help stand beside the value they describe; the alert rules, the dashboard and their tests use the
 * same table. Those that are one number of /stats are rows of metric-rows.ts; those that have labels of their own stand here.
 *
 * All values come from one `Measurements`, which holds what /stats and /readyz show, so that no two answers can
 * disagree and nothing is counted twice; that is also why there is no metrics library here. Labels are reasons,
 * sinks, sources, parts and settings, all of them few and known at the start; never a device, a tenant or text from
 * outside.
 */
import { heldReasons } from "../core/held.ts";
import type { HistogramStats } from "../core/histogram.ts";
import type { Measurements, SinkView, Stats } from "../admin/measurements.ts";
import { perGateway, perSink, perSource, type Row, type Type } from "./metric-rows.ts";

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  /** Anything but a number or a boolean is left out: it is not known now. */
  readonly value: unknown;
}

interface Named {
  /** The name without the suffixes of its type (`_total`, `_bucket`). */
  readonly name: string;
  readonly help: string;
}

interface Plain extends Named {
  readonly type: Type;
  samples(m: Measurements): readonly Sample[];
}

/** Times in seconds, in the buckets of core/histogram.ts. */
interface Distribution extends Named {
  readonly type: "histogram";
  samples(m: Measurements): readonly { readonly labels: Labels; readonly value: HistogramStats }[];
}

export type Metric = Plain | Distribution;

/** The metrics of this gateway; those that only its sources and sinks have come last, named as in /stats. */
export function metricsOf({ stats, counters }: Measurements): readonly Metric[] {
  const type = (key: string) => (counters.has(key) ? "counter" : "gauge");
  const others = (of: string, counted: readonly object[], rows: readonly Row[]) =>
    ownOf(counted, rows).map((key): Row => [type(key), `${of}_${key}`, "As in /stats", key]);
  return [
    ...metrics,
    ...others("source", stats.sources, perSource).map(ofSources),
    ...others("sink", Object.values(stats.sinks), perSink).map(ofSinks),
  ];
}

/** The counts that have no row. */
function ownOf(counted: readonly object[], rows: readonly Row[]): string[] {
  const promised = new Set(rows.map(([, , , path]) => path));
  return [...new Set(counted.flatMap((counts) => Object.keys(counts)))].filter((key) => !promised.has(key));
}

export const metrics: readonly Metric[] = [
  {
    type: "gauge",
    name: "build_info",
    help: "Which Sluice this is",
    samples: ({ stats, commit }) => [
      { labels: { version: stats.version, commit, gateway_id: stats.gateway_id }, value: 1 },
    ],
  },
  ...perGateway.map(([type, name, help, value]): Metric => ({
    type,
    name,
    help,
    samples: (m) => [
      { labels: {}, value: typeof value === "string" ? at(m.stats, value.split(".")) : value(m) },
    ],
  })),
  {
    type: "counter",
    name: "rejected",
    help: "Messages that the judge rejected",
    // Every reason is shown from the start: if a series began with its first reject, its rate would miss that one.
    samples: ({ stats, reasons }) =>
      [...new Set([...reasons, ...Object.keys(stats.ingest.rejected)])].map((reason) => ({
        labels: { reason },
        value: stats.ingest.rejected[reason] ?? 0,
      })),
  },
  {
    type: "gauge",
    name: "ready",
    help: "1 while the part can do its work, as /readyz says",
    samples: ({ ready }) => ready.map(({ part, ok }) => ({ labels: { part }, value: ok })),
  },
  {
    type: "gauge",
    name: "intake_held",
    help: "1 while nothing is acknowledged, by the reason",
    samples: ({ stats }) =>
      heldReasons.map((reason) => ({
        labels: { reason },
        value: stats.ingest["held_reason"] === reason,
      })),
  },
  {
    type: "gauge",
    name: "certificate_expiry_timestamp_seconds",
    help: "When the first certificate in the file expires, in seconds since 1970",
    samples: ({ certificates }) =>
      certificates.map(({ setting, endsSeconds }) => ({ labels: { setting }, value: endsSeconds })),
  },
  ...perSource.map(ofSources),
  ...perSink.map(ofSinks),
  {
    type: "gauge",
    name: "sink_trouble",
    help: "1 while the sink, or one of its lanes, cannot deliver",
    samples: eachSink(({ trouble }) => trouble !== null),
  },
  {
    type: "gauge",
    name: "sink_alarms",
    help: "Lanes that stay blocked until somebody acts",
    samples: eachSink(({ alarms }) => (Array.isArray(alarms) ? alarms.length : undefined)),
  },
  {
    type: "histogram",
    name: "intake_latency_seconds",
    help: "Time from a message's arrival until it is on disk and may be acknowledged",
    samples: ({ intakeLatency }) => [{ labels: {}, value: intakeLatency }],
  },
  {
    type: "histogram",
    name: "sink_latency_seconds",
    help: "Time from a message's arrival until the sink has taken it",
    samples: ({ sinkLatencies }) =>
      Object.entries(sinkLatencies).map(([sink, value]) => ({ labels: { sink }, value })),
  },
];

function ofSources([type, name, help, key]: Row): Metric {
  return { type, name, help, samples: eachSource((source) => source[key]) };
}

function ofSinks([type, name, help, key]: Row): Metric {
  return { type, name, help, samples: eachSink((counts) => counts[key]) };
}

function eachSink(value: (counts: SinkView) => unknown): Plain["samples"] {
  return ({ stats }) =>
    Object.entries(stats.sinks).map(([sink, counts]) => ({ labels: { sink }, value: value(counts) }));
}

function eachSource(value: (status: Stats["sources"][number]) => unknown): Plain["samples"] {
  return ({ stats }) =>
    stats.sources.map((source) => ({ labels: { source: source.kind }, value: value(source) }));
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => Object(inner)[key], value);
}
