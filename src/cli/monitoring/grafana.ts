/**
 * `sluice help grafana`: a dashboard for Grafana 10 or newer, to be imported unchanged.
 *
 * Every panel is a row of the table below; all queries go to one data source, which Grafana requests at the import.
 * From top to bottom in the order of interest: does it work, what comes in, what goes out, what waits, what it costs.
 */
import { spoolShareMax } from "../../core/limits.ts";

interface Panel {
  readonly title: string;
  readonly unit: "short" | "bytes" | "s" | "ops" | "percentunit" | "Bps";
  /** The width in Grafana's columns, of which there are 24. */
  readonly width: number;
  readonly queries: readonly (readonly [expr: string, legend: string])[];
  /** One number instead of a curve; red if it is below or above. */
  readonly alarm?: { readonly below: number } | { readonly above: number };
}

/** Selects the gateways chosen at the top of the dashboard. */
const of = '{instance=~"$instance"}';
const rate = (name: string) => `rate(${name}${of}[$__rate_interval])`;
const quantile = (share: number, name: string, by = "") =>
  `histogram_quantile(${share}, sum by (le, instance${by}) (rate(${name}_bucket${of}[$__rate_interval])))`;

const rows: readonly (readonly [title: string, panels: readonly Panel[]])[] = [
  [
    "Does it work",
    [
      stat("Parts that cannot work", `count(sluice_ready${of} == 0) or vector(0)`, { above: 1 }),
      stat("Books balance", `min(sluice_balanced${of})`, { below: 1 }),
      stat("Intake held", `max(sluice_intake_held${of})`, { above: 1 }),
      stat("Sinks in trouble", `sum(sluice_sink_trouble${of})`, { above: 1 }),
      stat("Alarms", `sum(sluice_sink_alarms${of})`, { above: 1 }),
      stat(
        "Spool used",
        `max(sluice_spool_bytes${of} / sluice_spool_max_bytes${of})`,
        { above: spoolShareMax },
        "percentunit",
      ),
    ],
  ],
  [
    "What comes in",
    [
      curve("Messages per second", "ops", 12, [
        [rate("sluice_accepted_total"), "accepted"],
        [`sum by (instance) (${rate("sluice_rejected_total")})`, "rejected"],
        [rate("sluice_duplicate_total"), "duplicate"],
      ]),
      curve("Rejected per second, by reason", "ops", 12, [
        [`sum by (reason) (${rate("sluice_rejected_total")}) > 0`, "{{reason}}"],
      ]),
      curve("From arrival to disk", "s", 12, [
        [quantile(0.5, "sluice_intake_latency_seconds"), "p50"],
        [quantile(0.99, "sluice_intake_latency_seconds"), "p99"],
      ]),
      curve("Not acknowledged yet", "short", 12, [
        [`sluice_source_unacknowledged${of}`, "{{source}}"],
        [`sluice_judging${of}`, "judging"],
      ]),
    ],
  ],
  [
    "What goes out",
    [
      curve("Delivered per second", "ops", 12, [[rate("sluice_sink_delivered_total"), "{{sink}}"]]),
      curve("From arrival to the sink, p99", "s", 12, [
        [quantile(0.99, "sluice_sink_latency_seconds", ", sink"), "{{sink}}"],
      ]),
      curve("Waiting entries", "short", 12, [[`sluice_sink_waiting${of}`, "{{sink}}"]]),
      curve("Refused for good", "short", 12, [
        [`sluice_sink_refused_total${of}`, "{{sink}}"],
        [`sluice_spool_dead_letters${of}`, "dead letters kept"],
      ]),
    ],
  ],
  [
    "The spool",
    [
      curve("Bytes", "bytes", 8, [
        [`sluice_spool_bytes${of}`, "spool"],
        [`sluice_spool_max_bytes${of}`, "bound"],
        [`sluice_spool_free_disk_bytes${of}`, "free on disk"],
      ]),
      curve("Time left if nothing is delivered", "s", 8, [
        [`sluice_spool_offline_left_seconds${of}`, "until full"],
      ]),
      curve("Age of the oldest entry", "s", 8, [[`sluice_spool_oldest_age_seconds${of}`, "oldest"]]),
    ],
  ],
  [
    "What it costs",
    [
      curve("CPU", "percentunit", 8, [[rate("process_cpu_seconds_total"), "{{instance}}"]]),
      curve("Memory", "bytes", 8, [[`process_resident_memory_bytes${of}`, "{{instance}}"]]),
      curve("Event-loop lag", "s", 8, [[`sluice_event_loop_lag_seconds${of}`, "{{instance}}"]]),
      curve("Look-ups", "ops", 12, [
        [rate("sluice_auth_cache_hits_total"), "from memory"],
        [rate("sluice_auth_cache_misses_total"), "from the registry"],
        [rate("sluice_auth_cache_stale_hits_total"), "past the TTL"],
      ]),
      curve("Certificates end in", "s", 12, [
        [`sluice_certificate_expiry_timestamp_seconds${of} - time()`, "{{setting}}"],
      ]),
    ],
  ],
];

function stat(
  title: string,
  expr: string,
  alarm: NonNullable<Panel["alarm"]>,
  unit: Panel["unit"] = "short",
): Panel {
  return { title, unit, width: 4, queries: [[expr, ""]], alarm };
}

function curve(title: string, unit: Panel["unit"], width: number, queries: Panel["queries"]): Panel {
  return { title, unit, width, queries };
}

const columnsMax = 24;
const statHeight = 4;
const curveHeight = 8;

/** Lays out the panels of all rows from left to right in Grafana's grid. */
function laidOut(): unknown[] {
  const panels: unknown[] = [];
  let [x, y, lineHeight] = [0, 0, 0];
  const newLine = () => {
    y += lineHeight;
    [x, lineHeight] = [0, 0];
  };
  for (const [title, own] of rows) {
    newLine();
    panels.push({
      type: "row",
      title,
      id: panels.length + 1,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: columnsMax, h: 1 },
    });
    y += 1;
    for (const panel of own) {
      if (x + panel.width > columnsMax) newLine();
      const h = panel.alarm ? statHeight : curveHeight;
      panels.push({ ...drawn(panel), id: panels.length + 1, gridPos: { x, y, w: panel.width, h } });
      x += panel.width;
      lineHeight = h;
    }
  }
  return panels;
}

const datasource = { type: "prometheus", uid: "${DS_PROMETHEUS}" };

function drawn({ title, unit, queries, alarm }: Panel): object {
  return {
    type: alarm ? "stat" : "timeseries",
    title,
    datasource,
    targets: queries.map(([expr, legendFormat], i) => ({
      refId: String.fromCodePoint(65 + i),
      datasource,
      expr,
      legendFormat,
    })),
    fieldConfig: {
      defaults: { unit, min: 0, ...(alarm && { thresholds: thresholds(alarm) }) },
      overrides: [],
    },
  };
}

function thresholds(alarm: NonNullable<Panel["alarm"]>): object {
  const isBelow = "below" in alarm;
  const [first, then, value] = isBelow ? ["red", "green", alarm.below] : ["green", "red", alarm.above];
  return {
    mode: "absolute",
    steps: [
      { color: first, value: null },
      { color: then, value },
    ],
  };
}

export function grafanaDashboard(): string {
  const dashboard = {
    __inputs: [
      {
        name: "DS_PROMETHEUS",
        label: "Prometheus",
        type: "datasource",
        pluginId: "prometheus",
        pluginName: "Prometheus",
      },
    ],
    __requires: [{ type: "grafana", id: "grafana", name: "Grafana", version: "10.0.0" }],
    title: "Sluice",
    uid: "sluice",
    tags: ["sluice"],
    schemaVersion: 38,
    editable: true,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    templating: {
      list: [
        {
          name: "instance",
          label: "Gateway",
          type: "query",
          datasource,
          query: { query: "label_values(sluice_build_info, instance)", refId: "instance" },
          definition: "label_values(sluice_build_info, instance)",
          refresh: 2,
          multi: true,
          includeAll: true,
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    panels: laidOut(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}
