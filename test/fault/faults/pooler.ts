/** A connection pooler in transaction mode before PostgreSQL: rows exactly once, and a watch that does not claim to hear. */
import { startGateway, type GatewayProcess } from "../../kit/gateway.ts";
import { pgBouncerAvailable, startPgBouncer, type PgBouncer } from "../../kit/pgbouncer.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";

let pooler: PgBouncer | undefined;

/** Gateway → PgBouncer → the site's proxy → PostgreSQL. */
async function launch(env: Record<string, string>, dataDir: string): Promise<GatewayProcess> {
  const url = env["DATABASE_URL"] ?? "";
  pooler ??= await startPgBouncer({ port: Number(new URL(url).port) }, "transaction", "sluice");
  return startGateway({ ...env, DATABASE_URL: pooler.url(url) }, dataDir);
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
];
