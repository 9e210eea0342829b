/**
 * Between the gateway and PostgreSQL: a connection pooler in transaction mode (rows exactly once, and a watch that
 * does not claim to get notifications), and a second way to the server, named as a second host.
 */
import { startGateway, type GatewayProcess } from "../../kit/gateway.ts";
import { pgBouncerAvailable, startPgBouncer, type PgBouncer } from "../../kit/pgbouncer.ts";
import { startProxy, type Proxy } from "../../kit/proxy.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";

let pooler: PgBouncer | undefined;

/** Gateway → PgBouncer → the site's proxy → PostgreSQL. */
async function launch(env: Record<string, string>, dataDir: string): Promise<GatewayProcess> {
  const url = env["DATABASE_URL"] ?? "";
  pooler ??= await startPgBouncer({ port: Number(new URL(url).port) }, "transaction", "sluice");
  return startGateway({ ...env, DATABASE_URL: pooler.url(url) }, dataDir);
}

let ways: Proxy[] = [];

/** Gateway → one of two proxies → the site's proxy → PostgreSQL. */
async function launchWithTwoHosts(env: Record<string, string>, dataDir: string): Promise<GatewayProcess> {
  const url = new URL(env["DATABASE_URL"] ?? "");
  const target = { port: Number(url.port) };
  if (ways.length === 0) ways = [await startProxy(target), await startProxy(target)];
  const hosts = ways.map(({ port }) => `127.0.0.1:${port}`).join(",");
  return startGateway({ ...env, DATABASE_URL: `postgres://sluice@${hosts}${url.pathname}` }, dataDir);
}

export const poolerFaults: readonly Fault[] = [
  {
    name: "transaction-pooler",
    says: "PgBouncer in transaction mode before PostgreSQL; the gateway and the lines to the server killed and cut",
    site: { launch },
    few: 2,
    many: 20,
    prepare: () => pgBouncerAvailable,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 400));
        site.databaseLine.cut();
        await Bun.sleep(random.whole(100, 400));
        await site.killAndStart();
      }
      return times;
    },
    async also(site) {
      const unheard = async () =>
        (await site.gateway.stats())["registry"] as { changes_unheard: string | null };
      const said = await until(
        async () => (await unheard()).changes_unheard?.includes("pooler") ?? false,
      ).catch(() => false);
      await pooler?.stop();
      pooler = undefined;
      return said ? [] : ["that revocations are not heard behind the pooler was not said"];
    },
  },
  {
    name: "second-host",
    says: "two hosts in `DATABASE_URL`: one, then the other refuses, resets or swallows what is sent; the gateway killed meanwhile",
    site: { launch: launchWithTwoHosts },
    few: 3,
    many: 12,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        const mode = (["refuse", "blackhole", "reset"] as const)[i % 3] ?? "refuse";
        const away = ways[i % 2];
        away?.mode(mode);
        if (i % 3 === 1) await site.killAndStart();
        const sink = async () => (await site.gateway.stats()).sinks["postgres"];
        const spooled = (await sink())?.["spooled"] as number;
        await until(async () => ((await sink())?.["delivered"] as number) > spooled, 60_000);
        away?.cut();
        away?.mode("pass");
      }
      return times;
    },
    async also() {
      for (const way of ways.splice(0)) await way.stop();
      return [];
    },
  },
];
