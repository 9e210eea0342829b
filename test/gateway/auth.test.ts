/**
 * Device auth of whole gateways on a real PostgreSQL: what a fleet costs, and how soon a change of the registry takes
 * effect.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import postgres from "postgres";
import { sha256 } from "../kit/builders.ts";
import {
  endLater,
  fleet,
  type InProcess,
  registered,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { recordingLog } from "../kit/source.ts";
import { until } from "../kit/until.ts";

const absent = postgresAvailable();

describe.skipIf(absent !== "")(`device auth${absent && ` (${absent})`}`, () => {
  let url: string;
  let sql: postgres.Sql;

  beforeEach(async () => {
    url = await (await sharedPostgres()).createDatabase();
    sql = postgres(url, { max: 1, fetch_types: false });
    endLater(() => sql.end({ timeout: 5 }));
  });
  afterEach(stopAll);

  /** Resolves once it gets notifications of changes. */
  async function start(env: Record<string, string> = {}): Promise<InProcess> {
    const { log, lines } = recordingLog();
    const running = await startInProcess({ DATABASE_URL: url, ...env }, { log });
    await until(() => lines.some(({ msg }) => msg === "listening for changes of the registry"));
    return running;
  }

  async function say(
    { source, acknowledged }: InProcess,
    ...messages: ReturnType<typeof telemetry>[]
  ): Promise<void> {
    source.give(...messages);
    await acknowledged();
  }

  const queriesOf = (running: InProcess) => (running.stats()["registry"] as { queries: number }).queries;

  test("1,000 devices with 100 messages each from cold: 99 % hits, and their first messages cost at most 5 queries", async () => {
    const ids = fleet(1_000);
    const running = await start();
    await running.gateway.view.devices.add(registered(ids));
    const before = queriesOf(running);
    await say(running, ...ids.map((id) => telemetry(id, 0)));
    expect(queriesOf(running) - before).toBeLessThanOrEqual(5);
    for (let seq = 1; seq < 100; seq++) await say(running, ...ids.map((id) => telemetry(id, seq)));
    const { ingest, auth_cache: cache, balanced } = running.stats();
    expect({ accepted: ingest.accepted, rejected: ingest.rejected, balanced }).toEqual({
      accepted: 100_000,
      rejected: {},
      balanced: true,
    });
    expect(cache.hit_rate).toBeGreaterThanOrEqual(0.99);
  });

  test("a device revoked in SQL is soon DEVICE_REVOKED on two gateways that share the database", async () => {
    const gateways = [await start({ GATEWAY_ID: "one" }), await start({ GATEWAY_ID: "two" })];
    await gateways[0]?.gateway.view.devices.add(registered(["d1"]));
    for (const running of gateways) await say(running, telemetry("d1", 1));
    expect(gateways.map((running) => running.stats().ingest.accepted)).toEqual([1, 1]);
    await sql`update device_registry set status = 'REVOKED' where device_id = 'd1'`;
    // At once, but a busy machine takes its time; without a notification it would take a minute.
    for (const running of gateways)
      await until(async () => {
        await say(running, telemetry("d1", 2));
        return running.rejected()["DEVICE_REVOKED"] === 1;
      });
    expect(gateways.map((running) => Object.keys(running.rejected()))).toEqual([
      ["DEVICE_REVOKED"],
      ["DEVICE_REVOKED"],
    ]);
  });

  test("revoked, activated, moved and removed over HTTP: each change takes effect with the very next message", async () => {
    const running = await start();
    await running.gateway.view.devices.add(registered(["d1"]));
    await say(running, telemetry("d1", 1));
    const ask = async (method: string, word = "", body?: unknown) => {
      const address = `http://${running.gateway.httpAddress()}/admin/devices/acme/d1${word}`;
      const response = await fetch(address, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      expect(response.status).toBe(200);
    };
    await ask("POST", "/revoke");
    await say(running, telemetry("d1", 2));
    expect(running.rejected()).toEqual({ DEVICE_REVOKED: 1 });
    await ask("POST", "/activate");
    await say(running, telemetry("d1", 3));
    await ask("PATCH", "", { site_id: "lab-2" });
    await say(running, telemetry("d1", 4), telemetry("d1", 5, { site_id: "lab-2" }));
    await ask("DELETE");
    await say(running, telemetry("d1", 6));
    expect(running.stats().ingest.accepted).toBe(3);
    expect(running.rejected()).toEqual({
      DEVICE_REVOKED: 1,
      SITE_MISMATCH_REGISTRY_VS_PAYLOAD: 1,
      UNREGISTERED_DEVICE: 1,
    });
  });

  test("a fresh token is accepted at once, even without a notification of the change", async () => {
    const running = await start();
    await running.gateway.view.devices.add(registered(["d1"]));
    await say(running, telemetry("d1", 1));
    // As a replica's apply process changes it: no trigger fires, so no notification comes.
    await sql`set session_replication_role = replica`;
    await sql`update device_registry set provision_token_hash = ${sha256("tok-fresh")} where device_id = 'd1'`;
    await say(running, telemetry("d1", 2, { provision_token: "tok-fresh" }));
    expect(running.stats().ingest).toMatchObject({ accepted: 2, rejected: {} });
  });

  test("rotated with grace, the old token stays valid for that long and no longer", async () => {
    const running = await start();
    await running.gateway.view.devices.add(registered(["d1"]));
    await say(running, telemetry("d1", 1));
    const address = `http://${running.gateway.httpAddress()}/admin/devices/acme/d1/rotate-token`;
    const response = await fetch(address, { method: "POST", body: '{"grace_seconds":5}' });
    const { token } = (await response.json()) as { token: string };
    await say(running, telemetry("d1", 2), telemetry("d1", 3, { provision_token: token }));
    expect(running.stats().ingest).toMatchObject({ accepted: 3, rejected: {} });
    let seq = 4;
    await until(async () => {
      await say(running, telemetry("d1", seq++));
      return running.rejected()["TOKEN_INVALID"] === 1;
    });
    const { accepted } = running.stats().ingest;
    await say(running, telemetry("d1", seq, { provision_token: token }));
    expect(running.stats().ingest.accepted).toBe(accepted + 1);
  });

  test("100,000 made-up ids beside 1,000 honest devices: the honest ones lose nothing, and the registry gets a bounded number of queries", async () => {
    const honest = fleet(1_000);
    const running = await start();
    await running.gateway.view.devices.add(registered(honest));
    // One in ten is not cached when the flood comes.
    await say(running, ...honest.slice(100).map((id) => telemetry(id, 0)));
    const before = queriesOf(running);
    for (let wave = 0; wave < 100; wave++) {
      const stranger = (n: number) => telemetry(`made-up-${wave}-${n}`, 1);
      const speaking = honest.slice(wave * 10, wave * 10 + 10);
      running.source.give(
        ...Array.from({ length: 1_000 }, (_, n) => stranger(n)),
        ...speaking.map((id) => telemetry(id, wave + 1)),
      );
      await Bun.sleep(0);
    }
    await running.acknowledged();
    await until(() => running.stats().ingest.judging === 0);
    const { ingest, balanced } = running.stats();
    expect({ accepted: ingest.accepted, rejected: ingest.rejected, balanced }).toEqual({
      accepted: 900 + 1_000,
      rejected: { UNREGISTERED_DEVICE: 100_000 },
      balanced: true,
    });
    // 5,000 ids per query and 50 queries per second are the bound; the flood took longer than it would need.
    expect(queriesOf(running) - before).toBeLessThanOrEqual(150);
  });

  test("a change of app_settings in SQL takes effect with the notification; a bad value keeps the last good one and is reported", async () => {
    const running = await start({ SETTINGS_POLL_SECONDS: "3600" });
    await sql`insert into app_settings (key, value) values ('MODE', 'DEV'), ('MAX_PAYLOAD_BYTES', '100')`;
    await until(() => running.stats()["mode"] === "DEV");
    await running.gateway.view.devices.add(registered(["d1"]));
    await say(running, telemetry("d1", 1));
    expect(running.rejected()).toEqual({ PAYLOAD_TOO_LARGE: 1 });
    await sql`update app_settings set value = 'a lot' where key = 'MAX_PAYLOAD_BYTES'`;
    await until(() => (running.stats().ingest["settings_mistakes"] as string[]).length === 1);
    expect(running.stats().ingest["settings_mistakes"]).toEqual([
      expect.stringContaining('MAX_PAYLOAD_BYTES="a lot"'),
    ]);
    await say(running, telemetry("d1", 2));
    expect(running.rejected()).toEqual({ PAYLOAD_TOO_LARGE: 2 });
    await sql`delete from app_settings where key = 'MAX_PAYLOAD_BYTES'`;
    await until(() => (running.stats().ingest["settings_mistakes"] as string[]).length === 0);
    await say(running, telemetry("d1", 3));
    expect(running.stats().ingest.accepted).toBe(1);
  });
});
