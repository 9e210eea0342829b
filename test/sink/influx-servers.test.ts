/** The other targets: version 2 (a fake), the real version 1, and which one `auto` finds. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Outage } from "../../src/sink/outage.ts";
import type { Entry } from "../../src/core/entry.ts";
import { event, events as eventsOf } from "../contract/entries.ts";
import { orgId, startInflux2 } from "../kit/influx2.ts";
import { startInflux3 } from "../kit/influx3.ts";
import { influxdAvailable, startInfluxd, type Influxd } from "../kit/influxd.ts";
import { openInflux } from "../kit/influxsink.ts";

const opened: { dispose(): Promise<void> }[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing.dispose();
});

function open(settings: Parameters<typeof openInflux>[0]) {
  const influx = openInflux(settings);
  opened.push(influx);
  return influx;
}

/** Of now: the fakes keep to a retention period as the real ones do. */
const events = (first: number, last: number) => {
  const now = Date.now();
  return eventsOf(first, last).map((entry) => ({
    ...entry,
    receivedMs: now + entry.seq,
    eventMs: now + entry.seq,
  }));
};

const reading = (seq: number, metrics: Record<string, unknown>, more: Partial<Entry> = {}) =>
  event(seq, { payload: JSON.stringify({ metrics }), ...more });

const all = (n: number) => ({ delivered: n, ignored: 0, refused: 0 });

describe("auto", () => {
  test("finds version 3, also where ping wants a token that is wrong", async () => {
    const server = await startInflux3({ token: "t" });
    opened.push({ dispose: () => server.stop() });
    const influx = open({ url: server.url, token: "t" });
    await influx.deliver(events(1, 2));
    expect(influx.sink.stats?.()).toMatchObject({ target: `v3 ${server.url}` });
    const stranger = open({ url: server.url, token: "wrong" });
    await expect(stranger.deliver(events(1, 2))).rejects.toThrow("401");
  });

  test("finds version 2", async () => {
    const server = startInflux2({ org: "o", token: "t" });
    opened.push({ dispose: () => server.stop() });
    const influx = open({ url: server.url, token: "t", org: "o", retention: "30d" });
    expect(await influx.deliver(events(1, 2))).toEqual(all(2));
    expect(influx.sink.stats?.()).toMatchObject({ target: `v2 ${server.url}` });
  });

  test("says so where it is another service, and asks again", async () => {
    let known = false;
    const fake = await startInflux3();
    opened.push({ dispose: () => fake.stop() });
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) =>
        known
          ? fetch(fake.url + new URL(request.url).pathname + new URL(request.url).search, request)
          : new Response("hello"),
    });
    opened.push({ dispose: () => server.stop(true) });
    const influx = open({ url: `http://127.0.0.1:${server.port}` });
    await expect(influx.deliver(events(1, 2))).rejects.toThrow("set INFLUXDB_API");
    known = true;
    expect(await influx.deliver(events(1, 2))).toEqual(all(2));
  });

  test("a file is no server and a server no file", () => {
    expect(() => openInflux({ url: "http://127.0.0.1:1", api: "file" })).toThrow("does not fit");
    expect(() => openInflux({ url: "file:///tmp/x", api: "v3" })).toThrow("does not fit");
  });
});

describe("version 2", () => {
  function start(retention?: string) {
    const server = startInflux2({ org: "site one", token: "t" });
    opened.push({ dispose: () => server.stop() });
    const settings = { url: server.url, token: "t", org: "site one", api: "v2" as const };
    return { server, influx: open(retention === undefined ? settings : { ...settings, retention }) };
  }

  test("a bucket that is missing parks the tenant, and alarms", async () => {
    const { influx } = start();
    const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Outage);
    expect(error).toHaveProperty("alarm", true);
    expect(influx.refused.size).toBe(0);
  });

  test("a bucket is made beforehand where a retention period is given, once", async () => {
    const { server, influx } = start("4w");
    await influx.deliver(events(1, 2));
    await influx.restart();
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
    expect(server.rules).toEqual([{ name: "telemetry_acme", everySeconds: 2_419_200, orgID: orgId }]);
    expect(server.buckets.get("telemetry_acme")?.points("telemetry")).toHaveLength(4);
    expect(await influx.sink.probe()).toContain("1 databases in use");
  });

  test("a bucket that was removed is made again", async () => {
    const { server, influx } = start("30d");
    await influx.deliver(events(1, 2));
    server.buckets.clear();
    await expect(influx.deliver(events(3, 4))).rejects.toThrow("not found");
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
  });

  test("a type conflict that names no line: the lesson finds it, numbers are written as the column's type", async () => {
    const { server, influx } = start("forever");
    await influx.deliver([reading(1, { v: 1.5, rssi_dbm: -80 })]);
    server.buckets.get("telemetry_acme")?.retype("telemetry", "rssi_dbm", "float");
    await influx.restart();
    const batch = [reading(2, { v: "text" }), reading(3, { rssi_dbm: -85 }), reading(4, { v: 2 })];
    expect(await influx.deliver(batch)).toEqual({ delivered: 2, ignored: 0, refused: 1 });
    expect([...influx.refused.keys()]).toEqual([2]);
    expect(influx.refused.get(2)).toContain("already exists as type float");
    expect(server.buckets.get("telemetry_acme")?.size).toBe(3);
  });
});

const why = influxdAvailable();

describe.skipIf(why !== "")(
  why === "" ? "version 1, the real one" : `version 1, the real one (skipped: ${why})`,
  () => {
    let server: Influxd;
    let databases = 0;

    beforeAll(async () => {
      server = await startInfluxd();
    });
    afterAll(() => server?.stop());

    function start(more: Parameters<typeof openInflux>[0] = {}) {
      const database = `d${(databases += 1)}`;
      return { database, influx: open({ url: server.url, database, retention: "forever", ...more }) };
    }

    const rows = (database: string, table = "telemetry") =>
      server.query(`SELECT * FROM "${table}"`, database);

    test("reads back what was sent: every type, and every character that has a spelling", async () => {
      const { database, influx } = start();
      const metrics = {
        battery_pct: 87.5,
        temp_c: 24,
        tiny: 5e-324,
        huge: 1.7976931348623157e308,
        rssi_dbm: -85,
        uplink_ok: true,
        "k,e=y w\"i'th": 1e21,
        text: 'a "quoted" \\ back\\\\slash, two\nlines\r\n=#🌊',
        "empty string": "",
      };
      const odd = { tenantId: "t,=", deviceId: 'd "1" ,=', siteId: "s=é, #" };
      const before = event(1, { payload: '{"seq":1}' });
      const after = event(3, { payload: '{"seq":3}' });
      const payload = JSON.stringify({ seq: 2, metrics });
      expect(await influx.deliver([before, event(2, { ...odd, payload }), after])).toEqual(all(3));
      const read = await rows(database);
      expect(read).toHaveLength(3);
      const { time, tenant_id, device_id, site_id, seq, ...fields } = read[1] ?? {};
      expect({ tenantId: tenant_id, deviceId: device_id, siteId: site_id }).toEqual(odd);
      expect([time, seq]).toEqual(["1789000000002123456", 2]);
      expect(fields).toEqual(metrics);
    });

    test("integers of 64 bits keep their digits, and are integers there", async () => {
      const { database, influx } = start();
      await influx.deliver([event(1, { payload: '{"metrics":{"rssi_dbm":-9223372036854775807,"v":1}}' })]);
      expect((await rows(database))[0]).toMatchObject({ rssi_dbm: "-9223372036854775807" });
      const types = await server.query('SHOW FIELD KEYS FROM "telemetry"', database);
      expect(types).toEqual([
        { fieldKey: "rssi_dbm", fieldType: "integer" },
        { fieldKey: "v", fieldType: "float" },
      ]);
    });

    test("a database a tenant, many of them", async () => {
      const { influx } = start({ database: "many_{tenant_id}" });
      for (let n = 1; n <= 8; n += 1)
        expect(await influx.deliver([event(n, { tenantId: `t${n}` })])).toEqual(all(1));
      expect(await rows("many_t8")).toHaveLength(1);
    });

    test("without a retention period a missing database parks its tenant", async () => {
      const database = "nowhere";
      const influx = open({ url: server.url, database });
      const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
      expect(error).toHaveProperty("alarm", true);
      expect(error).toHaveProperty("message", expect.stringContaining("INFLUX_RETENTION"));
      await server.query(`CREATE DATABASE "${database}"`);
      expect(await influx.deliver(events(1, 2))).toEqual(all(2));
    });

    test("a type conflict costs the line that has it, and no other", async () => {
      const { database, influx } = start();
      await influx.deliver([reading(1, { v: 1.5 })]);
      await influx.restart();
      await Bun.write(`${influx.dataDir}/influx-types.json`, "{}");
      await influx.restart();
      const batch = [
        reading(2, { v: 2 }),
        reading(3, { v: "text" }),
        ...[4, 5, 6].map((n) => reading(n, { v: n })),
      ];
      expect(await influx.deliver(batch)).toEqual({ delivered: 4, ignored: 0, refused: 1 });
      expect(influx.refused.get(3)).toContain("already exists as type float");
      expect(await rows(database)).toHaveLength(5);
    });

    test("what is beyond the retention period is refused in the server's words, all at once", async () => {
      const { influx } = start({ retention: "30d" });
      const old = [1, 2, 3, 4].map((n) => event(n, { eventMs: Date.UTC(2026, 0, 1) + n }));
      expect(await influx.deliver(old)).toEqual({ delivered: 0, ignored: 0, refused: 4 });
      expect(influx.refused.get(1)).toContain("points beyond retention policy dropped=4");
      expect(influx.sink.stats?.()).toMatchObject({ writes_err: 1 });
    });

    test("a batch of 10,000 lines goes in whole, and again without doubling", async () => {
      const { database, influx } = start();
      const batch = events(1, 10_000);
      expect(await influx.deliver(batch)).toEqual(all(10_000));
      expect(await influx.deliver(batch)).toEqual(all(10_000));
      expect(await server.query('SELECT count("n") FROM "telemetry"', database)).toMatchObject([
        { count: 10_000 },
      ]);
    });
  },
);
