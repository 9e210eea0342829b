/**
 * A gateway behind a real PgBouncer in transaction mode: it gets no notification of a revocation, says so, and finds
 * each revocation by reading again.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { connectAsync } from "mqtt";
import postgres from "postgres";
import { executable, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { pgBouncerAvailable, startPgBouncer, type PgBouncer } from "../kit/pgbouncer.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  postgresAvailable(),
  pgBouncerAvailable,
].filter(Boolean);

let gateway: GatewayProcess | undefined;
let pooler: PgBouncer | undefined;
afterEach(async () => {
  await gateway?.kill9();
  await pooler?.stop();
  if (gateway) rmSync(dirname(gateway.dataDir), { recursive: true, force: true });
});

const registryOf = async (running: GatewayProcess) =>
  (await running.stats())["registry"] as { changes_unheard: string | null };

async function readyOf(running: GatewayProcess): Promise<string> {
  return (await fetch(`${running.url}/readyz`)).text();
}

test.skipIf(absent.length > 0).each(["transaction", "session"] as const)(
  `a device in the cache is revoked behind a pooler in %s mode (skipped where: ${absent.join(", ")})`,
  async (mode) => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    pooler = await startPgBouncer(server, mode);
    const running = await startGateway({
      DATABASE_URL: pooler.url(url),
      BROKER_LISTEN: "127.0.0.1:0",
      // A change that is seen within the test's time was not seen because a row had expired.
      AUTH_CACHE_TTL_SECONDS: "3600",
      REQUIRE_TOKEN: "0",
    });
    gateway = running;
    const heard = mode === "session" ? null : expect.stringContaining("pooler in transaction mode");
    const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
    await until(async () => (await sql`select to_regclass('device_registry') as t`)[0]?.["t"] !== null);
    await sql`insert into device_registry (tenant_id, device_id, site_id) values ('acme', 'd', 's')`;
    await until(async () => {
      const { changes_unheard: unheard } = await registryOf(running);
      return mode === "session" ? unheard === null : (unheard?.includes("pooler") ?? false);
    });
    expect((await registryOf(running)).changes_unheard).toEqual(heard);
    if (mode === "transaction") expect(await readyOf(running)).toContain("pooler in transaction mode");

    const port = /"broker":\{[^}]*"port":(\d+)/.exec(running.log())?.[1] ?? "";
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
    let seq = 0;
    const publish = async () =>
      client.publishAsync(
        "tenant/acme/device/d/telemetry",
        JSON.stringify({ site_id: "s", seq: seq++, metrics: { n: seq } }),
        { qos: 1 },
      );
    await publish();
    await until(async () => (await running.stats()).ingest.accepted === 1);
    await sql`update device_registry set status = 'REVOKED'`;
    await until(async () => {
      await publish();
      return ((await running.stats()).ingest.rejected["DEVICE_REVOKED"] ?? 0) > 0;
    });
    await client.endAsync();
    await sql.end({ timeout: 5 });
  },
);
