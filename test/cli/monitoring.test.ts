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

/**
 * Two series per rule, in promtool's notation: with the first the rule must fire within two hours, with the second it
 * must not.
 */
const cases: Readonly<Record<string, { series: string; fires: string; rests: string; also?: string }>> = {
  SluiceDown: { series: 'up{job="sluice"}', fires: "0x120", rests: "1x120" },
  SluiceSourceAway: { series: 'sluice_source_connected{source="mqtt"}', fires: "0x120", rests: "1x120" },
  SluiceBrokerDrops: {
    series: 'sluice_source_broker_dropped_total{source="mqtt"}',
    fires: "0+1x120",
    rests: "7x120",
  },
  SluiceSinkTrouble: { series: 'sluice_sink_trouble{sink="influx"}', fires: "1x120", rests: "0x120" },
  SluiceSinkAlarm: { series: 'sluice_sink_alarms{sink="postgres"}', fires: "1x120", rests: "0x120" },
  SluiceIntakeHeld: { series: 'sluice_ready{part="intake"}', fires: "0x120", rests: "1x120" },
  SluiceSpoolFilling: {
    series: "sluice_spool_bytes",
    also: "sluice_spool_max_bytes",
    fires: "90x120",
    rests: "70x120",
  },
  SluiceSpoolFullSoon: {
    series: "sluice_spool_offline_left_seconds",
    also: 'sluice_sink_trouble{sink="postgres"}',
    fires: "3600x120",
    rests: "90000x120",
  },
  SluiceOldestTooOld: {
    series: 'sluice_sink_oldest_age_seconds{sink="influx"}',
    fires: "7200x120",
    rests: "5x120",
  },
  SluiceDeadLettersGrow: {
    series: 'sluice_sink_refused_total{sink="influx"}',
    fires: "0+1x120",
    rests: "7x120",
  },
  SluiceRejects: {
    series: 'sluice_rejected_total{reason="TOKEN_INVALID"}',
    also: "sluice_received_total",
    fires: "0+6x120",
    rests: "0+1x120",
  },
  SluiceUnbalanced: { series: "sluice_balanced", fires: "0x120", rests: "1x120" },
  SluiceRegistryAway: { series: "sluice_registry_available", fires: "0x120", rests: "1x120" },
  SluiceRevocationsSlow: { series: "sluice_registry_changes_heard", fires: "0x120", rests: "1x120" },
  SluiceDiskLow: { series: "sluice_spool_free_disk_bytes", fires: "1e9x120", rests: "5e10x120" },
  SluiceCertificateEnds: {
    series: 'sluice_certificate_expiry_timestamp_seconds{setting="MQTT_TLS_CA"}',
    fires: "864000x120",
    rests: "8640000x120",
  },
  SluiceClockNotBelieved: { series: "sluice_clock_believed", fires: "0x120", rests: "1x120" },
  SluiceStalled: { series: "sluice_watchdog_progressing", fires: "0x120", rests: "1x120" },
};

/** What a second series of a rule is, at which the first decides. */
const beside: Readonly<Record<string, string>> = {
  SluiceSpoolFilling: "100x120",
  SluiceSpoolFullSoon: "1x120",
  SluiceRejects: "0+60x120",
};

/** A test file for promtool: which rules fire at two hours. Values are per minute. */
function ruleTest(name: string, isFiring: boolean): object {
  const { series, also, fires, rests } = cases[name] ?? { series: "", fires: "", rests: "" };
  const labelled = (text: string) =>
    text.includes("{") ? text.replace("{", '{instance="gw",') : `${text}{instance="gw"}`;
  return {
    interval: "1m",
    input_series: [
      { series: labelled(series), values: isFiring ? fires : rests },
      ...(also === undefined ? [] : [{ series: labelled(also), values: beside[name] }]),
    ],
    promql_expr_test: [
      {
        expr: `count(ALERTS{alertname="${name}", alertstate="firing"}) or vector(0)`,
        eval_time: "119m",
        exp_samples: [{ labels: "{}", value: isFiring ? 1 : 0 }],
      },
    ],
  };
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
    const tests = alerts.flatMap(({ name }) => [ruleTest(name, true), ruleTest(name, false)]);
    const file = Bun.YAML.stringify({ rule_files: ["rules.yml"], evaluation_interval: "1m", tests }, null, 2);
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
