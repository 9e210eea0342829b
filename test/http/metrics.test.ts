/**
 * /metrics of a whole gateway: it passes Prometheus' own linter, agrees with /stats, and strangers cannot make it
 * grow.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { metrics } from "../../src/http/metric-table.ts";
import { metricsText, nameOf } from "../../src/http/metrics-text.ts";
import { reasons } from "../../src/judge/reasons.ts";
import {
  endLater,
  fleet,
  type InProcess,
  registered,
  scratch,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { prometheusAbsent, startPrometheus } from "../kit/prometheus.ts";
import { checkMetrics, promtoolAbsent } from "../kit/promtool.ts";
import { makeCertificates } from "../kit/tls.ts";
import { until } from "../kit/until.ts";

let running: InProcess;
let certificate: string;

beforeAll(async () => {
  const { serverCert, serverKey, remove } = makeCertificates();
  endLater(remove);
  certificate = serverCert;
  running = await startInProcess({
    INFLUXDB_URL: `file://${join(scratch(), "lines")}`,
    BROKER_TLS_LISTEN: "127.0.0.1:0",
    BROKER_TLS_CERT: serverCert,
    BROKER_TLS_KEY: serverKey,
  });
  await running.gateway.view.devices.add(registered(["d1"]));
  running.source.give(telemetry("d1", 1), telemetry("d1", 2, { provision_token: "tok-wrong" }));
  await running.acknowledged();
  await until(() => Object.values(running.stats().sinks).every(({ waiting }) => waiting === 0));
});
afterAll(stopAll);

async function scrape(accept = "*/*"): Promise<string> {
  const response = await fetch(`http://${running.gateway.httpAddress()}/metrics`, { headers: { accept } });
  return response.text();
}

/** Series → number. */
async function series(): Promise<ReadonlyMap<string, number>> {
  const lines = (await scrape()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const cut = line.lastIndexOf(" ");
      return [line.slice(0, cut), Number(line.slice(cut + 1))];
    }),
  );
}

test.skipIf(promtoolAbsent !== "")(`promtool has nothing to remark ${promtoolAbsent}`, async () => {
  expect(checkMetrics(await scrape())).toBe("");
  expect(checkMetrics("# TYPE sluice_bad counter\nsluice_bad 1\n")).toContain("_total");
});

test.skipIf(prometheusAbsent !== "")(
  `Prometheus reads every sample, as OpenMetrics ${prometheusAbsent}`,
  async () => {
    const prometheus = await startPrometheus(running.gateway.httpAddress());
    endLater(() => prometheus.stop());
    expect(await prometheus.scraped()).toMatchObject({ health: "up", lastError: "" });
    const valueOf = async (query: string) => Number((await prometheus.query(query))[0]?.value[1]);
    expect(await valueOf("scrape_samples_scraped")).toBe((await series()).size);
    expect(await valueOf("sluice_received_total")).toBe(2);
    expect(await valueOf('sluice_rejected_total{reason="TOKEN_INVALID"}')).toBe(1);
    expect(await valueOf("histogram_quantile(0.99, sluice_intake_latency_seconds_bucket)")).toBeGreaterThan(
      0,
    );
    // Only OpenMetrics tells units: so it was that format which was read.
    expect((await prometheus.units()).get("sluice_spool_bytes")).toBe("bytes");
  },
  60_000,
);

test("the numbers are those of /stats", async () => {
  const found = await series();
  const { ingest, spool, sinks } = running.stats();
  expect(ingest["latency_ms"]).toEqual({ p50: expect.any(Number), p99: expect.any(Number) });
  expect(found.get("sluice_received_total")).toBe(ingest.received);
  expect(found.get('sluice_rejected_total{reason="TOKEN_INVALID"}')).toBe(1);
  expect(found.get("sluice_spool_appended_total")).toBe(spool["last_seq"] as number);
  expect(found.get('sluice_sink_delivered_total{sink="influx"}')).toBe(sinks["influx"]?.delivered);
  expect(found.get('sluice_sink_flushes_total{sink="influx"}')).toBe(sinks["influx"]?.["flushes"] as number);
  expect(found.get('sluice_source_connected{source="mqtt"}')).toBe(1);
  expect(found.get('sluice_ready{part="intake"}')).toBe(1);
  expect(found.get('sluice_intake_held{reason="disk_low"}')).toBe(0);
  expect(found.get("process_cpu_seconds_total")).toBeGreaterThan(0);
});

test("each metric of the table has a value: under a path that is not there it would be left out", () => {
  const measurements = running.gateway.view.measurements();
  const { spool } = measurements.stats;
  // Not known in the first minute.
  for (const path of ["entries_per_second", "bytes_per_second", "drain_seconds_left", "offline_hours_left"])
    expect(spool[path]).toBeNull();
  const later = { entries_per_second: 1, bytes_per_second: 2, drain_seconds_left: 3, offline_hours_left: 4 };
  const text = metricsText(
    { ...measurements, stats: { ...measurements.stats, spool: { ...spool, ...later } } },
    false,
  );
  const ofOtherSources = ["refused_connects", "broker_dropped", "lost", "not_passed_on"];
  const absent = metrics.map(nameOf).filter((name) => !text.includes(`# TYPE ${name} `));
  expect(absent).toEqual(ofOtherSources.map((of) => `sluice_source_${of}_total`));
  expect(text).toContain("\nsluice_spool_offline_left_seconds 14400\n");
});

test("each message is in the latency to disk, each entry in that of its sink", async () => {
  const found = await series();
  expect(found.get("sluice_intake_latency_seconds_count")).toBe(2);
  expect(found.get('sluice_intake_latency_seconds_bucket{le="+Inf"}')).toBe(2);
  expect(found.get('sluice_sink_latency_seconds_bucket{sink="local",le="+Inf"}')).toBe(2);
  const buckets = [...found].filter(([name]) => name.startsWith("sluice_intake_latency_seconds_bucket"));
  expect(buckets.map(([, n]) => n)).toEqual(buckets.map(([, n]) => n).toSorted((a, b) => a - b));
});

test("every reason is there from the start, at 0", async () => {
  const found = await series();
  for (const { code } of reasons) expect(found.has(`sluice_rejected_total{reason="${code}"}`)).toBe(true);
  expect(found.get('sluice_rejected_total{reason="UNREGISTERED_DEVICE"}')).toBe(0);
});

test("a certificate's expiry is labelled with its setting", async () => {
  const ends = Date.parse(new X509Certificate(await Bun.file(certificate).text()).validTo) / 1000;
  const found = await series();
  expect(found.get('sluice_certificate_expiry_timestamp_seconds{setting="BROKER_TLS_CERT"}')).toBe(ends);
});

test("strangers add no series", async () => {
  const before = new Set((await series()).keys());
  running.source.give(
    ...fleet(300, "made-up").map((id) => telemetry(id, 1, { tenant_id: `tenant-of-${id}` })),
    telemetry('d"1\n', 1),
  );
  await running.acknowledged();
  expect([...(await series()).keys()].filter((name) => !before.has(name))).toEqual([]);
});

test("a client that requests OpenMetrics gets it: families without _total, units, an end", async () => {
  const text = await scrape("application/openmetrics-text; version=1.0.0");
  expect(text).toEndWith("# EOF\n");
  expect(text).toContain("# TYPE sluice_received counter\nsluice_received_total ");
  expect(text).toContain("# UNIT sluice_spool_bytes bytes\n");
  const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
  expect(new Set(families).size).toBe(families.length);
  expect(await scrape("application/openmetrics-text;q=0, text/plain")).not.toContain("# EOF");
});
