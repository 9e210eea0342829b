/**
 * Redis is away, hangs, loses its memory, or holds another program's keys. The tables must not notice, and in the end
 * Redis holds the newest value per metric that they have.
 */
import { until } from "../../kit/until.ts";
import { redisAvailable } from "../../kit/redis.ts";
import type { Fault } from "../fault.ts";
import { type RedisBeside, staleMetrics } from "../redis-beside.ts";
import type { Site } from "../site.ts";
import { sinks } from "./looks.ts";

function redisOf(site: Site): RedisBeside {
  if (!site.redis) throw new Error("this site has no Redis");
  return site.redis;
}

/** A fault that begins, takes effect while PostgreSQL goes on, and ends. */
async function outages(site: Site, times: number, begin: () => unknown, end: () => unknown): Promise<number> {
  for (let i = 0; i < times; i++) {
    await begin();
    await until(async () => (await sinks(site))["redis"]?.["trouble"] !== null, 60_000);
    const before = (await sinks(site))["postgres"]?.delivered ?? 0;
    await until(async () => ((await sinks(site))["postgres"]?.delivered ?? 0) > before + 100, 60_000);
    await end();
    await until(async () => (await sinks(site))["redis"]?.["trouble"] === null, 60_000);
  }
  return times;
}

/** Redis has the newest of everything, by itself within a while, and has skipped and refused nothing. */
async function newest(
  site: Site,
  server = redisOf(site).server,
  but: readonly string[] = [],
): Promise<string[]> {
  let stale: string[] = [];
  await until(async () => {
    stale = await staleMetrics(site, server, but);
    return stale.length === 0;
  }, 30_000).catch(() => {});
  const { skipped, refused } = (await sinks(site))["redis"] ?? { skipped: -1, refused: -1 };
  return [
    ...stale.slice(0, 5),
    ...(skipped === 0 && (refused === 0 || but.length > 0)
      ? []
      : [`redis skipped ${skipped}, refused ${refused}`]),
  ];
}

type Row = Pick<Fault, "name" | "says" | "few" | "many" | "run"> & Partial<Fault>;

function row(fault: Row): Fault {
  return {
    site: { redis: "alone" },
    prepare: redisAvailable,
    also: (site) => newest(site),
    ...fault,
    name: `redis-${fault.name}`,
    says: `Redis: ${fault.says}`,
  };
}

export const redisFaults: readonly Fault[] = [
  row({
    name: "kill9",
    says: "killed while it is written to, and started again empty",
    few: 1,
    many: 10,
    run: (site, times) =>
      outages(
        site,
        times,
        () => redisOf(site).server.kill9(),
        () => redisOf(site).server.start(),
      ),
  }),
  row({
    name: "hangs",
    says: "stopped (SIGSTOP) for a while, then goes on with what it was sent",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        () => process.kill(redisOf(site).server.pid, "SIGSTOP"),
        () => process.kill(redisOf(site).server.pid, "SIGCONT"),
      ),
  }),
  row({
    name: "refused",
    says: "gone for a while (connections refused)",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        () => redisOf(site).line.mode("refuse"),
        () => redisOf(site).line.mode("pass"),
      ),
  }),
  row({
    name: "black-hole",
    says: "a way to it that swallows everything, for a while",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        () => redisOf(site).line.mode("blackhole"),
        () => {
          redisOf(site).line.cut();
          redisOf(site).line.mode("pass");
        },
      ),
  }),
  row({
    name: "flushed",
    says: "emptied (FLUSHALL) while it is written to",
    few: 2,
    many: 10,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        const refills = () => sinks(site).then((all) => Number(all["redis"]?.["refills"]));
        await until(async () => (await refills()) > i, 60_000);
        await redisOf(site).server.send("FLUSHALL");
        await until(async () => (await refills()) > i + 1, 60_000);
      }
      return times;
    },
  }),
  row({
    name: "oom",
    says: "its memory full for a while (OOM)",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        () => redisOf(site).server.send("CONFIG", "SET", "maxmemory", "1"),
        () => redisOf(site).server.send("CONFIG", "SET", "maxmemory", "0"),
      ),
  }),
  row({
    name: "failover",
    says: "the master killed, a replica promoted by a sentinel",
    site: { redis: "sentinel" },
    few: 1,
    many: 1,
    async run(site) {
      const { server, replica, sentinel } = redisOf(site);
      // A replica that the sentinel does not know yet is not promoted.
      await until(() => sentinel?.canPromote() ?? false, 60_000);
      await until(async () => ((await sinks(site))["redis"]?.delivered ?? 0) > 0, 30_000);
      await server.kill9();
      await until(async () => String(await replica?.send("ROLE")).startsWith("master"), 60_000);
      const before = (await sinks(site))["redis"]?.delivered ?? 0;
      await until(async () => ((await sinks(site))["redis"]?.delivered ?? 0) > before + 100, 60_000);
      return 1;
    },
    also: (site) => newest(site, redisOf(site).replica),
  }),
  row({
    name: "wrongtype",
    says: "a key of one device is another program's: its entries become dead letters, the others go on",
    few: 1,
    many: 20,
    async run(site, times) {
      const { server } = redisOf(site);
      const device = foreignDevice(site);
      await server.send("DEL", `device:${device}:values`);
      await server.send("SET", `device:${device}:values`, "mine");
      await until(async () => ((await sinks(site))["redis"]?.refused ?? 0) >= times, 60_000);
      return (await sinks(site))["redis"]?.refused ?? 0;
    },
    also: async (site) => [
      ...(await newest(site, undefined, [foreignDevice(site)])),
      ...((await redisOf(site).server.send("GET", `device:${foreignDevice(site)}:values`)) === "mine"
        ? []
        : ["the other program's key was overwritten"]),
    ],
  }),
  row({
    name: "gateway-kill9",
    says: "the gateway killed while it writes there, so that entries are sent again",
    few: 3,
    many: 20,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 500));
        await site.killAndStart();
      }
      return times;
    },
  }),
];

function foreignDevice(site: Site): string {
  const device = site.oracle.fleet.devices.find(({ status }) => status === "ACTIVE");
  return `${device?.tenantId}/${device?.deviceId}`;
}
