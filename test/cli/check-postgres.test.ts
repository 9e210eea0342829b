/** `sluice check` against a real PostgreSQL: it says what it finds and leaves no trace. */
import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log.ts";
import { openPostgres, type Postgres } from "../../src/core/postgres.ts";
import { migratePostgres } from "../../src/core/schema.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`sluice check and PostgreSQL ${unavailable}`, () => {
  let url: string;
  let db: Postgres;
  beforeEach(async () => {
    url = await (await sharedPostgres()).createDatabase();
    db = openPostgres({ url, poolMax: 2, timeoutMs: 5000 });
    return () => db.close();
  });
  const run = (statement: string) => db.transaction("preparing", (tx) => tx.unsafe(statement));

  async function check(databaseUrl = url) {
    let out = "";
    const code = await execute(["check", "--json"], {
      env: { DATA_DIR: tmpdir(), DATABASE_URL: databaseUrl, INFLUXDB_URL: "http://127.0.0.1:1" },
      stdout: (text) => void (out += text),
      stderr: () => {},
      signal: new AbortController().signal,
      createLog: () => silentLog,
    });
    const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean; detail: string }[] };
    const of = (part: string) => probes.find((probe) => probe.part === part);
    return { code, registry: of("registry"), postgres: of("postgres") };
  }

  test("an empty database is left empty, and it says who will create the tables", async () => {
    const { postgres, registry } = await check();
    expect(postgres).toMatchObject({ ok: true, detail: expect.stringContaining("has no device_registry") });
    expect(registry).toMatchObject({ ok: true });
    const tables = await db.ask("looking", (sql) => sql`select 1 from pg_tables where schemaname = 'public'`);
    expect(tables.length).toBe(0);
  });

  test("a role that may not create the missing tables fails, with the mend", async () => {
    await run("drop role if exists sluice_check; create role sluice_check login");
    await run("revoke create on schema public from public");
    const limited = new URL(url);
    limited.username = "sluice_check";
    const { code, postgres } = await check(limited.href);
    expect(code).toBe(1);
    expect(postgres).toMatchObject({ ok: false, detail: expect.stringContaining("sluice migrate") });
  });

  test("it warns of missing triggers, and of more tenants than InfluxDB 3 Core has databases for", async () => {
    await migratePostgres(db);
    const devices = (tenants: number) =>
      run(`insert into device_registry (tenant_id, device_id, site_id)
           select 't' || i, 'd', 's' from generate_series(1, ${tenants}) i on conflict do nothing`);
    await devices(5);
    expect((await check()).registry).toMatchObject({ ok: true, detail: "5 devices of 5 tenants" });
    await devices(6);
    expect((await check()).registry?.detail).toMatch(/6 tenants; INFLUXDB_DATABASE .* holds 5$/);
    await run("drop trigger sluice_settings on app_settings");
    expect((await check()).registry?.detail).toContain("`sluice migrate`, which adds triggers");
  });
});
