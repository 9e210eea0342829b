/**
 * Servers that speak line protocol and are not InfluxDB, tokens with few rights, organizations, and names that are
 * ids.
 */
import { describe, expect, test } from "bun:test";
import { all, event, eventsOfNow, reading } from "../contract/entries.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { orgId, startInflux2, type Influx2Options } from "../kit/influx2.ts";
import { startInflux3 } from "../kit/influx3.ts";
import { openInflux, outage } from "../kit/influxsink.ts";
import { startQuestDb } from "../kit/questdb.ts";
import { startVictoriaMetrics } from "../kit/victoriametrics.ts";

const ends = endsAfterEach();

function using<T extends { stop(): unknown }>(server: T): T {
  ends.push(() => server.stop());
  return server;
}

function open(settings: Parameters<typeof openInflux>[0]) {
  const influx = openInflux(settings);
  ends.push(() => influx.dispose());
  return influx;
}

/** A proxy that hides what the server is, and answers 404 to paths other than these. */
function hiding(url: string, paths?: readonly string[]) {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (paths?.includes(pathname) === false) return new Response("not here", { status: 404 });
      const answer = await fetch(url + pathname + search, request);
      const headers = new Headers(answer.headers);
      headers.set("server", "nginx");
      return new Response(answer.body, { status: answer.status, headers });
    },
  });
}

describe("QuestDB", () => {
  test.each(["auto", "v2", "v1"] as const)(
    "found behind INFLUXDB_API=%s: an alarm that says what to set, and nothing written",
    async (api) => {
      const server = using(startQuestDb());
      const influx = open({ url: server.url, api, org: "o" });
      const error = await outage(influx.deliver([event(1)]));
      expect([error.alarm, error.message.includes("set INFLUXDB_API=questdb")]).toEqual([true, true]);
      await expect(influx.sink.probe()).rejects.toThrow("INFLUXDB_API=questdb");
      expect(server.writes).toEqual([]);
    },
  );

  test("behind a proxy that hides its name: it is recognised because it has no buckets and takes a write to none", async () => {
    const server = using(startQuestDb());
    const proxy = using(hiding(server.url));
    const influx = open({ url: `http://127.0.0.1:${proxy.port}`, org: "o" });
    expect((await outage(influx.deliver([event(1)]))).message).toContain("set INFLUXDB_API=questdb");
    expect(server.rows).toEqual([]);
  });

  test("InfluxDB 2 behind a proxy that passes only writes is not mistaken for it", async () => {
    const server = using(startInflux2({ org: "o", token: "t" }));
    server.bucket("telemetry_acme");
    const proxy = using(hiding(server.url, ["/ping", "/api/v2/write"]));
    for (const api of ["auto", "v2"] as const) {
      const influx = open({ url: `http://127.0.0.1:${proxy.port}`, api, org: "o", token: "t" });
      expect(await influx.deliver([event(1)])).toEqual(all(1));
      await expect(influx.sink.probe()).rejects.toThrow("404");
    }
  });

  test("by name: the tenant is a tag whatever INFLUXDB_DATABASE says, and check says that repeats are stored twice", async () => {
    const server = using(startQuestDb());
    const influx = open({ url: server.url, api: "questdb" });
    const batch = [event(1, { tenantId: "a" }), event(2, { tenantId: "b" }), reading(3, { tenant_id: "x" })];
    expect(new Set(batch.map((entry) => influx.sink.lane?.(entry))).size).toBe(1);
    expect(await influx.deliver(batch)).toEqual({ delivered: 2, ignored: 0, refused: 1 });
    expect(server.rows.map(({ tags }) => tags.get("tenant_id"))).toEqual(["a", "b"]);
    expect(await influx.sink.probe()).toMatch(/QuestDB at .*the tenant is a tag.*stored twice/);
  });

  test("times that it makes one are moved apart, for with its deduplication one reading would stay", async () => {
    const server = using(startQuestDb());
    const influx = open({ url: server.url, api: "questdb" });
    const eventMs = 1_789_000_000_000;
    await influx.deliver([1_000, 1_400, 1_999, 2_400].map((eventNs, i) => event(i, { eventMs, eventNs })));
    expect(server.rows.map(({ time }) => time % 1_000_000n)).toEqual([1_000n, 2_000n, 3_000n, 4_000n]);
  });

  test("what it refuses costs the lines that have it, mostly before they are sent", async () => {
    const server = using(startQuestDb());
    const influx = open({ url: server.url, api: "questdb", timeDistanceMaxDays: 0 });
    await influx.deliver([reading(1, { v: 1.5, "battery pct": 1 })]);
    const bad = [
      reading(2, { "a.b": 1 }),
      reading(3, { timestamp: 1 }),
      reading(4, { note: "two\nlines" }),
      reading(5, { Temp: 1, temp: 2 }),
      event(6, { eventMs: -1 }),
      reading(7, { ["x".repeat(128)]: 1 }),
    ];
    expect(await influx.deliver([...bad, event(8)])).toEqual({ delivered: 1, ignored: 0, refused: 6 });
    expect(server.writes).toEqual([204, 204]);
    const typed = [reading(9, { v: "text" }), reading(10, { v: 2 }), reading(11, { v: "more" })];
    expect(await influx.deliver(typed)).toEqual({ delivered: 1, ignored: 0, refused: 2 });
    expect(influx.refused.get(9)).toContain("cast error");
    expect(server.rows).toHaveLength(3);
  });
});

describe("VictoriaMetrics", () => {
  test.each(["auto", "v2", "v1"] as const)(
    "found behind INFLUXDB_API=%s: an alarm that says what to set, and nothing written",
    async (api) => {
      const server = using(startVictoriaMetrics());
      const influx = open({ url: server.url, api, org: "o" });
      expect((await outage(influx.deliver([event(1)]))).message).toContain(
        "set INFLUXDB_API=victoriametrics",
      );
      expect(server.writes).toEqual([]);
    },
  );

  test("by name: the tenant is a label, no line feed writes another's series, text is left out", async () => {
    const server = using(startVictoriaMetrics());
    const influx = open({ url: server.url, api: "victoriametrics" });
    const evil = 'x\ntelemetry,tenant_id=victim,device_id=d,site_id=s temp_c=99 1789000000000000000\n"';
    const batch = [
      reading(1, { temp_c: 1, ok: true, fw: "1.2" }, { tenantId: "a" }),
      reading(2, { temp_c: 2, note: evil }, { tenantId: "b" }),
      reading(3, { fw: "only text" }),
      event(4, { payload: '{"metrics":{"rssi_dbm":9007199254740993}}' }),
    ];
    expect(await influx.deliver(batch)).toEqual({ delivered: 2, ignored: 1, refused: 1 });
    expect(server.samples.map(({ name, labels, value }) => [name, labels["tenant_id"], value])).toEqual([
      ["telemetry_temp_c", "a", 1],
      ["telemetry_ok", "a", 1],
      ["telemetry_temp_c", "b", 2],
    ]);
    expect(await influx.sink.probe()).toMatch(
      /VictoriaMetrics at .*the tenant is a tag.*stored twice.*text is left out/,
    );
  });

  test("behind a proxy that hides what it is: still no line feed is sent", async () => {
    const server = using(startVictoriaMetrics());
    const proxy = using(
      Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: (request) => {
          const { pathname, search } = new URL(request.url);
          return pathname === "/write"
            ? fetch(server.url + pathname + search, request)
            : new Response(null, { status: 404 });
        },
      }),
    );
    const influx = open({ url: `http://127.0.0.1:${proxy.port}`, api: "v1" });
    expect(await influx.deliver([reading(1, { note: "a\nb" }), event(2)])).toMatchObject({ refused: 1 });
    expect(influx.refused.get(1)).toContain("line feed");
  });
});

test("InfluxDB that says so takes a line feed in a string", async () => {
  const server = using(await startInflux3());
  const influx = open({ url: server.url, api: "v3" });
  expect(await influx.deliver([reading(1, { note: "a\nb" })])).toEqual(all(1));
});

describe("version 2", () => {
  function start(options: Partial<Influx2Options> = {}, settings: Parameters<typeof openInflux>[0] = {}) {
    const server = using(startInflux2({ org: "site one", token: "t", ...options }));
    return { server, influx: open({ url: server.url, token: "t", org: "site one", ...settings }) };
  }

  test("a proxy's own 404 while the server is away is not taken for a bucket that somebody deleted", async () => {
    const server = using(startInflux2({ org: "o", token: "t" }));
    const paths = ["/health", "/api/v2/write", "/api/v2/buckets", "/api/v2/orgs"];
    const proxy = using(hiding(server.url, paths));
    const url = `http://127.0.0.1:${proxy.port}`;
    const influx = open({ url, api: "v2", token: "t", org: "o", retention: "30d" });
    expect(await influx.deliver(eventsOfNow(1, 1))).toEqual(all(1));
    paths.length = 0;
    const error = await outage(influx.deliver(eventsOfNow(2, 2)));
    expect([error.alarm, error.message]).toEqual([true, expect.stringContaining("HTTP 404: not here")]);
  });

  test("a token for one bucket: that tenant is delivered, the others wait, each for itself", async () => {
    const { server, influx } = start({ writable: ["telemetry_t3"] });
    for (let n = 1; n <= 8; n += 1) server.bucket(`telemetry_t${n}`);
    for (let round = 0; round < 4; round += 1)
      for (let n = 1; n <= 8; n += 1) {
        const work = influx.deliver([event(round * 10 + n, { tenantId: `t${n}` })]);
        if (n === 3) expect(await work).toEqual(all(1));
        else expect((await outage(work)).message).toContain("insufficient permissions");
      }
    expect(server.buckets.get("telemetry_t3")?.size).toBe(4);
    await expect(influx.sink.probe()).rejects.toThrow("may not write to 7 of 8 databases");
  });

  test("an existing bucket is written to, even if the token may not create one", async () => {
    const { server, influx } = start({ writable: ["telemetry_acme"] }, { retention: "forever" });
    server.bucket("telemetry_acme");
    expect(await influx.deliver([event(1)])).toEqual(all(1));
    server.buckets.clear();
    const error = await outage(influx.deliver([event(2)]));
    expect(error.message).toMatch(/not found.*cannot create database telemetry_acme.*unauthorized/);
  });

  test("check finds a token that may only read, and writes nothing", async () => {
    const { server, influx } = start({ writable: [] });
    server.bucket("telemetry_acme");
    await expect(influx.sink.probe()).rejects.toThrow("INFLUXDB_TOKEN may not write to 1 of 1 database");
    // A token for that bucket alone sees no organization.
    server.set({ readable: ["telemetry_acme"] });
    await expect(influx.sink.probe()).rejects.toThrow("INFLUXDB_TOKEN may not write to 1 of 1 database");
    server.set({ writable: ["telemetry_acme"] });
    expect(await influx.sink.probe()).toContain("1 database in use; may write to 1 of them");
    expect(server.buckets.get("telemetry_acme")?.size).toBe(0);
  });

  test.each([
    ["forgotten", ""],
    ["wrong", "nope"],
    ["an id that is none", "00000000000000ff"],
  ])("INFLUXDB_ORG %s: check fails and the alarm names it", async (_, org) => {
    const { server, influx } = start({}, { org });
    server.bucket("telemetry_acme");
    const found = await outage(influx.sink.probe());
    expect([found.message.includes("INFLUXDB_ORG"), found.message.includes("\n")]).toEqual([true, false]);
    const error = await outage(influx.deliver([event(1)]));
    expect([error.alarm, error.message.includes("INFLUXDB_ORG")]).toEqual([true, true]);
    const making = open({ url: server.url, token: "t", org, retention: "30d" });
    expect((await outage(making.deliver([event(1, { tenantId: "new" })]))).message).toContain("INFLUXDB_ORG");
    expect(server.rules).toEqual([]);
  });

  test("check tries the one bucket that is named, even if the token may see none", async () => {
    const { server, influx } = start({ writable: [], writeOnly: true }, { database: "telemetry" });
    server.bucket("telemetry");
    await expect(influx.sink.probe()).rejects.toThrow("may not write to 1 of 1 database tried: telemetry");
    server.set({ writable: ["telemetry"] });
    expect(await influx.sink.probe()).toContain("may write to 1 of them");
  });

  test("INFLUXDB_ORG as an id works for writes, check and retention", async () => {
    const { server, influx } = start({}, { org: orgId, retention: "forever" });
    expect(await influx.deliver([event(1)])).toEqual(all(1));
    expect(server.rules).toEqual([{ name: "telemetry_acme", everySeconds: 0, orgID: orgId }]);
    expect(await influx.sink.probe()).toContain("1 database in use; may write to 1");
  });

  test("a tenant whose name is another bucket's id writes into no bucket", async () => {
    const { server, influx } = start({}, { database: "{tenant_id}", api: "v2" });
    const id = server.bucket("victim");
    expect(await influx.deliver([event(1, { tenantId: id }), event(2, { tenantId: id })])).toEqual({
      delivered: 0,
      ignored: 0,
      refused: 2,
    });
    expect(influx.refused.get(1)).toContain("another bucket's id");
    expect(server.writes).toEqual([]);
  });
});
