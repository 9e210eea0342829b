/**
 * InfluxDB answers wrongly, is slow, is gone. PostgreSQL must not notice, and in the end every event is a point. (A
 * fake of InfluxDB 3, because the real one cannot be made to answer so.)
 */
import type { Stats } from "../../../src/admin/measurements.ts";
import type { Fault as Answer, Influx3, Write } from "../../kit/influx3.ts";
import type { Proxy } from "../../kit/proxy.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

function influxOf(site: Site): { server: Influx3; line: Proxy } {
  if (!site.influx) throw new Error("this site has no InfluxDB");
  return site.influx;
}

async function sinks(site: Site): Promise<Stats["sinks"]> {
  return (await site.gateway.stats()).sinks;
}

/** A fault that begins, takes effect while PostgreSQL goes on, and ends. */
async function outages(
  site: Site,
  times: number,
  begin: () => void,
  end: () => void,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  for (let i = 0; i < times; i++) {
    begin();
    await until(async () => (await sinks(site))["influx"]?.["trouble"] !== null, 60_000);
    const before = (await sinks(site))["postgres"]?.delivered ?? 0;
    await until(async () => ((await sinks(site))["postgres"]?.delivered ?? 0) > before + 100, 60_000);
    await meanwhile();
    end();
    await until(async () => (await sinks(site))["influx"]?.["trouble"] === null, 90_000);
  }
  return times;
}

/** Every event is a point or a dead letter, and none overwrote another. */
function points(site: Site, stats: readonly Stats[], refusedWanted: number): string[] {
  const { server } = influxOf(site);
  const influx = stats[0]?.sinks["influx"];
  const accepted = stats[0]?.ingest.accepted ?? 0;
  const overwrites = [...server.databases.values()].reduce((sum, database) => sum + database.overwrites, 0);
  const { delivered = 0, refused = 0, skipped = 0 } = influx ?? {};
  return [
    ...(server.stored() === accepted - refused ? [] : [`${server.stored()} points of ${accepted} events`]),
    ...(delivered + refused === accepted ? [] : [`influx delivered ${delivered} of ${accepted}`]),
    ...(refused === refusedWanted && skipped === 0 ? [] : [`influx refused ${refused}, skipped ${skipped}`]),
    ...(overwrites === 0 ? [] : [`${overwrites} points overwritten`]),
  ];
}

const denied: Answer = { status: 403, text: "insufficient permissions for write" };
/** The last stops the write-ahead log of InfluxDB 3 for good. */
const wildTimes = [
  "1970-01-01T00:00:12Z",
  "1999-12-31T23:59:59Z",
  "2016-02-29T00:00:00Z",
  "2100-01-01T00:00:00Z",
  "2262-04-11T23:45:00Z",
];

function answers(name: string, says: string, few: number, answer: Answer): Fault {
  return {
    name: `influx-${name}`,
    says: `InfluxDB: ${says}`,
    site: { influx: true, env: { INFLUX_TIMEOUT_MS: "1000" } },
    few,
    many: Math.max(few, 3),
    run: (site, times) =>
      outages(
        site,
        times,
        () => influxOf(site).server.set({ fault: () => answer }),
        () => influxOf(site).server.set({ fault: () => null }),
      ),
    also: (site, stats) => points(site, stats, 0),
  };
}

export const influxFaults: readonly Fault[] = [
  // Looked at again only every half minute, so not for a selection.
  answers("400", "400 to everything for a while", 0, { status: 400, text: "Bad Request" }),
  answers("429", "429 with Retry-After for a while", 1, {
    status: 429,
    text: "slow down",
    headers: { "retry-after": "1" },
  }),
  answers("500", "500 for a while", 1, { status: 500, text: "internal error" }),
  answers("503", "503 for a while", 1, { status: 503, text: "overloaded" }),
  // As the first.
  answers("401", "401 for a while", 0, { status: 401, text: "the request was not authenticated" }),
  {
    name: "influx-403",
    says: "InfluxDB: 403 to one of two databases for a while, the other goes on",
    site: { influx: true },
    few: 0,
    many: 3,
    run: (site, times) =>
      outages(
        site,
        times,
        () =>
          influxOf(site).server.set({
            fault: ({ database }) => (database.endsWith("_acme") ? denied : null),
          }),
        () => influxOf(site).server.set({ fault: () => null }),
        async () => {
          const other = () => influxOf(site).server.databases.get("telemetry_globex")?.size ?? 0;
          const before = other();
          await until(() => other() > before + 100, 60_000);
        },
      ),
    also: (site, stats) => points(site, stats, 0),
  },
  answers("hangs", "takes the request and never answers, for a while", 1, "hang"),
  answers("reset", "stores the lines and breaks the connection before it answers", 1, "reset-after-store"),
  {
    name: "influx-disk-full",
    says: "InfluxDB: its disk full, so that no write is answered until there is room",
    site: { influx: true, env: { INFLUX_TIMEOUT_MS: "1000" } },
    few: 1,
    many: 3,
    run: (site, times) =>
      outages(
        site,
        times,
        () => influxOf(site).server.set({ diskFull: true }),
        () => influxOf(site).server.set({ diskFull: false }),
      ),
    also: (site, stats) => points(site, stats, 0),
  },
  {
    name: "influx-slow-way",
    says: "InfluxDB: a way to it on which no body of more than 40 lines is answered in time",
    site: { influx: true, rate: 600, env: { INFLUX_TIMEOUT_MS: "1000", INFLUX_FLUSH_INTERVAL_MS: "1000" } },
    few: 1,
    many: 4,
    async run(site, times) {
      const { server } = influxOf(site);
      const isLong = ({ body }: Write) => body.split("\n").length > 40;
      server.set({ fault: (write) => (isLong(write) ? "hang" : null) });
      const unanswered = () =>
        server.writes.filter(({ write, status }) => status === 0 && isLong(write)).length;
      await until(() => unanswered() >= times, 60_000);
      const stored = server.stored();
      await until(() => server.stored() >= stored + 200, 60_000);
      server.set({ fault: () => null });
      return unanswered();
    },
    also: (site, stats) => points(site, stats, 0),
  },
  {
    name: "influx-wild-clock",
    says: "InfluxDB: a device whose clock runs wild, up to the time that kills InfluxDB 3",
    site: {
      influx: true,
      rate: 0,
      faults: {},
      devices: 10,
      spoil: (n, text) =>
        n >= 100 && n < 160 && text.includes('"temp_c":')
          ? {
              text: text.replace(/"ts":"[^"]*"/, `"ts":"${wildTimes[n % wildTimes.length]}"`),
              expected: "event",
            }
          : null,
    },
    few: 20,
    many: 20,
    async run(site) {
      influxOf(site).server.set({ walFilesMax: 0 });
      await site.publish({ count: 300, rate: 600 });
      await until(async () => (await sinks(site))["influx"]?.waiting === 0, 60_000);
      return (await sinks(site))["influx"]?.refused ?? 0;
    },
    also: (site, stats) => [
      ...points(site, stats, 20),
      ...(influxOf(site).server.walDead ? ["the write-ahead log is dead"] : []),
    ],
  },
  {
    name: "influx-gone",
    says: "InfluxDB: gone for a while (connections refused)",
    site: { influx: true },
    few: 1,
    many: 3,
    run: (site, times) =>
      outages(
        site,
        times,
        () => influxOf(site).line.mode("refuse"),
        () => influxOf(site).line.mode("pass"),
      ),
    also: (site, stats) => points(site, stats, 0),
  },
  {
    name: "influx-413",
    says: "InfluxDB: 413 to every body above 1 KB",
    site: { influx: true, rate: 600 },
    // It learns the bound from the first, and tries again only now and then.
    few: 1,
    many: 4,
    async run(site, times) {
      const { server } = influxOf(site);
      server.set({ bodyBytesMax: 1024 });
      const tooLarge = () => server.writes.filter(({ status }) => status === 413).length;
      await until(() => tooLarge() >= times, 60_000);
      server.set({ bodyBytesMax: 10_485_760 });
      return tooLarge();
    },
    also: (site, stats) => points(site, stats, 0),
  },
  {
    name: "influx-slow",
    says: "InfluxDB: a second and a half for every answer",
    site: { influx: true },
    few: 2,
    many: 20,
    async run(site, times) {
      const { server } = influxOf(site);
      server.set({ flushMs: 1500 });
      const before = server.writes.length;
      await until(() => server.writes.length >= before + times, 90_000);
      server.set({ flushMs: 0 });
      return server.writes.length - before;
    },
    also: (site, stats) => points(site, stats, 0),
  },
  {
    name: "influx-poison",
    says: "InfluxDB: 400 because some lines do not fit their column, the others stored",
    site: {
      influx: true,
      rate: 0,
      faults: {},
      devices: 10,
      spoil: (n, text) =>
        n >= 100 && n < 160 && text.includes('"temp_c":')
          ? { text: text.replace(/"temp_c":([\d.]+)/, '"temp_c":"$1"'), expected: "event" }
          : null,
    },
    few: 20,
    many: 20,
    async run(site) {
      await site.publish({ count: 300, rate: 600 });
      await until(async () => (await sinks(site))["influx"]?.waiting === 0, 60_000);
      return (await sinks(site))["influx"]?.refused ?? 0;
    },
    also: (site, stats) => points(site, stats, 20),
  },
  {
    name: "influx-gateway-kill9",
    says: "InfluxDB: the gateway killed while it writes, so that lines are sent again",
    site: { influx: true },
    few: 3,
    many: 20,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 500));
        await site.killAndStart();
      }
      return times;
    },
    also: (site, stats) => points(site, stats, 0),
  },
];
