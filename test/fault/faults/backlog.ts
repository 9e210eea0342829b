/**
 * Backlogs, with the default limits: what devices queue while the gateway, the registry or their network is away is
 * not a flood.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

/** No message may be limited: the default settings must accept all of it. */
function noneLimited(_: Site, stats: Parameters<NonNullable<Fault["also"]>>[1]): string[] {
  const limited = stats.reduce((sum, { ingest }) => sum + (ingest.rejected["RATE_LIMITED"] ?? 0), 0);
  return limited === 0 ? [] : [`${limited} were RATE_LIMITED`];
}

export const backlogFaults: readonly Fault[] = [
  {
    name: "backlog",
    says: "Gateway stopped while 20 devices queue 35 readings each at the broker",
    site: { rate: 0, devices: 20 },
    few: 1,
    many: 10,
    also: noneLimited,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await site.gateway.stop();
        await site.publish({ count: 700 });
        await site.start();
        await until(async () => (await site.gateway.stats()).ingest.received >= 700 * (i + 1), 60_000);
      }
      return times;
    },
  },
  {
    name: "registry-away-at-start",
    says: "Started while the registry is away and no device is cached: 5 devices send 40 readings each",
    site: { rate: 0, devices: 5 },
    few: 1,
    many: 5,
    also: noneLimited,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await site.gateway.stop();
        rmSync(join(site.dataDir, "auth-cache.db"), { force: true });
        site.databaseLine.mode("refuse");
        await site.start();
        await site.publish({ count: 200 });
        await until(async () => Number((await site.gateway.stats()).ingest["deferred"]) >= 150, 60_000);
        site.databaseLine.mode("pass");
        await until(async () => (await site.gateway.stats()).ingest.judging === 0, 60_000);
      }
      return times;
    },
  },
  {
    name: "device-flushes",
    says: "One device flushes 300 buffered readings at once",
    site: { rate: 0, devices: 1, faults: {} },
    few: 1,
    many: 10,
    also: noneLimited,
    async run(site, times) {
      for (let i = 0; i < times; i++) await site.publish({ count: 300 });
      return times;
    },
  },
];
