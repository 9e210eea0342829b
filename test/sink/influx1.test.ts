/** The sink against a real InfluxDB 1: what it stores, refuses and says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { all, event, eventsOfNow as events, reading } from "../contract/entries.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { influxdAvailable, startInfluxd, type Influxd } from "../kit/influxd.ts";
import { openInflux, outage } from "../kit/influxsink.ts";

const ends = endsAfterEach();

function open(settings: Parameters<typeof openInflux>[0]) {
  const influx = openInflux(settings);
  ends.push(() => influx.dispose());
  return influx;
}

const why = influxdAvailable();

describe.skipIf(why !== "")(why === "" ? "InfluxDB 1" : `InfluxDB 1 (skipped: ${why})`, () => {
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

  const rows = (database: string, table = "telemetry") => server.query(`SELECT * FROM "${table}"`, database);

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

  test("one database per tenant, many of them", async () => {
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

  test("a database that was created here and is dropped is created again at once: no alarm that asks for what is set", async () => {
    const { database, influx } = start();
    await influx.deliver(events(1, 2));
    await server.query(`DROP DATABASE "${database}"`);
    const error = await outage(influx.deliver(events(3, 4)));
    expect(error.message).toContain(`database ${database} was deleted, and is created again`);
    expect([error.alarm, error.retryAfterMs]).toEqual([false, 0]);
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
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
    // The whole batch, of which all but one line are stored; that line; the others.
    expect(influx.sink.stats?.()).toMatchObject({ writes_ok: 2, writes_err: 1 });
  });

  test("what is beyond the retention period is refused in the server's words, all at once", async () => {
    const { influx } = start({ retention: "30d" });
    const old = [1, 2, 3, 4].map((n) => event(n, { eventMs: Date.UTC(2026, 0, 1) + n }));
    expect(await influx.deliver(old)).toEqual({ delivered: 0, ignored: 0, refused: 4 });
    expect(influx.refused.get(1)).toContain("points beyond retention policy dropped=4");
    expect(influx.sink.stats?.()).toMatchObject({ writes_err: 1 });
  });

  const dayMs = 86_400_000;
  /** As a backlog or a device with a wrong clock has it. */
  const of = (atMs: number, seq: number, metrics: Record<string, unknown>, deviceId = "d1") =>
    reading(seq, metrics, { receivedMs: atMs, eventMs: atMs + seq, eventNs: 0, deviceId });

  test("4,000 lines older than the retention period among as many fresh ones: few requests, no fresh one waits", async () => {
    const { database, influx } = start({ retention: "30d" });
    const now = Date.now();
    const mixed = Array.from({ length: 8_000 }, (_, i) =>
      of(i % 2 === 0 ? now : now - 60 * dayMs, i + 1, { n: i }, `d${i % 7}`),
    );
    const writes = () =>
      Number(influx.sink.stats?.()["writes_ok"]) + Number(influx.sink.stats?.()["writes_err"]);
    expect(await influx.deliver(mixed)).toEqual({ delivered: 4_000, ignored: 0, refused: 4_000 });
    expect(writes()).toBeLessThanOrEqual(4);
    expect([...influx.refused.keys()].every((seq) => seq % 2 === 0)).toBe(true);
    for (let at = 0; at < 8_000; at += 500) await influx.deliver(mixed.slice(at, at + 500));
    expect(writes()).toBeLessThanOrEqual(40);
    expect(await server.query('SELECT count("n") FROM "telemetry"', database)).toMatchObject([
      { count: 4_000 },
    ]);
  });

  test("types belong to a week: a text of 2001 does not keep out a number of today, in one batch or in many", async () => {
    const { database, influx } = start({ timeDistanceMaxDays: 0 });
    const then = Date.UTC(2001, 0, 3);
    const now = Date.now();
    await influx.deliver([of(now, 1, { v: 1.5 })]);
    expect(await influx.deliver([of(then, 2, { v: "text" })])).toEqual(all(1));
    for (let n = 3; n < 13; n += 1) expect(await influx.deliver([of(now, n, { v: n })])).toEqual(all(1));
    const both = [
      of(then, 20, { v: "more" }),
      of(now, 21, { v: 2 }),
      of(then, 22, { v: 3 }),
      of(now, 23, { v: "x" }),
    ];
    expect(await influx.deliver(both)).toEqual({ delivered: 2, ignored: 0, refused: 2 });
    expect([...influx.refused.keys()].toSorted()).toEqual([22, 23]);
    expect(
      await server.query('SELECT count("v") FROM "telemetry" WHERE time < now() - 365d', database),
    ).toMatchObject([{ count: 2 }]);
  });

  test("an integer last month, a float today: each is written as its week has it", async () => {
    const { database, influx } = start();
    const now = Date.now();
    const then = now - 40 * dayMs;
    await influx.deliver([of(now, 1, { x: 1 })]);
    await fetch(`${server.url}/write?db=${database}`, {
      method: "POST",
      body: `telemetry,device_id=d1,site_id=lab-1 v=7i ${then}000000`,
    });
    await influx.deliver([of(now, 2, { v: 1.5 })]);
    const mixed = Array.from({ length: 40 }, (_, i) => of(i % 4 === 0 ? then : now, 10 + i, { v: i }));
    expect(await influx.deliver(mixed)).toEqual(all(40));
    expect(influx.refused.size).toBe(0);
  });

  test("a database whose columns are all integers is written to as it is, and no line is refused", async () => {
    const { database, influx } = start();
    const now = Date.now();
    await influx.deliver([of(now, 1, { x: 1 })]);
    const names = Array.from({ length: 50 }, (_, i) => `m${i}`);
    const body = `telemetry,device_id=d1,site_id=lab-1 ${names.map((name) => `${name}=1i`).join()} ${now}000000`;
    await fetch(`${server.url}/write?db=${database}`, { method: "POST", body });
    const batch = Array.from({ length: 100 }, (_, i) => {
      const some = i % 3 === 0 ? names : names.filter((_name, n) => (n * 7 + i) % 5 === 0);
      return of(now, 10 + i, Object.fromEntries(some.map((name, n) => [name, n + i])));
    });
    expect(await influx.persist(batch)).toBeLessThanOrEqual(3);
    expect(influx.refused.size).toBe(0);
    expect(await server.query('SELECT count("m0") FROM "telemetry"', database)).toMatchObject([
      { count: 1 + batch.filter(({ payload }) => payload.includes('"m0"')).length },
    ]);
  });

  test("after somebody dropped the measurement the sink goes on by itself", async () => {
    const { database, influx } = start();
    const now = Date.now();
    await influx.deliver([of(now, 1, { v: 1 })]);
    expect(await influx.deliver([of(now, 2, { v: "text" })])).toMatchObject({ refused: 1 });
    await server.query('DROP MEASUREMENT "telemetry"', database);
    expect(await influx.deliver([of(now, 3, { v: "text" })])).toEqual(all(1));
  });

  test("a metric that is named like an error poisons no column, in no version's words", async () => {
    const { database, influx } = start();
    const now = Date.now();
    const names = [
      "column type for column 'temp_c', expected iox::column_type::field::string",
      'temp_c" on measurement "telemetry" is type float, already exists as type string dropped=9',
      "unable to parse 'telemetry,device_id=d1': dropped=9",
      "points beyond retention policy dropped=9",
    ];
    await influx.deliver([of(now, 1, { temp_c: 20.5 })]);
    for (const [i, name] of names.entries()) {
      await influx.deliver([of(now, 10 + i, { [name]: 1.5 })]);
      const good = Array.from({ length: 9 }, (_, n) => of(now, 100 + 10 * i + n, { temp_c: n }));
      const batch = [of(now, 20 + i, { [name]: "x" }), ...good];
      expect(await influx.deliver(batch)).toEqual({ delivered: 9, ignored: 0, refused: 1 });
      expect(await influx.deliver(good)).toEqual(all(9));
    }
    expect([...influx.refused.keys()].toSorted()).toEqual([20, 21, 22, 23]);
    expect(await server.query('SELECT count("temp_c") FROM "telemetry"', database)).toMatchObject([
      { count: 37 },
    ]);
  });

  test("a tag with too many values costs only the lines of the new device, and parks nobody", async () => {
    const small = await startInfluxd({ data: "max-values-per-tag = 3" });
    ends.push(() => small.stop());
    const influx = open({ url: small.url, database: "d", retention: "forever" });
    const now = Date.now();
    const of3 = ["d1", "d2", "d3"].map((device, i) => of(now, i + 1, { v: 1 }, device));
    expect(await influx.deliver(of3)).toEqual(all(3));
    const mixed = Array.from({ length: 200 }, (_, i) =>
      of(now, 10 + i, { v: i }, i % 2 === 0 ? "d1" : `new-${i % 6}`),
    );
    expect(await influx.deliver(mixed)).toEqual({ delivered: 100, ignored: 0, refused: 100 });
    expect(influx.refused.get(11)).toContain("max-values-per-tag limit exceeded");
    expect(await influx.deliver([of(now, 300, { v: 1 }, "d2")])).toEqual(all(1));
    expect(influx.sink.stats?.()).toMatchObject({ lines_parked: 0 });
  });

  test("room for some of the new series: the lines of the others alone are refused, also by a gateway that knows none", async () => {
    const small = await startInfluxd({ data: "max-series-per-database = 25" });
    ends.push(() => small.stop());
    const now = Date.now();
    const devices = 60;
    for (const round of [1, 2, 3]) {
      const influx = open({ url: small.url, database: "d", retention: "forever" });
      const first = round * 10_000;
      const batch = Array.from({ length: 600 }, (_, i) =>
        of(now, first + i, { v: i }, `d${(i * 7 + (i % 11) * round) % (devices + round)}`),
      );
      await influx.persist(batch);
      const points = await small.query('SELECT * FROM "telemetry"', "d");
      const stored = new Set(points.map(({ time }) => Number(BigInt(String(time)) / 1_000_000n)));
      const wrong = batch.filter(({ seq, eventMs }) => stored.has(eventMs ?? 0) === influx.refused.has(seq));
      expect(wrong).toEqual([]);
      expect(influx.refused.size).toBeGreaterThan(0);
      // Now it knows which are stored.
      const before = Number(influx.sink.stats?.()["writes_err"]);
      await influx.deliver(batch.map((entry) => ({ ...entry, seq: entry.seq + 1_000 })));
      expect(Number(influx.sink.stats?.()["writes_err"]) - before).toBeLessThanOrEqual(2);
    }
  });

  test("check finds a user that may only read, and stores nothing", async () => {
    const guarded = await startInfluxd({ http: "auth-enabled = true" });
    ends.push(() => guarded.stop());
    const ask = (q: string, user = "") =>
      fetch(`${guarded.url}/query?${user}`, { method: "POST", body: new URLSearchParams({ q }) }).then(
        (answer) => answer.text(),
      );
    const admin = "u=root&p=pw";
    await ask("CREATE USER root WITH PASSWORD 'pw' WITH ALL PRIVILEGES");
    await ask("CREATE DATABASE telemetry", admin);
    await ask("CREATE USER reader WITH PASSWORD 'pw'", admin);
    await ask("GRANT READ ON telemetry TO reader", admin);
    const as = (username: string) =>
      open({ url: guarded.url, database: "telemetry", username, password: "pw" }).sink;
    await expect(as("reader").probe()).rejects.toThrow("may not write to 1 of 1 database tried: telemetry");
    expect(await as("root").probe()).toContain("may write to 1 of them");
    expect(await ask("SHOW MEASUREMENTS ON telemetry", admin)).not.toContain("values");
  });

  test("a batch of 10,000 lines is stored whole, and again without doubling", async () => {
    const { database, influx } = start();
    const batch = events(1, 10_000);
    expect(await influx.deliver(batch)).toEqual(all(10_000));
    expect(await influx.deliver(batch)).toEqual(all(10_000));
    expect(await server.query('SELECT count("n") FROM "telemetry"', database)).toMatchObject([
      { count: 10_000 },
    ]);
  });
});
