/**
 * A device that shows its token alone, as MQTT user name, as the devices of ThingsBoard and others do: MQTT.js against the compiled
 * executable, with PostgreSQL and with the local store.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { type GatewayProcess, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { freePort } from "../kit/port.ts";
import { postgresAvailable, type PostgresServer, startPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-bare-token-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const stores = [
  { name: "the local store", unavailable: "" },
  { name: "PostgreSQL", unavailable: postgresAvailable() },
];

describe.each(stores)("with $name", ({ name, unavailable }) => {
  describe.skipIf(unavailable !== "")(unavailable === "" ? "" : `(skipped: ${unavailable})`, () => {
    const clients: MqttClient[] = [];
    const tokens: string[] = [];
    let env: Record<string, string>;
    let gateway: GatewayProcess;
    let port: number;
    let server: PostgresServer | undefined;

    const run = async (...words: string[]) => {
      const { code, out, err } = await sluice(env, ...words);
      if (code !== 0) throw new Error(`${words.join(" ")}: ${err}`);
      const token = /tok-[\w-]{32}/.exec(out)?.[0] ?? "";
      if (token !== "") tokens.push(token);
      return token;
    };
    const add = (id: string) => run("devices", "add", "acme", id, "--site", "hall-7");
    const connect = async (username: string, clientId = `meter-${username.slice(0, 12)}`) => {
      const at = { host: "127.0.0.1", port, protocolVersion: 4, reconnectPeriod: 0, clientId } as const;
      const client = await connectAsync({ ...at, username });
      client.on("error", () => {});
      clients.push(client);
      return client;
    };
    const refused = (username: string) => expect(connect(username)).rejects;
    const gone = (client: MqttClient) => until(() => !client.connected);

    beforeAll(async () => {
      const mappings = join(dir, "mappings.toml");
      writeFileSync(
        mappings,
        'tenant = "acme"\n[[mapping]]\ntopic = "v1/devices/me/telemetry"\nproof = "connection"\n',
      );
      port = await freePort();
      if (name === "PostgreSQL") server = await startPostgres();
      env = {
        DATA_DIR: join(dir, name),
        BROKER_LISTEN: `127.0.0.1:${port}`,
        BROKER_REQUIRE_AUTH: "1",
        BROKER_TENANT: "acme",
        MAPPINGS_FILE: mappings,
        REGISTRY_WAIT_MS: "1000",
        ...(server && { DATABASE_URL: await server.createDatabase() }),
      };
      gateway = await startGateway(env, env["DATA_DIR"]);
    });
    afterEach(async () => {
      for (const client of clients.splice(0)) await client.endAsync(true);
    });
    afterAll(async () => {
      await gateway.stop();
      await server?.stop();
    });

    test("it is its device: on its own topic and on a mapping's, without token, names and site in its messages", async () => {
      const client = await connect(await add("d1"));
      await client.publishAsync("v1/devices/me/telemetry", '{"temperature":21.5}', { qos: 1 });
      await client.publishAsync("tenant/acme/device/d1/telemetry", '{"metrics":{"a":1}}', { qos: 1 });
      const { ingest } = await statsWhen(gateway, (stats) => stats.ingest.accepted === 2);
      expect(ingest.rejected).toEqual({});
      client.publish("tenant/acme/device/d2/telemetry", '{"metrics":{"a":1}}', { qos: 1 });
      await gone(client);
    });

    test("a token that is nobody's is refused, and so is one of two devices", async () => {
      await refused("tok-nobodys-at-all-00000000000").toThrow(/bad username or password/i);
      const file = join(dir, "twins.csv");
      const hash = new Bun.CryptoHasher("sha256").update("AShortTokenOfTwo").digest("hex");
      writeFileSync(
        file,
        `tenant_id,device_id,site_id,provision_token_hash\nacme,t1,s,${hash}\nbeta,t2,s,${hash}\n`,
      );
      await run("devices", "import", file);
      await refused("AShortTokenOfTwo").toThrow(/bad username or password/i);
      await until(() => gateway.log().includes("several devices have the token"));
    });

    test("one of two devices is refused also if the first is known, and a third of another token is not", async () => {
      const [hash, other] = ["ATokenOfTwins", "ATokenOfOne"].map((token) =>
        new Bun.CryptoHasher("sha256").update(token).digest("hex"),
      );
      const file = join(dir, "known.csv");
      const importAll = async (...lines: string[]) => {
        writeFileSync(file, `tenant_id,device_id,site_id,provision_token_hash\n${lines.join("\n")}\n`);
        await run("devices", "import", file);
      };
      await importAll(`acme,k1,s,${hash}`, `acme,k3,s,${other}`);
      // By its name and token, so that it is cached.
      const at = { host: "127.0.0.1", port, protocolVersion: 4, reconnectPeriod: 0 } as const;
      const first = await connectAsync({ ...at, username: "acme/k1", password: "ATokenOfTwins" });
      await importAll(`acme,k2,s,${hash}`);
      await refused("ATokenOfTwins").toThrow(/bad username or password/i);
      await connect("ATokenOfOne");
      expect(first.connected).toBe(true);
      await first.endAsync(true);
    });

    test("revoked, it is disconnected and refused; activated, it is let in again", async () => {
      const token = await add("d3");
      const client = await connect(token);
      await run("devices", "revoke", "acme", "d3");
      await gone(client);
      await refused(token).toThrow(/bad username or password/i);
      await run("devices", "activate", "acme", "d3");
      // The local store hears of another process within a quarter of a second.
      await until(() => connect(token).then(Boolean, () => false));
    });

    test("rotated, the old token ends at once, or after its grace", async () => {
      const first = await add("d4");
      const client = await connect(first);
      const second = await run("devices", "rotate-token", "acme", "d4");
      await gone(client);
      await refused(first).toThrow(/bad username or password/i);
      await connect(second);
      const third = await run("devices", "rotate-token", "acme", "d4", "--grace", "3600");
      await connect(second, "with-the-old");
      await connect(third, "with-the-new");
    });

    // The local store is never away.
    if (name === "PostgreSQL")
      test("while the registry is away who is known connects, also after a restart; the others are told to come again", async () => {
        const token = await add("d5");
        await connect(token);
        await statsWhen(gateway, ({ sinks }) => sinks["postgres"]?.waiting === 0);
        await server?.kill9();
        await connect(token, "again");
        await refused("tok-nobodys-at-all-00000000001").toThrow(/server unavailable/i);
        await gateway.stop();
        gateway = await startGateway(env, env["DATA_DIR"]);
        const client = await connect(token);
        await client.publishAsync("v1/devices/me/telemetry", '{"temperature":22}', { qos: 1 });
        await server?.start();
        await statsWhen(gateway, ({ sinks }) => sinks["postgres"]?.waiting === 0);
        await connect(await add("d6"));
      });

    test("no token that was shown is in the log", async () => {
      expect(tokens.length).toBeGreaterThanOrEqual(5);
      for (const token of [...tokens, "tok-nobodys", "AShortTokenOfTwo"]) {
        expect(gateway.log()).not.toContain(token);
        expect(gateway.log()).not.toContain(new Bun.CryptoHasher("sha256").update(token).digest("hex"));
      }
    });
  });
});
