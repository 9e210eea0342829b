/** The sink against a real VictoriaMetrics: it is found, and tenants stay apart in it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { event } from "../contract/entries.ts";
import { openInflux } from "../kit/influxsink.ts";
import {
  startVictoriaMetricsServer,
  victoriaMetricsAvailable,
  type VictoriaMetricsServer,
} from "../kit/victoriametrics-server.ts";

const why = victoriaMetricsAvailable();

describe.skipIf(why !== "")(why === "" ? "VictoriaMetrics" : `VictoriaMetrics (skipped: ${why})`, () => {
  let server: VictoriaMetricsServer;
  beforeEach(async () => {
    server = await startVictoriaMetricsServer();
  });
  afterEach(() => server?.stop());

  const nowMs = Date.now();
  const reading = (seq: number, tenantId: string, metrics: Record<string, unknown>) =>
    event(seq, {
      ...{ tenantId, payload: JSON.stringify({ metrics }) },
      ...{ receivedMs: nowMs + seq, eventMs: nowMs + seq, eventNs: 0 },
    });

  test.each(["auto", "v2", "v1"] as const)(
    "behind INFLUXDB_API=%s it is found, and nothing written",
    async (api) => {
      const influx = openInflux({ url: server.url, api, org: "o" });
      await expect(influx.deliver([reading(1, "a", { v: 1 })])).rejects.toThrow(
        "set INFLUXDB_API=victoriametrics",
      );
      await expect(influx.sink.probe()).rejects.toThrow("VictoriaMetrics");
      expect(await server.samples(0)).toEqual([]);
      await influx.dispose();
    },
  );

  test("by name: the tenant is a label, a line feed in a text writes no other tenant's series, text is left out", async () => {
    const influx = openInflux({ url: server.url, api: "victoriametrics" });
    const evil = `x\ntelemetry,tenant_id=victim,device_id=d,site_id=s v=99 ${nowMs}000000\n`;
    const batch = [
      reading(1, "a", { v: 1.5, ok: true, fw: "1.2" }),
      reading(2, "b", { v: 2, note: evil, "k,e=y w": 3 }),
      reading(3, "b", { fw: "only text" }),
    ];
    expect(await influx.deliver(batch)).toEqual({ delivered: 2, ignored: 1, refused: 0 });
    const stored = (await server.samples(4)).map(({ name, labels, value, ms }) => [
      name,
      labels["tenant_id"],
      labels["device_id"],
      value,
      ms - nowMs,
    ]);
    expect(stored.toSorted()).toEqual([
      ["telemetry_k,e=y w", "b", "d1", 3, 2],
      ["telemetry_ok", "a", "d1", 1, 1],
      ["telemetry_v", "a", "d1", 1.5, 1],
      ["telemetry_v", "b", "d1", 2, 2],
    ]);
    expect(await influx.sink.probe()).toContain("VictoriaMetrics");
    await influx.dispose();
  });

  test("a quote in a metric's name, behind which it reads no values, is refused, also where such a column is known", async () => {
    const influx = openInflux({ url: server.url, api: "victoriametrics" });
    await Bun.write(
      `${influx.dataDir}/influx-types.json`,
      '{"victoriametrics":{"telemetry":{"a\\"b":"float"}}}',
    );
    await influx.restart();
    const batch = [reading(1, "q", { 'a"b': 6, behind: 7 }), reading(2, "q", { v: 1 })];
    expect(await influx.deliver(batch)).toEqual({ delivered: 1, ignored: 0, refused: 1 });
    expect(influx.refused.get(1)).toContain("cannot be the name of a field there");
    await influx.dispose();
  });

  test("readings that are at one time for it are moved by the least that it keeps: with its deduplication one of them stayed", async () => {
    const influx = openInflux({ url: server.url, api: "victoriametrics" });
    const batch = Array.from({ length: 5 }, (_, i) => ({
      ...reading(i + 1, "a", { v: i }),
      ...{ eventMs: nowMs, eventNs: (i >> 1) * 400_000 },
    }));
    expect(await influx.deliver(batch)).toEqual({ delivered: 5, ignored: 0, refused: 0 });
    const stored = (await server.samples(5)).map(({ value, ms }) => [value, ms - nowMs]);
    expect(stored.toSorted()).toEqual([0, 1, 2, 3, 4].map((i) => [i, i]));
    await influx.dispose();
  });

  test("a batch of 10,000 lines is stored whole", async () => {
    const influx = openInflux({ url: server.url, api: "victoriametrics" });
    const batch = Array.from({ length: 10_000 }, (_, i) => reading(i + 1, "many", { v: i }));
    expect(await influx.deliver(batch)).toEqual({ delivered: 10_000, ignored: 0, refused: 0 });
    expect((await server.samples(10_000)).map(({ value }) => value)).toEqual(batch.map((_, i) => i));
    await influx.dispose();
  });
});
