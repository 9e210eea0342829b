/**
 * Strangers at the embedded broker with names that a LATIN1 database cannot hold: they cost nobody else an answer.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { connectAsync } from "mqtt";
import { executable, sluice, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  postgresAvailable(),
].filter(Boolean);

let gateway: GatewayProcess | undefined;
afterEach(async () => {
  await gateway?.kill9();
  if (gateway) rmSync(dirname(gateway.dataDir), { recursive: true, force: true });
});

const odd = ["😀", "温度計-1", "датчик", "a\u0301", "€", "\u{10ffff}"];

test.skipIf(absent.length > 0).each(["LATIN1", "EUC_JP", "SQL_ASCII"])(
  `in a %s database (skipped where: ${absent.join(", ")})`,
  async (encoding) => {
    const url = await (await sharedPostgres()).createDatabase(encoding);
    const env = { DATABASE_URL: url, BROKER_LISTEN: "127.0.0.1:0", BROKER_REQUIRE_AUTH: "1" };
    const running = await startGateway(env);
    gateway = running;
    const at = { ...env, DATA_DIR: running.dataDir };
    const added = await sluice(at, "devices", "add", "acme", "d", "--site", "s");
    const token = added.out.trim();
    const port = /"broker":\{[^}]*"port":(\d+)/.exec(running.log())?.[1] ?? "";
    const enter = (device: string, password: string) =>
      connectAsync(`mqtt://127.0.0.1:${port}`, {
        username: `acme/${device}`,
        password,
        reconnectPeriod: 0,
        connectTimeout: 10_000,
      });

    const refusals = await Promise.all(
      odd.map((name) =>
        enter(name, "wrong").then(
          () => "let in",
          (error: unknown) => String(error),
        ),
      ),
    );
    for (const refusal of refusals) expect(refusal).toMatch(/not authorized|bad user/i);
    const registry = async () =>
      (await running.stats())["registry"] as { available: boolean; errors: number };
    expect(await registry()).toMatchObject({ available: true, errors: 0 });

    const client = await enter("d", token);
    await client.publishAsync(
      "tenant/acme/device/d/telemetry",
      JSON.stringify({ site_id: "s", provision_token: token, metrics: { n: 1 } }),
      { qos: 1 },
    );
    await until(async () => (await running.stats()).ingest.accepted === 1);
    await until(async () => (await running.stats()).sinks["postgres"]?.waiting === 0);
    expect((await running.stats()).sinks["postgres"]).toMatchObject({ delivered: 1, trouble: null });
    await client.endAsync();
  },
);
