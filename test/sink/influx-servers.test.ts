/** Version 2 (a fake; the real version 1 is in influx1.test.ts), retention on 3, and which one `auto` finds. */
import { describe, expect, test } from "bun:test";
import { Outage } from "../../src/core/outage.ts";
import { all, eventsOfNow as events, reading } from "../contract/entries.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { orgId, startInflux2 } from "../kit/influx2.ts";
import { startInflux3 } from "../kit/influx3.ts";
import { openInflux } from "../kit/influxsink.ts";

const ends = endsAfterEach();

function open(settings: Parameters<typeof openInflux>[0]) {
  const influx = openInflux(settings);
  ends.push(() => influx.dispose());
  return influx;
}

describe("auto", () => {
  test("finds version 3, even if ping requires a token and ours is wrong", async () => {
    const server = await startInflux3({ token: "t" });
    ends.push(() => server.stop());
    const influx = open({ url: server.url, token: "t" });
    await influx.deliver(events(1, 2));
    expect(influx.sink.stats?.()).toMatchObject({ target: `v3 ${server.url}` });
    const stranger = open({ url: server.url, token: "wrong" });
    await expect(stranger.deliver(events(1, 2))).rejects.toThrow("401");
  });

  test("finds version 2", async () => {
    const server = startInflux2({ org: "o", token: "t" });
    ends.push(() => server.stop());
    const influx = open({ url: server.url, token: "t", org: "o", retention: "30d" });
    expect(await influx.deliver(events(1, 2))).toEqual(all(2));
    expect(influx.sink.stats?.()).toMatchObject({ target: `v2 ${server.url}` });
  });

  test("says so if it is another service, and tries again", async () => {
    let known = false;
    const fake = await startInflux3();
    ends.push(() => fake.stop());
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) =>
        known
          ? fetch(fake.url + new URL(request.url).pathname + new URL(request.url).search, request)
          : new Response("hello"),
    });
    ends.push(() => server.stop(true));
    const influx = open({ url: `http://127.0.0.1:${server.port}` });
    await expect(influx.deliver(events(1, 2))).rejects.toThrow(
      /correct the host and port, .* set INFLUXDB_API/,
    );
    known = true;
    expect(await influx.deliver(events(1, 2))).toEqual(all(2));
  });
});

describe("version 2", () => {
  function start(retention?: string) {
    const server = startInflux2({ org: "site one", token: "t" });
    ends.push(() => server.stop());
    const settings = { url: server.url, token: "t", org: "site one", api: "v2" as const };
    return { server, influx: open(retention === undefined ? settings : { ...settings, retention }) };
  }

  test("a missing bucket parks the tenant, with an alarm", async () => {
    const { influx } = start();
    const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Outage);
    expect(error).toHaveProperty("alarm", true);
    expect(influx.refused.size).toBe(0);
  });

  test("a bucket is created beforehand if a retention period is given, once", async () => {
    const { server, influx } = start("4w");
    await influx.deliver(events(1, 2));
    await influx.restart();
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
    expect(server.rules).toEqual([{ name: "telemetry_acme", everySeconds: 2_419_200, orgID: orgId }]);
    expect(server.buckets.get("telemetry_acme")?.points("telemetry")).toHaveLength(4);
    expect(await influx.sink.probe()).toContain("1 database in use");
  });

  test("a bucket that was removed is created again", async () => {
    const { server, influx } = start("30d");
    await influx.deliver(events(1, 2));
    server.buckets.clear();
    await expect(influx.deliver(events(3, 4))).rejects.toThrow("was deleted, and is created again");
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
  });

  test("a type conflict that names no line: the words find it, and numbers are written as the column's type", async () => {
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

  const dayMs = 86_400_000;
  const of = (atMs: number, seq: number, metrics: Record<string, unknown>) =>
    reading(seq, metrics, { receivedMs: atMs, eventMs: atMs + seq, eventNs: 0 });

  test.each(["2.7", "short", "2.0"] as const)(
    "lines older than the retention period, in the words of %s: fresh ones are stored at once, by few requests",
    async (retentionWords) => {
      const { server, influx } = start("30d");
      server.set({ retentionWords });
      const now = Date.now();
      const mixed = Array.from({ length: 600 }, (_, i) =>
        of(i % 2 === 0 ? now : now - 60 * dayMs, i + 1, { n: i }),
      );
      expect(await influx.deliver(mixed)).toEqual({ delivered: 300, ignored: 0, refused: 300 });
      expect(server.writes).toHaveLength(2);
      expect(server.buckets.get("telemetry_acme")?.size).toBe(300);
    },
  );

  test("types belong to a week: the type of an old reading does not matter to a new one", async () => {
    const { server, influx } = start("forever");
    const now = Date.now();
    const then = now - 200 * dayMs;
    await influx.deliver([of(now, 1, { v: 1 })]);
    expect(await influx.deliver([of(then, 2, { v: "text" })])).toEqual(all(1));
    for (let seq = 3; seq < 8; seq += 1)
      expect(await influx.deliver([of(now, seq, { v: seq })])).toEqual(all(1));
    const both = [
      of(then, 10, { v: "x" }),
      of(now, 11, { v: 2 }),
      of(then, 12, { v: 3 }),
      of(now, 13, { v: "y" }),
    ];
    expect(await influx.deliver(both)).toEqual({ delivered: 2, ignored: 0, refused: 2 });
    expect([...influx.refused.keys()].toSorted()).toEqual([12, 13]);
    expect(server.buckets.get("telemetry_acme")?.size).toBe(9);
  });
});

describe("retention on version 3", () => {
  async function start() {
    const server = await startInflux3({ token: "t" });
    ends.push(() => server.stop());
    const influx = openInflux({ url: server.url, token: "t", retention: "30d" });
    ends.push(() => influx.dispose());
    return { server, influx };
  }

  test("a database that somebody deletes is created again with its period, before a write creates it without", async () => {
    const { server, influx } = await start();
    for (const seq of [1, 2, 3]) {
      expect(await influx.deliver(events(seq, seq))).toEqual(all(1));
      expect(server.databases.get("telemetry_acme")?.rules.retentionMs).toBe(30 * 86_400_000);
      server.databases.clear();
    }
    expect(server.created).toHaveLength(3);
  });

  test("an invalid token is trouble of the whole server there too, and ends when the token is valid", async () => {
    const { server, influx } = await start();
    await influx.deliver(events(1, 2));
    server.set({ token: "changed" });
    await expect(influx.deliver(events(3, 4))).rejects.toThrow("check INFLUXDB_TOKEN");
    server.set({ token: "t" });
    expect(await influx.deliver(events(3, 4))).toEqual(all(2));
  });

  test("what it takes and never shows is counted", async () => {
    const { server, influx } = await start();
    const atMs = Date.now() - 31 * 86_400_000;
    const old = [1, 2, 3].map((seq) => reading(seq, { v: seq }, { receivedMs: atMs, eventMs: atMs + seq }));
    expect(await influx.deliver([...old, ...events(4, 5)])).toEqual(all(5));
    expect(influx.sink.stats?.()).toMatchObject({ lines_beyond_retention: 3 });
    expect(server.databases.get("telemetry_acme")).toMatchObject({ size: 2, invisible: 3 });
  });
});
