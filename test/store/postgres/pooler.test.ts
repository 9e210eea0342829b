/** The watch of the registry behind a real pooler, and on a server that ends idle sessions. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { silentLog } from "../../../src/core/log/log.ts";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { migratePostgres } from "../../../src/store/postgres/migrate.ts";
import { createPostgresTables } from "../../../src/store/postgres/postgres-tables.ts";
import { createPostgresRegistry } from "../../../src/store/postgres/postgres-registry.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { pgBouncerAvailable, startPgBouncer } from "../../kit/pgbouncer.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";
import { recorder, tells } from "../../registry/recorder.ts";

setDefaultTimeout(60_000);

const unavailable = [postgresAvailable(), pgBouncerAvailable].filter(Boolean).join(", ");
const d1 = { tenantId: "acme", deviceId: "d1" };

describe.skipIf(unavailable !== "")(`the watch of the registry (skipped where: ${unavailable})`, () => {
  const ends = endsAfterEach();

  async function open(url: string) {
    const db = openPostgres({ url, poolMax: 4, timeoutMs: 20_000 });
    ends.push(() => db.close());
    await migratePostgres(db);
    const registry = createPostgresRegistry({ db, log: silentLog });
    await registry.add([{ ...d1, siteId: "s" }]);
    const { calls, watcher } = recorder();
    const unheard: string[] = [];
    ends.push(registry.watch({ ...watcher, unheard: (why) => void unheard.push(why) }));
    return { registry, calls, unheard };
  }

  test("behind a pooler in transaction mode it does not claim to stand, and says why", async () => {
    const server = await sharedPostgres();
    const pooler = await startPgBouncer(server, "transaction");
    ends.push(() => pooler.stop());
    const { calls, unheard } = await open(pooler.url(await server.createDatabase()));
    await until(() => unheard.some((why) => why.includes("pooler in transaction mode")));
    expect(calls).not.toContain("restored");
  });

  test("a pooler in statement mode is an alarm that names its setting", async () => {
    const server = await sharedPostgres();
    const pooler = await startPgBouncer(server, "statement");
    ends.push(() => pooler.stop());
    const db = openPostgres({
      url: pooler.url(await server.createDatabase()),
      poolMax: 4,
      timeoutMs: 20_000,
    });
    ends.push(() => db.close());
    const tables = createPostgresTables({ db, gatewayId: "g" });
    const told = await tables.positions(["e"]).catch((error: unknown) => error);
    expect(told).toMatchObject({
      alarm: true,
      message: expect.stringContaining("set pool_mode of the pooler"),
    });
  });

  test("behind a pooler in session mode it stands, and notifies", async () => {
    const server = await sharedPostgres();
    const pooler = await startPgBouncer(server, "session");
    ends.push(() => pooler.stop());
    const { registry, calls } = await open(pooler.url(await server.createDatabase()));
    await until(() => calls.includes("restored"));
    await registry.update(d1, { status: "REVOKED" });
    await until(() => tells(calls, "acme", "d1"));
    expect(calls).not.toContain("lost");
  });

  test("a statement_timeout of the role does not end its look at the triggers", async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const admin = postgres(url, { max: 1, fetch_types: false });
    const name = new URL(url).pathname.slice(1);
    await admin.unsafe(`create schema slow; create function slow.current_setting(text) returns text language sql
        as 'select pg_catalog.current_setting($1) from pg_sleep(0.5)';
      alter database ${name} set search_path = slow, public, pg_catalog;
      alter database ${name} set statement_timeout = 200`);
    await admin.end({ timeout: 5 });
    const { calls } = await open(url);
    await until(() => calls.includes("restored"));
  });

  test("a server that ends idle sessions does not end it again and again", async () => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    const admin = postgres(url, { max: 1, fetch_types: false });
    const name = new URL(url).pathname.slice(1);
    const [supports] = await admin`select 1 from pg_settings where name = 'idle_session_timeout'`;
    if (supports) await admin.unsafe(`alter database ${name} set idle_session_timeout = 1000`);
    await admin.end({ timeout: 5 });
    const { calls } = await open(url);
    await until(() => calls.includes("restored"));
    // The connection that asks again and again what is told is the one that listens; PostgreSQL shows the first 1,024 bytes.
    const listening = async () => {
      const looking = postgres(url, { max: 1, fetch_types: false });
      const rows = await looking`select pid, backend_start::text from pg_stat_activity
        where query like '%pg_subscription_rel%' and datname = ${name} and pid <> pg_backend_pid()`;
      await looking.end({ timeout: 5 });
      return rows.map((row) => ({ ...row }));
    };
    const first = await listening();
    expect(first).toHaveLength(1);
    await Bun.sleep(2_500);
    expect(calls.filter((call) => call === "lost")).toEqual([]);
    expect(await listening()).toEqual(first);
  });
});
