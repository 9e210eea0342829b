/**
 * Downstream systems, devices and strangers that repeat secrets: none appears in the log, /stats, /readyz, /metrics,
 * a dead letter, the audit log, or in the output of `sluice check` and the other commands.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import postgres from "postgres";
import { localRegistry } from "../kit/stores.ts";
import { aDevice, sha256 } from "../kit/builders.ts";
import { executable, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { freePort } from "../kit/port.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-masking-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const adminToken = "admin-S3cret-of-some-length";
const influxToken = "influx-S3cret_of.some~length==";
const password = "pg-S3cret/with@signs";
const deviceToken = "tok-deviceS3cretdeviceS3cretdevice00";
const secrets = [adminToken, influxToken, password, encodeURIComponent(password), deviceToken, "S3cret"];

/** What a downstream system may answer, with everything that it was sent. */
const indiscreet = (authorization: string) =>
  `unauthorized: ${authorization}, token ${influxToken}, at http://me:${encodeURIComponent(password)}@influx:8086/write?u=me&p=S3cret&token=${influxToken}; {"password":"${password}"}; ${deviceToken}`;

/** InfluxDB 3: refuses the first lines one by one, then everything. */
function influx(isAway: () => boolean) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const words = indiscreet(request.headers.get("authorization") ?? "");
      if (isAway()) return Response.json({ error: words }, { status: 401 });
      const data = [{ line_number: 1, error_message: words, original_line: "x" }];
      return Response.json({ error: "partial write of line protocol occurred", data }, { status: 400 });
    },
  });
}

const unavailable = existsSync(executable) ? postgresAvailable() : "dist/sluice is missing: bun run build";

describe.skipIf(unavailable !== "")(
  `secrets from outside${unavailable && ` (skipped: ${unavailable})`}`,
  () => {
    test("are shown nowhere", async () => {
      let away = false;
      const server = influx(() => away);
      const brokerPort = await freePort();
      const dataDir = join(directory, "data");
      const env = {
        ADMIN_TOKEN: adminToken,
        BROKER_LISTEN: `127.0.0.1:${brokerPort}`,
        INFLUXDB_URL: `http://127.0.0.1:${server.port}`,
        INFLUXDB_API: "v3",
        INFLUXDB_TOKEN: influxToken,
        INFLUX_FLUSH_INTERVAL_MS: "0",
        LOG_LEVEL: "debug",
      };
      const shown: [string, string][] = [];
      const gateway = await startGateway(env, dataDir);
      const ask = async (path: string, method = "GET", body?: unknown) => {
        const response = await fetch(`${gateway.url}${path}`, {
          method,
          headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        shown.push([`${method} ${path.replace(deviceToken, "…")}`, await response.text()]);
      };

      const registry = localRegistry({ path: join(dataDir, "local.db") });
      await registry.add([aDevice({ tokenHash: sha256(deviceToken) })]);
      await registry.close();
      const publish = async (n: number) => {
        const client = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, { clientId: deviceToken });
        const { tenantId, deviceId, siteId } = aDevice();
        const body = { site_id: siteId, provision_token: deviceToken, seq: n, metrics: { t: n } };
        await client.publishAsync(`tenant/${tenantId}/device/${deviceId}/telemetry`, JSON.stringify(body), {
          qos: 1,
        });
        await client.endAsync();
      };
      await publish(1);
      await statsWhen(gateway, ({ sinks }) => sinks["influx"]?.refused === 1);
      away = true;
      await publish(2);
      await statsWhen(gateway, ({ sinks }) => typeof sinks["influx"]?.["trouble"] === "string");
      await connectAsync(`mqtt://acme%2Fd:x@127.0.0.1:${brokerPort}`, {
        clientId: deviceToken,
        password,
        reconnectPeriod: 0,
      }).catch(() => {});
      await ask("/admin/devices", "POST", {
        tenant_id: "acme",
        device_id: deviceToken,
        site_id: influxToken,
      });
      await ask(`/admin/devices/acme/${deviceToken}`, "PATCH", { metadata: { influxToken, adminToken } });
      shown.splice(0);
      for (const path of ["/stats", "/readyz", "/metrics", "/admin/dead-letters", "/admin/dead-letters/1"])
        await ask(path);
      const remote = { ADMIN_TOKEN: adminToken };
      for (const words of [["list"], ["show", "1"]]) {
        const said = await sluice(remote, "dead-letters", ...words, "--gateway", gateway.url);
        shown.push([`dead-letters ${words.join(" ")}`, said.out + said.err]);
      }
      const checked = await sluice({ ...env, DATA_DIR: dataDir }, "check");
      shown.push(["check", checked.out + checked.err]);
      await gateway.stop();
      await server.stop(true);
      shown.push(
        ["the log", gateway.log()],
        ["the audit log", readFileSync(join(dataDir, "audit.ndjson"), "utf8")],
      );

      expect(checked.out).toMatch(/^influx +FAILED .*unauthorized/m);
      expect(leaksIn(shown)).toEqual([]);
      expect(gateway.log()).toContain('"client_id":"tok-***"');
      expect(shown.find(([what]) => what === "the audit log")?.[1]).toContain("devices.update");
      expect(
        shown.find(([what]) => what === "/admin/dead-letters" || what.includes("dead-letters"))?.[1],
      ).toContain("unauthorized");
    }, 60_000);

    test("from PostgreSQL, with the row that it quotes", async () => {
      const url = await (await sharedPostgres()).createDatabase();
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      const withPassword = url
        .replace("://", "://")
        .replace(/\/\/([^@:/]+)(:[^@]*)?@/, `//$1:${encodeURIComponent(password)}@`);
      const env = { DATABASE_URL: withPassword, HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" };
      expect((await sluice({ ...env, DATA_DIR: join(directory, "pg") }, "migrate")).code).toBe(0);
      await sql.unsafe(`create function indiscreet() returns trigger language plpgsql as $$ begin
      raise exception 'password=% at postgres://me:%@db; Failing row contains (S3cret, %).', '${password}', '${password}', new.payload;
      end $$`);
      await sql.unsafe(
        "create trigger indiscreet before insert on raw_events for each row execute function indiscreet()",
      );
      await sql`insert into device_registry (tenant_id, device_id, site_id, status) values ('acme', 'd1', 's', 'ACTIVE')`;
      const brokerPort = await freePort();
      const gateway = await startGateway({
        ...env,
        BROKER_LISTEN: `127.0.0.1:${brokerPort}`,
        REQUIRE_TOKEN: "0",
      });
      const client = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`);
      await client.publishAsync(
        "tenant/acme/device/d1/telemetry",
        JSON.stringify({ site_id: "s", metrics: { rowvalue: 1 } }),
        { qos: 1 },
      );
      await client.endAsync();
      await statsWhen(gateway, ({ sinks }) => typeof sinks["postgres"]?.["trouble"] === "string");
      const shown: [string, string][] = [];
      for (const path of ["/stats", "/readyz", "/metrics"])
        shown.push([path, await (await fetch(`${gateway.url}${path}`)).text()]);
      const checked = await sluice({ ...env, DATA_DIR: gateway.dataDir }, "check");
      shown.push(["check", checked.out + checked.err]);
      await gateway.stop();
      await sql.end();
      shown.push(["the log", gateway.log()]);
      expect(leaksIn(shown)).toEqual([]);
      for (const [what, text] of shown)
        expect([what, text]).toEqual([what, expect.not.stringContaining("rowvalue")]);
      expect(shown[0]?.[1]).toContain("row contains (…)");
      rmSync(gateway.dataDir, { recursive: true, force: true });
    }, 60_000);
  },
);

test.skipIf(!existsSync(executable))(
  "a terminal obeys nothing in the log and in answers over HTTP (skipped without dist/sluice)",
  async () => {
    const brokerPort = await freePort();
    const gateway = await startGateway({ BROKER_LISTEN: `127.0.0.1:${brokerPort}`, ADMIN_TOKEN: adminToken });
    const evil = "\u009b2J\u202e\u007f";
    await connectAsync(`mqtt://x:y@127.0.0.1:${brokerPort}`, { clientId: evil, reconnectPeriod: 0 }).catch(
      () => {},
    );
    const client = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`);
    await client.publishAsync(`tenant/acme/device/\u202eback/telemetry`, "{}", { qos: 1 });
    await client.endAsync();
    await statsWhen(gateway, ({ ingest }) => ingest.received === 1 && ingest.judging === 0);
    const headers = { authorization: `Bearer ${adminToken}` };
    const rejects = await (await fetch(`${gateway.url}/admin/rejects`, { headers })).text();
    const unknown = await fetch(`${gateway.url}/admin/devices/acme/${encodeURIComponent(evil)}x`, {
      headers,
    });
    const texts = [rejects, await unknown.text(), gateway.log()];
    await gateway.stop();
    for (const text of texts) expect(text).not.toMatch(/[\x7f-\x9f\u202e]/);
    expect(JSON.stringify(JSON.parse(rejects))).toContain("\u202eback");
    expect(gateway.log()).toContain(String.raw`\u009b2J`);
    rmSync(gateway.dataDir, { recursive: true, force: true });
  },
  60_000,
);

function leaksIn(shown: readonly [string, string][]): string[][] {
  return shown.flatMap(([what, text]) =>
    secrets.filter((secret) => text.includes(secret)).map((secret) => [what, secret, text.slice(0, 3_000)]),
  );
}
