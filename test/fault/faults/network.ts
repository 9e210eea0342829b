/** The line between the gateway and the broker, or PostgreSQL: cut, refused, a black hole, slow. */
import { until } from "../../kit/until.ts";
import type { Proxy } from "../../kit/proxy.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

interface Line {
  readonly name: string;
  readonly says: string;
  /** The MQTT client waits longer after each connection that did not last, as it should: so few cuts take long. */
  readonly cutsFew: number;
  proxy(site: Site): Proxy;
  /** Whether the gateway knows that the other system is away. */
  isDown(site: Site): Promise<boolean>;
}

const lines: readonly Line[] = [
  {
    name: "broker",
    says: "the broker",
    cutsFew: 3,
    proxy: (site) => site.brokerLine,
    isDown: async (site) => !((await site.gateway.stats())["source"] as { connected: boolean }).connected,
  },
  {
    name: "postgres",
    says: "PostgreSQL",
    cutsFew: 8,
    proxy: (site) => site.databaseLine,
    isDown: async (site) => (await site.gateway.stats()).sinks["postgres"]?.["trouble"] !== null,
  },
];

function cut(line: Line): Fault {
  return {
    name: `${line.name}-cut`,
    says: `Network: the line to ${line.says} cut again and again`,
    few: line.cutsFew,
    many: line.cutsFew * 4,
    async run(site, times, random) {
      const proxy = line.proxy(site);
      for (let i = 0; i < times; i++) {
        const before = proxy.accepted();
        await Bun.sleep(random.whole(0, 200));
        proxy.cut();
        await until(() => proxy.accepted() > before, 60_000);
      }
      return times;
    },
  };
}

function away(line: Line, mode: "refuse" | "blackhole", says: string): Fault {
  return {
    name: `${line.name}-${mode}`,
    says: `Network: ${line.says} ${says}`,
    site: { env: { MQTT_KEEPALIVE_SECONDS: "1" } },
    few: 1,
    many: 5,
    async run(site, times, random) {
      const proxy = line.proxy(site);
      for (let i = 0; i < times; i++) {
        proxy.mode(mode);
        await until(() => line.isDown(site), 60_000);
        await Bun.sleep(random.whole(0, 500));
        proxy.mode("pass");
        proxy.cut();
        await until(async () => !(await line.isDown(site)), 90_000);
      }
      return times;
    },
  };
}

function slow(line: Line): Fault {
  return {
    name: `${line.name}-slow`,
    says: `Network: 150 ms each way to ${line.says}`,
    // A batch takes about nine round trips.
    site: { env: { PG_TIMEOUT_MS: "10000" } },
    few: 1,
    many: 5,
    async run(site, times) {
      const stored = async () => (await site.gateway.stats()).sinks["postgres"]?.delivered ?? 0;
      for (let i = 0; i < times; i++) {
        const before = await stored();
        line.proxy(site).delay(150);
        await until(async () => (await stored()) > before + 100, 60_000);
        line.proxy(site).delay(0);
      }
      return times;
    },
  };
}

export const networkFaults: readonly Fault[] = lines.flatMap((line) => [
  cut(line),
  away(line, "refuse", "refuses connections for a while"),
  away(line, "blackhole", "is a black hole for a while: accepts, never answers"),
  slow(line),
]);
