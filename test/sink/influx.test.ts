/** The InfluxDB sink against a strict fake of version 3: every answer, and what happens to every line. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { Drain } from "../../src/drain/drain.ts";
import { all, event, events, reading, reject } from "../contract/entries.ts";
import { simulatedClock } from "../kit/clock.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { emptyRecord, spoolKit } from "../kit/spool.ts";
import { until } from "../kit/until.ts";
import { startInflux3, type Influx3, type Influx3Options } from "../kit/influx3.ts";
import { openInflux, outage, type TestSink } from "../kit/influxsink.ts";
import { noDetours } from "../../src/core/sink.ts";
import { influxMistakes, influxSettings } from "../../src/sink/influx/settings.ts";
import { settingsOf } from "../kit/source.ts";

const ends = endsAfterEach();

async function start(
  fake: Influx3Options = {},
  settings: Parameters<typeof openInflux>[0] = {},
): Promise<{ server: Influx3; influx: TestSink }> {
  const server = await startInflux3(fake);
  ends.push(() => server.stop());
  const influx = openInflux({ url: server.url, ...settings });
  ends.push(() => influx.dispose());
  return { server, influx };
}

const bodies = (server: Influx3) => server.writes.map(({ write }) => write.body.split("\n").length);

describe("the main path", () => {
  test("a lane is a tenant's database; only events of telemetry and heartbeat have one", async () => {
    const { influx } = await start();
    const { lane } = influx.sink;
    expect(lane?.(event(1))).toBe("telemetry_acme");
    expect(lane?.(event(1, { msgType: "heartbeat" }))).toBe("telemetry_acme");
    expect(lane?.(event(1, { msgType: "log" }))).toBeNull();
    expect(lane?.(reject(1))).toBeNull();
  });

  test("INFLUX_TABLES says which types have one, each a table of its own", async () => {
    const { server, influx } = await start({}, { tables: "telemetry, energy" });
    expect(influx.sink.lane?.(event(1, { msgType: "heartbeat" }))).toBeNull();
    await influx.deliver([event(1, { msgType: "energy" })]);
    expect(server.writes[0]?.write.body).toStartWith("energy,device_id=");
  });

  test("one request per batch, in the form of version 3, with the token", async () => {
    const { server, influx } = await start({ token: "apiv3_secret" }, { token: "apiv3_secret" });
    expect(await influx.deliver(events(1, 500))).toEqual(all(500));
    expect(bodies(server)).toEqual([500]);
    expect(server.writes[0]?.write.headers["content-encoding"]).toBe("gzip");
    expect(server.databases.get("telemetry_acme")?.points("telemetry")).toHaveLength(500);
  });

  test("a small body is not compressed", async () => {
    const { server, influx } = await start();
    await influx.deliver([event(1)]);
    expect(server.writes[0]?.write.body).toBe(
      "telemetry,device_id=d1,site_id=lab-1 seq=1i,n=1 1789000000001123456",
    );
    expect(server.writes[0]?.write.headers["content-encoding"]).toBeUndefined();
  });

  test("with one database for all, the tenant is the first tag and no metric may have its name", async () => {
    const { server, influx } = await start({}, { database: "telemetry" });
    const entries = [event(1), event(2, { tenantId: "b" }), reading(3, { tenant_id: "x" })];
    expect(await influx.deliver(entries)).toEqual({ delivered: 2, ignored: 0, refused: 1 });
    expect(server.writes[0]?.write.body).toContain("telemetry,tenant_id=b,device_id=d1,");
    expect(influx.refused.get(3)).toContain("tenant_id");
  });

  test("an event without a field counts as ignored, and nothing is sent", async () => {
    const { server, influx } = await start();
    const empty = event(1, { msgType: "heartbeat", payload: "{}" });
    expect(await influx.deliver([empty])).toEqual({ delivered: 0, ignored: 1, refused: 0 });
    expect(server.writes).toHaveLength(0);
  });

  test("stats count requests, lines and bytes, and hold no secret", async () => {
    const { influx } = await start({ token: "topsecret" }, { token: "topsecret" });
    await influx.deliver([...events(1, 5), reading(6, { "": 1 })]);
    const stats = influx.sink.stats?.() ?? {};
    expect(stats).toMatchObject({
      writes_ok: 1,
      writes_err: 0,
      flushes: 1,
      buffer_depth: 0,
      lines_refused: 1,
    });
    expect(stats["bytes_sent"]).toBeGreaterThan(100);
    expect(JSON.stringify(stats)).not.toContain("topsecret");
  });
});

describe("what the server refuses", () => {
  /** The fake refuses the line of this seq, as for a cause the sink cannot know. */
  const refusing =
    (seq: number, acceptPartial: boolean): NonNullable<Influx3Options["fault"]> =>
    ({ body }) => {
      const lines = body.split("\n");
      const at = lines.findIndex((line) => line.includes(` seq=${seq}i`));
      if (at < 0) return null;
      const data = { error_message: "no good", line_number: at + 1, original_line: "telemetry,devi" };
      const error = acceptPartial ? "partial write of line protocol occurred" : "line protocol parsing error";
      return { status: 400, text: JSON.stringify({ error, data: acceptPartial ? [data] : data }) };
    };

  test("one line of 5,000, by number: the others are stored, one request", async () => {
    const { server, influx } = await start({ fault: refusing(2_500, true) });
    expect(await influx.deliver(events(1, 5_000))).toEqual({ delivered: 4_999, ignored: 0, refused: 1 });
    expect([...influx.refused]).toEqual([[2_500, "no good"]]);
    expect(server.writes).toHaveLength(1);
  });

  test("one line of 5,000 when the server stores none then: one request more", async () => {
    const { server, influx } = await start({ fault: refusing(2_500, false) });
    expect(await influx.deliver(events(1, 5_000))).toEqual({ delivered: 4_999, ignored: 0, refused: 1 });
    expect(bodies(server)).toEqual([5_000, 4_999]);
    expect(server.stored()).toBe(4_999);
  });

  test("numbers of lines that were not sent are not believed", async () => {
    const { server, influx } = await start();
    const data = [{ error_message: "bad", line_number: 9, original_line: "" }];
    const text = JSON.stringify({ error: "partial write of line protocol occurred", data });
    server.set({ fault: ({ body }) => (body.includes(" seq=2i") ? { status: 400, text } : null) });
    expect(await influx.deliver(events(1, 4))).toEqual({ delivered: 3, ignored: 0, refused: 1 });
    expect([...influx.refused]).toEqual([[2, "bad"]]);
  });

  test("one column too many costs only the lines that have it", async () => {
    const { server, influx } = await start({ columnsMax: 4 });
    const batch = [event(1), reading(2, { m: 1 }), event(3)];
    expect(await influx.deliver(batch)).toEqual({ delivered: 2, ignored: 0, refused: 1 });
    expect(influx.refused.get(2)).toContain("exceed number of columns per table limit of 4");
    expect(await influx.deliver([event(4)])).toEqual(all(1));
    expect(server.stored()).toBe(3);
  });
});

describe("column types", () => {
  test("an integer field whose column is a float is written as one, in one request more", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { seq: 1, rssi_dbm: 1 })]);
    server.databases.get("telemetry_acme")?.retype("telemetry", "rssi_dbm", "float");
    await influx.restart();
    expect(await influx.deliver([reading(2, { rssi_dbm: -85 }), reading(3, { rssi_dbm: -86 })])).toEqual(
      all(2),
    );
    expect(server.writes.at(-1)?.write.body).toContain("rssi_dbm=-85 ");
    expect(server.writes).toHaveLength(3);
    await influx.deliver([reading(4, { rssi_dbm: -87 })]);
    expect(server.writes).toHaveLength(4);
  });

  test("a string in a column of floats is sent separately, and the server refuses it", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { temp_c: 20.5 })]);
    expect(await influx.deliver([reading(2, { temp_c: "n/a" }), reading(3, { temp_c: 21 })])).toEqual({
      delivered: 1,
      ignored: 0,
      refused: 1,
    });
    expect(influx.refused.get(2)).toBe(
      "invalid column type for column 'temp_c', expected iox::column_type::field::float, got iox::column_type::field::string",
    );
    expect(server.writes.slice(1).map(({ write, status }) => [status, write.body.includes("n/a")])).toEqual([
      [204, false],
      [400, true],
    ]);
  });

  test("of the first values in one batch the server accepts one type, and the rest follow it", async () => {
    const { influx } = await start();
    const mixed = [
      reading(1, { v: 1 }),
      reading(2, { v: "x" }),
      reading(3, { v: 2 }),
      reading(4, { v: true }),
    ];
    expect(await influx.deliver(mixed)).toEqual({ delivered: 2, ignored: 0, refused: 2 });
    expect(influx.refused.get(2)).toContain("expected iox::column_type::field::float");
  });

  test("types are kept across a restart, and only the server's own word refuses", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { v: 1 })]);
    await influx.restart();
    const kept: unknown = JSON.parse(readFileSync(join(influx.dataDir, "influx-types.json"), "utf8"));
    expect(kept).toEqual({ telemetry_acme: { telemetry: { v: "float" } } });
    server.databases.clear();
    expect(await influx.deliver([reading(2, { v: "now text" })])).toEqual(all(1));
  });

  test("after somebody dropped the table the sink continues by itself, with other types", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { v: 1 }), reading(2, { v: 2 })]);
    expect(await influx.deliver([reading(3, { v: "text" })])).toMatchObject({ refused: 1 });
    server.databases.get("telemetry_acme")?.tables.delete("telemetry");
    expect(await influx.deliver([reading(4, { v: "text" })])).toEqual(all(1));
    expect(await influx.deliver([reading(5, { v: "text" }), reading(6, { v: 6 })])).toMatchObject({
      refused: 1,
    });
    expect([...influx.refused.keys()]).toEqual([3, 6]);
  });

  test("a metric that is named like an error poisons no column, in the words of any version", async () => {
    const names = [
      "column type for column 'temp_c', expected iox::column_type::field::string",
      "invalid column type for column 'temp_c', expected iox::column_type::field::string, got iox::column_type::field::float",
      'input field "temp_c" on measurement "telemetry" is type float, already exists as type string dropped=1',
    ];
    for (const name of names) {
      const { influx } = await start();
      await influx.deliver([reading(1, { temp_c: 20.5 }), reading(2, { [name]: 1.5 })]);
      expect(await influx.deliver([reading(3, { [name]: "x" }), reading(4, { temp_c: 21 })])).toMatchObject({
        refused: 1,
      });
      const good = Array.from({ length: 10 }, (_, i) => reading(10 + i, { temp_c: 20 + i }));
      expect(await influx.deliver(good)).toEqual(all(10));
      expect([...influx.refused.keys()]).toEqual([3]);
    }
  });

  test("a server that changes its mind about a type is not followed for ever", async () => {
    const { influx } = await start({
      fault: ({ number }) => {
        const type = number % 2 === 0 ? "integer" : "float";
        const error_message = `invalid column type for column 'n', expected iox::column_type::field::${type}, got x`;
        const data = [{ error_message, line_number: 1, original_line: "" }];
        return {
          status: 400,
          text: JSON.stringify({ error: "partial write of line protocol occurred", data }),
        };
      },
    });
    expect(await influx.deliver([event(1)])).toEqual({ delivered: 0, ignored: 0, refused: 1 });
  });

  test("a damaged file of types is no obstacle", async () => {
    const { influx } = await start();
    await Bun.write(join(influx.dataDir, "influx-types.json"), "{");
    await influx.restart();
    expect(await influx.deliver(events(1, 2))).toEqual(all(2));
  });

  test("the file is written some seconds after a change and not for every batch", async () => {
    const server = await startInflux3();
    ends.push(() => server.stop());
    const clock = simulatedClock();
    const influx = openInflux({ url: server.url }, clock);
    ends.push(() => influx.dispose());
    const path = join(influx.dataDir, "influx-types.json");
    await influx.deliver(events(1, 2));
    expect(existsSync(path)).toBe(false);
    clock.advance(10_000);
    expect(existsSync(path)).toBe(true);
    await influx.deliver(events(3, 4));
    await influx.restart();
    await influx.deliver(events(5, 6));
    expect(clock.pending()).toBe(0);
  });
});

describe("bodies the server cannot take", () => {
  for (const tooLargeStatus of [413, 500] as const) {
    test(`too large (${tooLargeStatus}): halves, at once`, async () => {
      const { server, influx } = await start({ bodyBytesMax: 30_000, tooLargeStatus });
      expect(await influx.deliver(events(1, 1_000))).toEqual(all(1_000));
      expect(server.stored()).toBe(1_000);
      expect(server.writes.length).toBeLessThan(10);
    });
  }

  test("a line that is too large alone is refused with the server's words", async () => {
    const { influx } = await start({ bodyBytesMax: 1_000 });
    const long = reading(2, { note: "x".repeat(2_000) });
    expect(await influx.deliver([event(1), long, event(3)])).toEqual({
      delivered: 2,
      ignored: 0,
      refused: 1,
    });
    expect(influx.refused.get(2)).toContain("max request size (1000 bytes) exceeded");
  });

  test("a server that takes no body of whatever size makes no dead letters", async () => {
    const { server, influx } = await start();
    await influx.deliver(events(1, 2));
    server.set({ fault: () => ({ status: 413, text: "too large" }) });
    for (let tries = 0; tries < 8; tries += 1)
      expect(await influx.deliver(events(3, 40)).catch(String)).toContain("HTTP 413: too large");
    expect(influx.refused.size).toBe(0);
    server.set({ fault: () => null });
    await influx.persist(events(3, 40));
    expect(influx.refused.size).toBe(0);
    expect(server.stored()).toBe(40);
  });

  const poison: NonNullable<Influx3Options["fault"]> = ({ body }) =>
    body.includes(" seq=77i") ? { status: 500, text: "write buffer error" } : null;

  test("a line that makes the server fail is found after some tries, and is refused alone", async () => {
    const { server, influx } = await start({ fault: poison });
    expect(await influx.persist(events(1, 100))).toBe(5);
    expect([...influx.refused]).toEqual([[77, "HTTP 500: write buffer error"]]);
    expect(server.stored()).toBe(99);
    expect(influx.sink.stats?.()).toMatchObject({ lines_refused: 1 });
  });

  test("fifty such lines in a row are found too, in several deliveries, and the others are stored", async () => {
    const isBad = (seq: number) => seq > 500 && seq <= 550;
    const { server, influx } = await start({
      fault: ({ body }) =>
        [...body.matchAll(/ seq=(\d+)i/g)].some(([, seq]) => isBad(Number(seq)))
          ? { status: 400, text: "computer says no" }
          : null,
    });
    await influx.persist(events(1, 1_000));
    expect([...influx.refused.keys()].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, i) => 501 + i),
    );
    expect(server.stored()).toBe(950);
  });

  test("a server that fails for everything costs no line, however often it is tried", async () => {
    const { server, influx } = await start({ fault: () => ({ status: 500, text: "object store error" }) });
    for (let tries = 0; tries < 10; tries += 1) await outage(influx.deliver(events(1, 200)));
    const before = server.writes.length;
    const last = await outage(influx.deliver(events(1, 200)));
    expect(last.alarm).toBe(true);
    expect(server.writes.length - before).toBeLessThan(40);
    expect(influx.refused.size).toBe(0);
    server.set({ fault: () => null });
    expect(await influx.deliver(events(1, 200))).toEqual(all(200));
  });

  test("an outage in the middle of the halving does not start it again", async () => {
    const { server, influx } = await start({ bodyBytesMax: 40_000 });
    server.set({
      fault: ({ body }) =>
        body.startsWith("telemetry,device_id=d1,site_id=lab-1 seq=1i") ? null : { status: 503 },
    });
    await outage(influx.deliver(events(1, 800)));
    const stored = server.stored();
    expect(stored).toBeGreaterThan(0);
    server.set({ fault: () => null });
    const before = bodies(server).length;
    expect(await influx.deliver(events(1, 800))).toEqual(all(800));
    const later = server.writes.slice(before).filter(({ status }) => status === 204);
    expect(later.some(({ write }) => write.body.includes(" seq=1i,"))).toBe(false);
    expect(server.stored()).toBe(800);
  });

  test("words that teach nothing new are not followed again and again", async () => {
    const words =
      'partial write: field type conflict: input field "n" on measurement "telemetry" is type string, already exists as type float dropped=1';
    const { server, influx } = await start({
      fault: ({ body }) => (body.includes(" seq=2i") ? { status: 400, text: words } : null),
    });
    expect(await influx.deliver(events(1, 8))).toEqual({ delivered: 7, ignored: 0, refused: 1 });
    expect(server.writes.length).toBeLessThan(12);
  });

  test("a server that breaks in the middle of the halving costs no line", async () => {
    let number = 0;
    const { server, influx } = await start();
    server.set({
      fault: (write) =>
        (number += 1) > 6 || write.body.includes("seq=77i") ? { status: 500, text: "ill" } : null,
    });
    for (let tries = 0; tries < 8; tries += 1) await outage(influx.deliver(events(1, 100)));
    expect(influx.refused.size).toBe(0);
    server.set({ fault: poison });
    const outcome = await influx.deliver(events(1, 100));
    expect(outcome).toEqual({ delivered: 99, ignored: 0, refused: 1 });
  });

  test("a server's message that quotes a device's text does not park its tenant", async () => {
    const { influx } = await start();
    const name = "a: database not found, db name";
    expect(await influx.deliver([reading(1, { [name]: 1 }), reading(2, { [name]: "x" }), event(3)])).toEqual({
      delivered: 2,
      ignored: 0,
      refused: 1,
    });
  });

  test("a refusal in words not known refuses only what stands out among its neighbours", async () => {
    const { influx } = await start({
      fault: ({ body }) => (body.includes(" seq=3i") ? { status: 400, text: "computer says no" } : null),
    });
    expect(await influx.deliver(events(1, 8))).toEqual({ delivered: 7, ignored: 0, refused: 1 });
    const { influx: other } = await start({ fault: () => ({ status: 400, text: "computer says no" }) });
    expect((await outage(other.deliver(events(1, 8)))).alarm).toBe(true);
    expect(other.refused.size).toBe(0);
  });
});

describe("trouble that passes", () => {
  test.each([408, 425, 429, 502, 503, 504])("%i is an outage that keeps everything", async (status) => {
    const { influx } = await start({ fault: ({ number }) => (number === 1 ? { status } : null) });
    const error = await outage(influx.deliver(events(1, 3)));
    expect([error.alarm, error.retryAfterMs]).toEqual([false, 0]);
    expect(await influx.deliver(events(1, 3))).toEqual(all(3));
  });

  test.each([
    ["7", 7_000],
    ["100000", 600_000],
    ["soon", 0],
  ])("Retry-After: %s is a floor of %i ms", async (value, ms) => {
    const { influx } = await start({ fault: () => ({ status: 503, headers: { "retry-after": value } }) });
    expect((await outage(influx.deliver(events(1, 3)))).retryAfterMs).toBe(ms);
  });

  test("Retry-After can be a date, by the clock of whoever says it", async () => {
    const headers = { date: "Thu, 01 Jan 2026 00:00:00 GMT", "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT" };
    const { influx } = await start({ fault: () => ({ status: 503, headers }) });
    expect((await outage(influx.deliver(events(1, 3)))).retryAfterMs).toBe(30_000);
  });

  test("a connection that breaks after the lines were stored: the same bytes again, nothing twice", async () => {
    const { server, influx } = await start({
      fault: ({ number }) => (number === 1 ? "reset-after-store" : null),
    });
    await outage(influx.deliver(events(1, 50)));
    expect(server.stored()).toBe(50);
    expect(await influx.deliver(events(1, 50))).toEqual(all(50));
    expect(server.writes[1]?.write.body).toBe(server.writes[0]?.write.body ?? "");
    expect(server.databases.get("telemetry_acme")?.overwrites).toBe(0);
  });

  test("a server that hangs is an outage after the time-out", async () => {
    const { influx } = await start(
      { fault: ({ number }) => (number === 1 ? "hang" : null) },
      { timeoutMs: 1_000 },
    );
    expect((await outage(influx.deliver(events(1, 3)))).message).toContain("no answer within 1000 ms");
    expect(await until(() => influx.deliver(events(1, 3)))).toEqual(all(3));
  });

  test("an aborted delivery stops", async () => {
    const stop = new AbortController();
    const { influx } = await start({
      fault: () => {
        stop.abort(new Error("stopping"));
        return "hang";
      },
    });
    expect((await outage(influx.deliver(events(1, 3), stop.signal))).message).toContain("stopping");
  });

  test.each([
    [503, "sink"],
    [429, "sink"],
    [401, "sink"],
    [403, "lane"],
  ] as const)("HTTP %d concerns the %s", async (status, scope) => {
    const { influx } = await start({ fault: () => ({ status }) });
    expect((await outage(influx.deliver(events(1, 3)))).scope).toBe(scope);
  });

  test("while it is down, one database tries for all, and all go on when it succeeds", async () => {
    const databases = 30;
    const server = await startInflux3({ databasesMax: databases, fault: () => ({ status: 503 }) });
    ends.push(() => server.stop());
    const influx = openInflux({ url: server.url, flushIntervalMs: 0 });
    const kit = spoolKit();
    const spool = kit.spool({ clock: systemClock });
    const drain = new Drain({ sink: influx.sink, spool, clock: systemClock, log: silentLog });
    ends.push(async () => {
      await drain.stop(0);
      await influx.dispose();
      kit.clear();
    });
    const batch = Array.from({ length: databases }, (_, n) => event(n + 1, { tenantId: `t${n}` }));
    spool.append(batch, emptyRecord);
    drain.start();
    await until(() => server.writes.length >= 5);
    expect(server.writes.length).toBeLessThan(databases / 2);
    server.set({ fault: () => null });
    await until(() => drain.stats().delivered === databases);
  });
});

test.each([
  [401, ": HTTP 401: "],
  [503, ": HTTP 503: "],
  [500, ": HTTP 500: "],
  [400, " takes nothing (HTTP 400: "],
])(
  "a trouble names the server, whatever the answer, as one without an answer does: %d",
  async (status, why) => {
    const { server, influx } = await start({ fault: () => ({ status, text: "no" }) });
    expect((await outage(influx.deliver(events(1, 3)))).message).toStartWith(
      `InfluxDB at ${server.url}${why}no`,
    );
    await server.stop();
    expect((await outage(influx.deliver(events(1, 3)))).message).toStartWith(`InfluxDB at ${server.url}: `);
  },
);

describe("trouble that needs a person", () => {
  test("a wrong token keeps the data, does not appear in the message, and the trouble ends when the token is valid", async () => {
    const { server, influx } = await start({ token: "right" }, { token: "wrong-one" });
    const error = await outage(influx.deliver(events(1, 3)));
    expect(error.alarm).toBe(true);
    expect(error.retryAfterMs).toBeGreaterThanOrEqual(10_000);
    expect(error.message).toContain("INFLUXDB_TOKEN");
    expect(error.message + JSON.stringify(influx.sink.stats?.())).not.toContain("wrong-one");
    server.set({ token: "wrong-one" });
    expect(await influx.deliver(events(1, 3))).toEqual(all(3));
  });

  test("a 403 concerns one database: the others go on", async () => {
    const { server, influx } = await start({
      fault: ({ database }) =>
        database === "telemetry_b" ? { status: 403, text: '{"error":"insufficient permissions"}' } : null,
    });
    for (let tries = 0; tries < 6; tries += 1) {
      const error = await outage(influx.deliver([event(tries, { tenantId: "b" })]));
      expect([error.alarm, error.message.includes("INFLUXDB_TOKEN may not write")]).toEqual([true, true]);
      for (const tenantId of ["a", "c"])
        expect(await influx.deliver([event(100 + tries, { tenantId })])).toEqual(all(1));
    }
    expect(server.stored()).toBe(12);
  });

  test.each([403, 404, 405, 301, 200])("%i keeps the data and alarms", async (status) => {
    const { server, influx } = await start({ fault: () => ({ status }) });
    expect((await outage(influx.deliver(events(1, 3)))).alarm).toBe(true);
    expect(influx.refused.size).toBe(0);
    server.set({ fault: () => null });
    expect(await influx.deliver(events(1, 3))).toEqual(all(3));
  });

  test("a redirect is not followed: the token goes nowhere else", async () => {
    let strangers = 0;
    const stranger = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(String((strangers += 1))),
    });
    ends.push(() => stranger.stop(true));
    const headers = { location: `http://127.0.0.1:${stranger.port}/` };
    const { influx } = await start({ token: "t", fault: () => ({ status: 307, headers }) }, { token: "t" });
    const { message, alarm } = await outage(influx.deliver(events(1, 3)));
    expect(message).toContain(`redirects to ${headers.location}`);
    expect(alarm).toBe(true);
    expect(strangers).toBe(0);
  });

  test("the sixth tenant is parked and alarmed; the others go on; it is delivered when there is room", async () => {
    const { server, influx } = await start();
    const ofTenant = (n: number) => [event(n, { tenantId: `t${n}` })];
    for (const n of [1, 2, 3, 4, 5]) await influx.deliver(ofTenant(n));
    const error = await outage(influx.deliver(ofTenant(6)));
    expect(error.alarm).toBe(true);
    expect(error.message).toContain("exceed limit of 5 databases");
    expect(await influx.deliver([event(7, { tenantId: "t1" })])).toEqual(all(1));
    expect(influx.sink.stats?.()).toMatchObject({ lines_parked: 1, parked: { telemetry_t6: error.message } });
    server.set({ databasesMax: 6 });
    expect(await influx.deliver(ofTenant(6))).toEqual(all(1));
    expect(influx.sink.stats?.()).toMatchObject({ lines_parked: 0, parked: {} });
  });

  test("a tenant whose database cannot have its name is refused before anything is sent", async () => {
    const { server, influx } = await start();
    const entries = [event(1, { tenantId: "a.b" }), event(2, { tenantId: "a.b" })];
    expect(await influx.deliver(entries)).toEqual({ delivered: 0, ignored: 0, refused: 2 });
    expect(influx.refused.get(1)).toContain('"telemetry_a.b" cannot be the name of a database');
    expect(server.writes).toHaveLength(0);
  });

  test("a name that no tenant's database can have is a mistake of the settings, or found by the probe of a server that wants more", async () => {
    const mistakes = (INFLUXDB_DATABASE: string) =>
      influxMistakes(settingsOf(influxSettings, { INFLUXDB_URL: "http://i", INFLUXDB_DATABASE }));
    expect(mistakes("site/{tenant_id}")).toEqual([
      expect.stringContaining('"site/tenant" cannot be the name'),
    ]);
    expect(mistakes("site.{tenant_id}")).toEqual([]);
    const { influx } = await start({}, { database: "site.{tenant_id}" });
    await expect(influx.sink.probe()).rejects.toThrow('"site.tenant" cannot be the name of a database');
  });

  test("the probe counts databases, warns of the limit, and fails without a valid token", async () => {
    const { server, influx } = await start({ token: "t" }, { token: "t" });
    await influx.deliver(events(1, 2));
    expect(await influx.sink.probe()).toMatch(
      /InfluxDB 3\.10\.1 Core at .* \(v3\), 1 of 5 databases in use; may write to 1 of them; INFLUXDB_DATABASE makes/,
    );
    server.set({ token: "changed" });
    await expect(influx.sink.probe()).rejects.toThrow("401");
  });
});

describe("databases created beforehand", () => {
  test("with a retention period, once per database", async () => {
    const { server, influx } = await start({}, { retention: "30d" });
    await influx.deliver(events(1, 2));
    await influx.deliver(events(3, 4));
    expect(server.created).toEqual([{ db: "telemetry_acme", retention_period: "30d" }]);
    await influx.restart();
    expect(await influx.deliver(events(5, 6))).toEqual(all(2));
    expect(server.created).toHaveLength(2);
  });

  test("the limit of databases parks the tenant there too", async () => {
    const { influx } = await start({ databasesMax: 0 }, { retention: "forever" });
    const error = await outage(influx.deliver(events(1, 2)));
    expect([error.alarm, error.message.includes("cannot create database telemetry_acme")]).toEqual([
      true,
      true,
    ]);
  });
});

describe("two readings of one device at the same time", () => {
  const at = { eventMs: 1_789_000_000_500, eventNs: 0 };
  const points = (server: Influx3) => server.databases.get("telemetry_acme")?.points("telemetry") ?? [];

  test("the later ones are moved by a nanosecond each", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { v: 1 }, at), reading(2, { v: 2 }, at)]);
    await influx.deliver([reading(3, { v: 3 }, at)]);
    expect(points(server).map(({ time }) => time % 10n)).toEqual([0n, 1n, 2n]);
    expect(server.databases.get("telemetry_acme")?.overwrites).toBe(0);
    expect(influx.sink.stats?.()).toMatchObject({ collisions: 2 });
  });

  test("a retry sends the same times", async () => {
    const { server, influx } = await start({
      fault: ({ number }) => (number === 1 ? "reset-after-store" : null),
    });
    const batch = [reading(1, { v: 1 }, at), reading(2, { v: 2 }, at), reading(3, { v: 3 }, at)];
    expect(await influx.persist(batch)).toBe(2);
    expect(server.writes[1]?.write.body).toBe(server.writes[0]?.write.body ?? "");
    expect(points(server)).toHaveLength(3);
  });

  test("a start knows those that the spool still has of before: the next takes no place, and what comes again after a kill has its own", async () => {
    const { server, influx } = await start();
    const readings = [1, 2, 3, 4].map((seq) => reading(seq, { v: seq }, at));
    await influx.deliver(readings.slice(0, 3));
    await influx.restart({ kept: readings.slice(0, 3), known: { seq: 1, detours: noDetours } });
    expect(await influx.deliver(readings.slice(1))).toEqual(all(3));
    expect(points(server)).toHaveLength(4);
    expect(points(server).map(({ fields }) => fields.get("v"))).toMatchObject(
      [1, 2, 3, 4].map((value) => ({ value })),
    );
  });

  test("a start also knows those of a lane that lags, and only what that has delivered", async () => {
    const { server, influx } = await start();
    const [first, second] = [reading(1, { v: 1 }, at), reading(2, { v: 2 }, at)];
    const others = [3, 4, 5, 6, 7].map((seq) => reading(seq, { v: seq }, { eventMs: at.eventMs + seq }));
    await influx.deliver([first]);
    const detours = new Map([["telemetry_acme", { seq: 2, waiting: 6 }]]);
    await influx.restart({ kept: [first, second, ...others], known: { seq: 7, detours } });
    await influx.deliver([second, ...others]);
    expect(points(server)).toHaveLength(7);
  });

  test("the same reading twice is one point and no collision", async () => {
    const { server, influx } = await start();
    await influx.deliver([reading(1, { v: 1 }, at), reading(2, { v: 1 }, at)]);
    expect(points(server)).toHaveLength(1);
    expect(influx.sink.stats?.()).toMatchObject({ collisions: 0 });
  });

  test("a reading comes again as such, however its numbers are spelled, and others join it", async () => {
    const { server, influx } = await start();
    const sent = (seq: number, metrics: string) =>
      event(seq, { payload: `{"metrics":{${metrics}}}`, tenantId: "acme", ...at });
    // The first of all is encoded, for its columns are new; what is like one before is scanned.
    for (const first of [1, 11, 21])
      await influx.deliver([
        sent(first, '"v":1.50,"w":2'),
        sent(first + 1, '"x":1'),
        sent(first + 2, '"x":2'),
      ]);
    expect(points(server).map(({ time, fields }) => [time % 10n, [...fields.keys()].toSorted()])).toEqual([
      [0n, ["v", "w", "x"]],
      [1n, ["x"]],
    ]);
    expect(influx.sink.stats?.()).toMatchObject({ collisions: 1 });
  });

  test("devices, tenants and types of message do not collide with one another", async () => {
    const { influx } = await start();
    await influx.deliver([reading(1, { v: 1 }, at), reading(2, { v: 2 }, { ...at, deviceId: "d2" })]);
    await influx.deliver([reading(3, { v: 3 }, { ...at, tenantId: "b" })]);
    await influx.deliver([reading(4, { v: 4 }, { ...at, msgType: "heartbeat" })]);
    expect(influx.sink.stats?.()).toMatchObject({ collisions: 0 });
  });

  test("keep counts them and sends them as they are", async () => {
    const { server, influx } = await start({}, { onCollision: "keep" });
    await influx.deliver([reading(1, { v: 1 }, at), reading(2, { v: 2 }, at)]);
    expect(server.databases.get("telemetry_acme")?.overwrites).toBe(1);
    expect(influx.sink.stats?.()).toMatchObject({ collisions: 1 });
  });
});
