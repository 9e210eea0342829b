/**
 * A kept reject that makes several events by today's mappings: its row is divided, each part comes back by itself and exactly once, and
 * what is wrong with one of them stays alone. In PostgreSQL and in the local file, by the compiled executable.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { executable, type GatewayProcess, sluice, startGateway, statsWhen } from "../../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto, type Mosquitto } from "../../kit/mosquitto.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";

const missing = !existsSync(executable)
  ? "dist/sluice is missing: bun run build"
  : mosquittoAvailable()
    ? ""
    : "mosquitto is not installed";
const stores = [
  { name: "local", absent: missing },
  { name: "postgres", absent: missing || postgresAvailable() },
] as const;

const sent = {
  "mill-1": [
    { ts: 1795226820, values: { rpm: 900 } },
    { ts: 1795226821, values: { rpm: 901 } },
  ],
  "mill-9": [{ ts: 1795226820, values: { rpm: 905 } }],
};

for (const { name, absent } of stores)
  describe.skipIf(absent !== "")(absent === "" ? name : `${name} (skipped: ${absent})`, () => {
    const file = join(mkdtempSync(join(tmpdir(), "sluice-divided-")), "mappings.toml");
    let mosquitto: Mosquitto | undefined;
    let env: Record<string, string>;
    let gateway: GatewayProcess;

    const start = async (mappings: string) => {
      writeFileSync(file, `tenant = "acme"\n${mappings}`);
      gateway = await startGateway(env, env["DATA_DIR"]);
      env["DATA_DIR"] = gateway.dataDir;
      await statsWhen(gateway, (stats) => (stats["source"] as { connected: boolean }).connected);
    };
    beforeAll(async () => {
      mosquitto = await startMosquitto();
      env = {
        ...{ MODE: "DEV", STORE_REJECTS: "1", ADMIN_TOKEN: "a-token-of-some-length", MAPPINGS_FILE: file },
        ...{ MQTT_URL: `mqtt://127.0.0.1:${mosquitto?.port}`, MQTT_TOPIC: "v1/#" },
        ...(name === "postgres" && { DATABASE_URL: await (await sharedPostgres()).createDatabase() }),
      };
      await start('[[mapping]]\ntopic = "other/{device}"\n');
      await sluice(env, "devices", "add", "acme", "mill-1", "--site", "hall-7", "--gateway", gateway.url);
      const client = await connectAsync(`mqtt://127.0.0.1:${mosquitto?.port}`);
      await client.publishAsync("v1/gateway/telemetry", JSON.stringify(sent), { qos: 1 });
      await client.endAsync();
      await statsWhen(gateway, ({ ingest, sinks }) => ingest.received === 1 && sinks[name]?.delivered === 1);
    });
    afterAll(async () => {
      await gateway?.kill9();
      await mosquitto?.dispose();
    });
    const json = async (...words: string[]) =>
      JSON.parse(
        (await sluice(env, "quarantine", ...words, "--gateway", gateway.url, "--json")).out,
      ) as never;

    test("comes back part by part once the file has a mapping for it", async () => {
      expect(await json("list")).toMatchObject([{ reason: "BAD_TOPIC_FORMAT", device_id: null }]);
      await gateway.stop();
      await start(
        '[[mapping]]\ntopic = "v1/gateway/telemetry"\neach = "/{device}/*"\ntime = "/ts"\nmetrics = "/values"\nproof = "broker"\n',
      );
      expect(await json("replay", "--all", "--dry-run")).toMatchObject({ matched: 3, done: 2 });
      expect(await json("list")).toHaveLength(1);
      expect(await json("replay", "--all")).toMatchObject({
        matched: 3,
        done: 2,
        kept: [{ why: "UNREGISTERED_DEVICE" }],
      });
      const stats = await statsWhen(gateway, ({ sinks }) => sinks[name]?.delivered === 3);
      expect(stats).toMatchObject({
        balanced: true,
        ingest: { accepted: 2, rejected: { BAD_TOPIC_FORMAT: 1 } },
      });
      const [left, ...others] = (await json("list")) as { id: number; device_id: string }[];
      expect(others).toEqual([]);
      expect(left).toMatchObject({ device_id: "mill-9", reason: "BAD_TOPIC_FORMAT" });
      const { payload } = (await json("show", String(left?.id))) as { payload: unknown };
      expect(typeof payload === "string" ? JSON.parse(payload) : payload).toEqual({
        "mill-9": sent["mill-9"],
      });
    });

    test("and once its device is registered, the rest", async () => {
      await sluice(env, "devices", "add", "acme", "mill-9", "--site", "hall-7", "--gateway", gateway.url);
      expect(await json("replay", "--all")).toMatchObject({ matched: 1, done: 1, kept: [] });
      const stats = await statsWhen(gateway, ({ sinks }) => sinks[name]?.delivered === 4);
      expect(stats.balanced).toBe(true);
      expect(await json("list")).toBeArrayOfSize(0);
      expect(await json("replay", "--all")).toMatchObject({ matched: 0 });
    });
  });
