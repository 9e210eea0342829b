import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { explain } from "../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../src/store/postgres/postgres-client.ts";
import { createMissing, inspectPostgres, migratePostgres } from "../../src/store/postgres/migrate.ts";
import { migrateSqlite } from "../../src/store/sqlite/local-file.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

/** Tables as existing deployments have them. */
const existing = [
  `create table device_registry (tenant_id text not null, device_id text not null, site_id text not null,
     status text not null default 'ACTIVE', provisioned_at timestamptz not null default now(), device_pubkey text,
     fw_version text, metadata jsonb not null default '{}', provision_token_hash text,
     primary key (tenant_id, device_id))`,
  `create table raw_events (id bigserial primary key, ingested_at timestamptz not null default now(),
     event_ts timestamptz, topic text not null, tenant_id text, site_id text, device_id text, msg_type text,
     payload jsonb not null, accepted boolean not null default true)`,
];

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`the tables in PostgreSQL ${unavailable}`, () => {
  let db: Postgres;
  const connect = async () => openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
  let url: string;
  beforeEach(async () => {
    url = await (await sharedPostgres()).createDatabase();
    db = await connect();
  });
  afterEach(() => db.close());

  const names = async () => {
    const rows = await db.query(
      "looking",
      (sql) =>
        sql<{ n: string }[]>`select tablename as n from pg_tables where schemaname = 'public' order by 1`,
    );
    return rows.map((row) => row.n);
  };
  const run = (statement: string) => db.transaction("preparing", (tx) => tx.unsafe(statement));
  const triggerCount = async () =>
    (await db.query("looking", (sql) => sql`select 1 from pg_trigger where tgname like 'sluice%'`)).length;

  const all = [
    "app_settings",
    "device_registry",
    "quarantine_counters_minute",
    "quarantine_events",
    "raw_events",
    "sluice_position",
  ];

  test("an empty database gets all of them, with triggers; then there is nothing to do", async () => {
    expect(await createMissing(db)).toContain("created table raw_events");
    expect(await names()).toEqual(all);
    expect(await triggerCount()).toBe(5);
    expect(await createMissing(db)).toEqual([]);
    expect(await migratePostgres(db)).toEqual([]);
    await db.close();
  });

  test("existing tables are used as they are until somebody migrates", async () => {
    for (const statement of existing) await run(statement);
    await run("insert into device_registry (tenant_id, device_id, site_id) values ('a', 'b', 'c')");
    const done = await createMissing(db);
    expect(done).not.toContain("created table raw_events");
    expect(done).toContain("created table sluice_position");
    expect(await triggerCount()).toBe(1);
    expect(await migratePostgres(db)).toEqual([
      "added column device_registry.previous_token_hash",
      "added column device_registry.previous_token_until",
      "added trigger sluice_device_insert",
      "added trigger sluice_device_update",
      "added trigger sluice_device_delete",
      "added trigger sluice_device_truncate",
      "added an index on device_registry.provision_token_hash",
      "added an index on device_registry.previous_token_hash",
    ]);
    expect(await migratePostgres(db)).toEqual([]);
    await run("drop index device_registry_token_idx");
    await run("create index theirs on device_registry (provision_token_hash) where status = 'ACTIVE'");
    expect(await migratePostgres(db)).toEqual([]);
    const rows = await db.query("looking", (sql) => sql`select tenant_id, site_id from device_registry`);
    expect(rows.map((row) => ({ ...row }))).toEqual([{ tenant_id: "a", site_id: "c" }]);
    await db.close();
  });

  test("an index of many devices may take longer than PostgreSQL may for a batch", async () => {
    for (const statement of existing) await run(statement);
    await run(`create function slow() returns event_trigger language plpgsql as 'begin perform pg_sleep(1); end';
      create event trigger slow on ddl_command_start when tag in ('CREATE INDEX') execute function slow()`);
    const hasty = openPostgres({ ...db.options, timeoutMs: 500 });
    const done = await migratePostgres(hasty);
    await hasty.close();
    expect(done).toContain("added an index on device_registry.provision_token_hash");
  });

  test.each(["device_registry_token_idx", "device_registry_previous_token_idx"])(
    "while %s is made devices are read, and who then changes one waits: it was a deadlock, or could not read",
    async (index) => {
      for (const statement of existing) await run(statement);
      await run("insert into device_registry (tenant_id, device_id, site_id) values ('a', 'b', 'c')");
      await run(`create function held() returns event_trigger language plpgsql as $$ begin
          if exists (select from pg_event_trigger_ddl_commands() where object_identity like '%.${index}')
          then perform pg_advisory_xact_lock(7); end if; end $$;
        create event trigger held on ddl_command_end when tag in ('CREATE INDEX') execute function held()`);
      const waits = (what: string) =>
        until(async () => {
          const here = "database = (select oid from pg_database where datname = current_database())";
          const query = `select from pg_locks where ${what} and ${here} and not granted`;
          return (await db.query("looking", (sql) => sql.unsafe(query))).length > 0;
        });
      let migrating: Promise<unknown> | undefined;
      let changing: Promise<unknown> | undefined;
      const theirs = await connect();
      await db.transaction("holding", async (tx) => {
        await tx`select pg_advisory_xact_lock(7)`;
        migrating = migratePostgres(db).catch(explain);
        await waits("locktype = 'advisory'");
        changing = theirs
          .transaction("reading and changing", async (other) => {
            const rows = await other`select site_id from device_registry`;
            await other`update device_registry set site_id = 'd'`;
            return rows.length;
          })
          .catch(explain);
        await waits("mode = 'RowExclusiveLock'");
      });
      expect(await changing).toBe(1);
      expect(await migrating).toContain("added an index on device_registry.previous_token_hash");
      await theirs.close();
    },
  );

  test("where a site has stored rows no empty registry is made in another database or schema: that would reject every device", async () => {
    const ran = openPostgres({ ...db.options, ranHere: true });
    const said = "no device_registry and no sluice_position, although this site has stored rows";
    for (const work of [createMissing, inspectPostgres, migratePostgres])
      expect(await work(ran).then(JSON.stringify, explain)).toContain(said);
    expect(await names()).toEqual([]);
    await migratePostgres(ran, true);
    await run("drop table app_settings");
    expect(await createMissing(ran)).toEqual(["created table app_settings", "added trigger sluice_settings"]);
    await run("drop table sluice_position, app_settings");
    // What can do without the position goes on, and nothing is made beside what is gone.
    expect(await createMissing(ran, ["device_registry"])).toEqual([]);
    expect(await createMissing(ran).catch(explain)).toContain("has no sluice_position, although");
    expect(await names()).not.toContain("app_settings");
    await run("create schema elsewhere; alter table device_registry set schema elsewhere");
    expect(await createMissing(ran).catch(explain)).toContain(
      "has no device_registry and no sluice_position, although",
    );
    await ran.close();
  });

  test("a role that may use the tables and make none is told that all is there", async () => {
    await migratePostgres(db);
    await run("do $$ begin create role user_alone login; exception when duplicate_object then null; end $$");
    await run("revoke create on schema public from public");
    const its = new URL(url);
    its.username = "user_alone";
    const theirs = openPostgres({ url: its.href, poolMax: 2, timeoutMs: 20_000 });
    expect(await migratePostgres(theirs)).toEqual([]);
    await run(
      "create or replace function sluice_registry_changed() returns trigger language plpgsql as 'begin return null; end'",
    );
    expect(await migratePostgres(theirs).then(JSON.stringify, explain)).toContain("migrating is not allowed");
    await migratePostgres(db);
    expect(await migratePostgres(theirs)).toEqual([]);
    await theirs.close();
  });

  test("a view over the devices that a site has is used as it is: migrate completes the rest, and the watch says that changes are not told", async () => {
    await run(`create table things (tenant_id text, device_id text, site_id text, status text, provision_token_hash text);
      create view device_registry as select * from things`);
    expect(await migratePostgres(db)).toContain("created table raw_events");
    expect(await migratePostgres(db)).toEqual([]);
    expect(await names()).toEqual([...all.filter((name) => name !== "device_registry"), "things"].sort());
    const untold = expect.stringContaining("a view or a foreign table, which tells no change");
    expect(await inspectPostgres(db)).toMatchObject({ missingTables: [], untold, findsTokens: true });
  });

  test("a server that is too old is told by its version, and nothing is made there", async () => {
    await run(`create function current_setting(name text) returns text language sql
      as $$ select case name when 'server_version_num' then '100023' else pg_catalog.current_setting(name) end $$`);
    const old = openPostgres({ url: `${url}?search_path=public,pg_catalog`, poolMax: 2, timeoutMs: 20_000 });
    for (const work of [createMissing, migratePostgres, inspectPostgres]) {
      const said = await work(old).then(JSON.stringify, explain);
      expect(said).toContain("Sluice needs PostgreSQL 11 or later");
    }
    expect(await names()).toEqual([]);
    await old.close();
  });

  test("many may migrate at once: each thing is done once", async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, connect));
    await Promise.all(
      clients.map((client) => client.query("warming", (sql) => sql`select to_regclass('raw_events')`)),
    );
    const done = await Promise.all(clients.map((each) => migratePostgres(each)));
    expect(done.flat().filter((line) => line === "created table raw_events")).toHaveLength(1);
    expect(await names()).toEqual(all);
    for (const client of [...clients, db]) await client.close();
  });
});

test("the tables in SQLite are made once and then left alone", () => {
  const db = new Database(":memory:");
  expect(migrateSqlite(db)).toContain("created table raw_events");
  db.run("INSERT INTO app_settings VALUES ('MODE', 'DEV', '')");
  expect(migrateSqlite(db)).toEqual([]);
  expect(db.query("SELECT value FROM app_settings").all()).toEqual([{ value: "DEV" }]);
});
