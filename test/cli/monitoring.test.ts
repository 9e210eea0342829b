/**
 * The alert rules and the dashboard: Prometheus accepts them, each rule fires when it should, and they name what
 * exists.
 */
import { describe, expect, test } from "bun:test";
import { commands } from "../../src/cli/index.ts";
import { alertRules, alerts } from "../../src/cli/monitoring/alerts.ts";
import { grafanaDashboard } from "../../src/cli/monitoring/grafana.ts";
import { metrics } from "../../src/http/metric-table.ts";
import { nameOf } from "../../src/http/metrics-text.ts";
import { allSettings } from "../../src/config/tables.ts";
import { promtool, promtoolAbsent } from "../kit/promtool.ts";

interface Case {
  /** Of this gateway, unless they name another instance. */
  readonly series: readonly string[];
  /** Values of each, with which the rule must fire within two hours. */
  readonly fires: readonly (readonly string[])[];
  /** Each with which it must not: a limit is held from both sides. */
  readonly rests: readonly (readonly string[])[];
}

/** By rule, in promtool's notation; values are per minute. */
const cases: Readonly<Record<string, Case>> = {
  SluiceDown: {
    series: ['up{job="sluice"}', 'up{job="node"}'],
    fires: [["0x120", "1x120"]],
    rests: [["1x120", "0x120"]],
  },
  SluiceSourceAway: is('sluice_source_connected{source="mqtt"}', 0),
  SluiceBrokerDrops: lossOf('sluice_source_broker_dropped_total{source="mqtt"}'),
  SluiceKafkaLost: lossOf('sluice_source_lost_total{source="kafka"}'),
  SluiceSinkTrouble: is('sluice_sink_trouble{sink="influx"}', 1),
  SluiceSinkAlarm: is('sluice_sink_alarms{sink="postgres"}', 1),
  SluiceIntakeHeld: isUnready("intake"),
  SluiceSpoolUnreadable: isUnready("spool"),
  SluiceSpoolFilling: {
    series: ["sluice_spool_bytes", "sluice_spool_max_bytes"],
    fires: [["81x120", "100x120"]],
    rests: [["80x120", "100x120"]],
  },
  SluiceSpoolFullSoon: {
    series: [
      "sluice_spool_offline_left_seconds",
      'sluice_sink_trouble{sink="postgres"}',
      'sluice_sink_trouble{sink="influx"}',
      'sluice_sink_trouble{instance="other",sink="postgres"}',
    ],
    fires: [["43199x120", "1x120", "0x120", "0x120"]],
    rests: [
      ["43200x120", "1x120", "0x120", "0x120"],
      ["43199x120", "0x120", "0x120", "1x120"],
    ],
  },
  SluiceOldestTooOld: {
    series: ['sluice_sink_oldest_age_seconds{sink="influx"}'],
    fires: [["3601x120"]],
    rests: [["3600x120"]],
  },
  SluiceDeadLettersGrow: {
    series: ['sluice_sink_refused_total{sink="influx"}'],
    fires: [["0x106 1x14"]],
    rests: [["0x101 1x19"]],
  },
  SluiceRejects: {
    series: [
      'sluice_rejected_total{reason="TOKEN_INVALID"}',
      'sluice_rejected_total{reason="BAD_SEQ"}',
      "sluice_received_total",
      'sluice_received_total{instance="other"}',
    ],
    fires: [["0+30x120", "0+21x120", "0+1000x120", "0+9000x120"]],
    rests: [["0+30x120", "0+19x120", "0+1000x120", "0+9x120"]],
  },
  SluiceUnbalanced: is("sluice_balanced", 0),
  SluiceRegistryAway: is("sluice_registry_available", 0),
  SluiceRevocationsSlow: is("sluice_registry_changes_heard", 0),
  SluiceDiskLow: {
    series: ["sluice_spool_free_disk_bytes", "sluice_spool_min_free_bytes"],
    fires: [["134217727x120", "67108864x120"]],
    rests: [["134217728x120", "67108864x120"]],
  },
  SluiceCertificateEnds: {
    series: ['sluice_certificate_expiry_timestamp_seconds{setting="MQTT_TLS_CA"}'],
    // In 14 days less an hour at the end of the two hours, and in 14 days.
    fires: [[`${14 * 86_400 + 3_500}x120`]],
    rests: [[`${14 * 86_400 + 7_200}x120`]],
  },
  SluiceClockNotBelieved: is("sluice_clock_believed", 0),
  SluiceStalled: is("sluice_watchdog_progressing", 0),
};

/** Fires at this of 0 and 1, and not at the other. */
function is(series: string, value: 0 | 1): Case {
  return { series: [series], fires: [[`${value}x120`]], rests: [[`${1 - value}x120`]] };
}

function isUnready(part: string): Case {
  return {
    series: [`sluice_ready{part="${part}"}`, 'sluice_ready{part="registry"}'],
    fires: [["0x120", "1x120"]],
    rests: [["1x120", "0x120"]],
  };
}

/** Also if it was lost while the gateway was away for longer than the rule looks back. */
function lossOf(series: string): Case {
  const [runs, began] = ["7200+60x120", "_x90 0+60x30"];
  return {
    series: [series, "sluice_uptime_seconds", 'sluice_uptime_seconds{instance="other"}'],
    fires: [
      ["0x70 1x50", runs, runs],
      ["_x90 5x30", began, runs],
    ],
    rests: [
      ["0x50 1x70", runs, began],
      ["_x90 0x30", began, runs],
    ],
  };
}

/** All of them are asked at once, each of a gateway of its own: promtool takes a third of a second per test. */
const asked = Object.entries(cases).flatMap(([name, { series, fires, rests }]) =>
  [...fires, ...rests].map((values, i) => ({
    name,
    gateway: `${name} ${i}`,
    series,
    values,
    firing: i < fires.length,
  })),
);

/** A test file for promtool: which rules fire at two hours. */
function rulesTest(): object {
  return {
    interval: "1m",
    input_series: asked.flatMap(({ gateway, series, values }) =>
      series.map((one, i) => ({ series: labelled(one, gateway), values: values[i] })),
    ),
    promql_expr_test: asked.map(({ name, gateway, firing }) => ({
      expr: `count(ALERTS{alertname="${name}", alertstate="firing", instance="${gateway}"}) or vector(0)`,
      eval_time: "119m",
      exp_samples: [{ labels: "{}", value: Number(firing) }],
    })),
  };
}

function labelled(series: string, gateway: string): string {
  if (series.includes("instance=")) return series.replace('"other"', `"other than ${gateway}"`);
  return series.includes("{")
    ? series.replace("{", `{instance="${gateway}",`)
    : `${series}{instance="${gateway}"}`;
}

const names = new Set([...metrics.flatMap((metric) => seriesOf(metric)), "up"]);

function seriesOf(metric: (typeof metrics)[number]): string[] {
  const name = nameOf(metric);
  return metric.type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

const used = (text: string) => [...text.matchAll(/\b(?:sluice|process)_[a-z0-9_]+/g)].map(([name]) => name);

test("every rule has a case of its own, and every case a rule", () => {
  expect(Object.keys(cases)).toEqual(alerts.map(({ name }) => name));
});

describe.skipIf(promtoolAbsent !== "")(`with promtool ${promtoolAbsent}`, () => {
  test("Prometheus takes the rules", () => {
    expect(promtool(["check", "rules", "rules.yml"], { "rules.yml": alertRules() })).toBe("");
  });

  test("each rule fires when it should, and only then", () => {
    const [tests, files] = [[rulesTest()], ["rules.yml"]];
    const file = Bun.YAML.stringify({ rule_files: files, evaluation_interval: "1m", tests }, null, 2);
    expect(promtool(["test", "rules", "test.yml"], { "rules.yml": alertRules(), "test.yml": file })).toBe("");
  });
});

test("the job that the head of the rules shows is the one that SluiceDown asks for", () => {
  const shown = alertRules()
    .split("\n")
    .filter((line) => line.startsWith("# "))
    .slice(1)
    .map((line) => line.slice(2));
  const { scrape_configs: jobs } = Bun.YAML.parse(shown.join("\n")) as {
    scrape_configs: { job_name: string }[];
  };
  expect(alerts.find(({ name }) => name === "SluiceDown")?.expr).toContain(`job="${jobs[0]?.job_name}"`);
});

test("the rules name metrics that exist", () => {
  for (const { name, expr } of alerts)
    for (const metric of used(expr)) expect(names.has(metric) ? "" : `${name}: ${metric}`).toBe("");
});

test("the runbooks name commands and settings that exist", () => {
  const known = new Set([...commands.map(({ name }) => name), "help"]);
  const settings = new Set(allSettings.map(({ name }) => name));
  const text = alerts.map(({ runbook }) => runbook).join("\n");
  for (const [, command = ""] of text.matchAll(/`sluice ([a-z-]+)/g)) expect(known).toContain(command);
  for (const [word] of text.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)) expect(settings).toContain(word);
});

test("every query of the dashboard names metrics that exist, and every panel has its place", () => {
  const dashboard = JSON.parse(grafanaDashboard()) as {
    panels: { type: string; title: string; id: number; gridPos: Place; targets?: { expr: string }[] }[];
  };
  const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(queries.length).toBeGreaterThan(20);
  for (const metric of queries.flatMap(used)) expect(names).toContain(metric);
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const a of dashboard.panels) {
    expect(a.gridPos.x + a.gridPos.w).toBeLessThanOrEqual(24);
    for (const b of dashboard.panels) if (a !== b) expect(overlap(a.gridPos, b.gridPos)).toBe(false);
  }
});

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
