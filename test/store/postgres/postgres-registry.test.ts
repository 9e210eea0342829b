/** What only the registry in PostgreSQL has to survive. The rest is in registry-contract.test.ts. */
import { afterEach, beforeEach, describe, expect, onTestFinished, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { explain, silentLog, type Log } from "../../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../../src/store/postgres/postgres-client.ts";
import { migratePostgres } from "../../../src/store/postgres/migrate.ts";
import { madeOf, whyUntold } from "../../../src/store/postgres/postgres-schema.ts";
import { createPostgresRegistry } from "../../../src/store/postgres/postgres-registry.ts";
import type { DeviceId } from "../../../src/core/device.ts";
import type { Registry } from "../../../src/core/registry.ts";
import { postgresAvailable, sharedPostgres, startPostgres } from "../../kit/postgres.ts";
import { startProxy, type Proxy } from "../../kit/proxy.ts";
import { until } from "../../kit/until.ts";
import { recorder, tells, type Recorder } from "../../registry/recorder.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const d1 = { tenantId: "acme", deviceId: "d1" };

describe.skipIf(unavailable !== "")(`the registry in a real PostgreSQL ${unavailable}`, () => {
  let proxy: Proxy;
  let admin: postgres.Sql;
  let db: Postgres;
  let registry: Registry;
  let heard: Recorder;
  let unwatch = async () => {};

  beforeEach(async () => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    proxy = await startProxy({ port: server.port });
    admin = postgres(url, { max: 2, fetch_types: false, onnotice: () => {} });
    db = openPostgres({
      url: url.replace(`:${server.port}/`, `:${proxy.port}/`),
      poolMax: 4,
      timeoutMs: 5000,
    });
    registry = createPostgresRegistry({ db, log: silentLog });
    heard = recorder();
  });

  afterEach(async () => {
    await unwatch();
    unwatch = async () => {};
    await db.close();
    await proxy.stop();
    await admin.end({ timeout: 5 });
  });

  async function watch(): Promise<void> {
    await registry.find([d1]);
    unwatch = registry.watch(heard.watcher);
    await until(() => heard.calls.includes("restored"));
    heard.calls.length = 0;
  }

  /** The same of a registry with a partition, beside which the former table stays. */
  async function watchPartitioned(): Promise<void> {
    await migratePostgres(db);
    await admin.unsafe(`alter table device_registry rename to other;
      create table device_registry (like other including all) partition by list (tenant_id);
      create table of_acme partition of device_registry for values in ('acme')`);
    await migratePostgres(db);
    await watch();
  }

  /** All notifications up to a mark, which is sent last. */
  async function told(): Promise<string[]> {
    await admin`insert into app_settings values ('MARK', 'x') on conflict (key) do update set value = excluded.value`;
    await until(() => heard.calls.includes("settings"));
    return heard.calls.splice(0).filter((call) => call !== "settings");
  }

  const seed = (tenant: string, n: number) => admin`
    insert into device_registry (tenant_id, device_id, site_id)
    select ${tenant}, 'd' || i, 's' from generate_series(1, ${n}::int) as i`;

  test("a bulk change sends one notification: few devices, a tenant, or all", async () => {
    await watch();
    await seed("acme", 3);
    expect(await told()).toEqual(["devices acme/d1 acme/d2 acme/d3"]);
    await seed("big", 5000);
    expect(await told()).toEqual(["tenant big"]);
    await admin`update device_registry set status = 'REVOKED' where tenant_id = 'acme'`;
    expect(await told()).toEqual(["devices acme/d1 acme/d2 acme/d3"]);
    await admin`update device_registry set status = 'REVOKED'`;
    expect(await told()).toEqual(["tenant big"]);
    await admin`update device_registry set site_id = 't'`;
    expect(await told()).toEqual(["all"]);
    await admin`delete from device_registry where tenant_id = 'big'`;
    expect(await told()).toEqual(["tenant big"]);
    await admin`truncate device_registry`;
    expect(await told()).toEqual(["all"]);
  });

  test("a changed key notifies of the old and the new device", async () => {
    await watch();
    await seed("acme", 1);
    await told();
    await admin`update device_registry set device_id = 'moved'`;
    const [call] = await told();
    expect(tells([call ?? ""], "acme", "d1")).toBe(true);
    expect(tells([call ?? ""], "acme", "moved")).toBe(true);
  });

  test("a change that no check depends on causes no notification", async () => {
    await watch();
    await seed("acme", 10);
    await told();
    await admin`update device_registry set metadata = '{"seen": 1}', fw_version = '2'`;
    await admin`update device_registry set status = status`;
    await admin`delete from device_registry where false`;
    expect(await told()).toEqual([]);
  });

  test("names too long for one notification become all", async () => {
    await watch();
    await admin`insert into device_registry (tenant_id, device_id, site_id)
      select repeat('t', 1000), repeat('d', 1000) || i, 's' from generate_series(1, 20) as i`;
    expect(await told()).toEqual(["all"]);
  });

  test("a device without a name, in a table that has lost its primary key, hides no other one", async () => {
    await migratePostgres(db);
    await admin.unsafe(`alter table device_registry drop constraint device_registry_pkey;
      alter table device_registry alter tenant_id drop not null`);
    await watch();
    await admin`insert into device_registry (tenant_id, device_id, site_id) values (null, 'd1', 's'), ('acme', 'd1', 's')`;
    expect(await told()).toEqual(["all"]);
    for (const pairs of ["[1,2]", "[null]", '["acme","d1"],7'])
      await admin`select pg_notify('sluice_registry', ${`{"devices":[${pairs}]}`})`;
    expect(await told()).toEqual(["all", "all", "all"]);
  });

  test("names of any text arrive as they are", async () => {
    const devices: string[] = [];
    const watcher = {
      ...heard.watcher,
      devices: (ids: readonly { deviceId: string }[]) => devices.push(...ids.map((d) => d.deviceId)),
    };
    await registry.find([d1]);
    unwatch = registry.watch(watcher);
    await until(() => heard.calls.includes("restored"));
    const names = ['quo"te', "back\\slash", "spa ce", "ünï 🌊"];
    await registry.add(names.map((deviceId) => ({ tenantId: "acme", deviceId, siteId: "s" })));
    await until(() => devices.length === names.length);
    expect(devices.sort()).toEqual([...names].sort());
  });

  test("a listening connection that is cut is noticed and replaced automatically", async () => {
    await watch();
    proxy.cut();
    await until(() => heard.calls.includes("restored"));
    expect(heard.calls).toEqual(["lost", "restored"]);
    await seed("acme", 1);
    expect(await told()).toContain("devices acme/d1");
  });

  test("a listening connection that fell silent is noticed within seconds and replaced automatically", async () => {
    await watch();
    proxy.mode("blackhole");
    await until(() => heard.calls.includes("lost"));
    proxy.mode("pass");
    await until(() => heard.calls.includes("restored"));
    await seed("acme", 1);
    expect(await told()).toContain("devices acme/d1");
  });

  test("a DATABASE_URL that is renewed while it runs is listened to at once: a change at the new server was not heard for ten seconds", async () => {
    const [before, after] = [await (await sharedPostgres()).createDatabase(), db.options.url];
    const options = { url: before, poolMax: 2, timeoutMs: 5000 };
    const renewed = openPostgres(options);
    const moved = createPostgresRegistry({ db: renewed, log: silentLog });
    await moved.find([d1]);
    await registry.find([d1]);
    const stop = moved.watch(heard.watcher);
    await until(() => heard.calls.includes("restored"));
    heard.calls.length = 0;
    options.url = after;
    await until(() => heard.calls.includes("restored"), 4_000);
    await registry.add([{ ...d1, siteId: "s" }]);
    await until(() => tells(heard.calls, "acme", "d1"), 2_000);
    await stop();
    await renewed.close();
  });

  test("without the triggers the watch does not claim to stand; once they are there, it does", async () => {
    await admin`create table device_registry (tenant_id text, device_id text, site_id text not null,
      status text not null default 'ACTIVE', provision_token_hash text, provisioned_at timestamptz, fw_version text,
      metadata jsonb, primary key (tenant_id, device_id))`;
    const warnings: string[] = [];
    const warn = ({ reason }: { reason: string }) => warnings.push(reason);
    const log: Log = Object.assign(Object.create(silentLog), { warn });
    unwatch = createPostgresRegistry({ db, log }).watch(heard.watcher);
    await until(() => warnings.some((reason) => reason.includes("`sluice migrate`")));
    await until(() => heard.calls.includes("lost"));
    expect(heard.calls).not.toContain("restored");
    await migratePostgres(db);
    await until(() => heard.calls.at(-1) === "restored");
    await admin`drop trigger sluice_device_update on device_registry`;
    await until(() => heard.calls.at(-1) === "lost");
  });

  test("a change made in a partition of the registry is told, once `sluice migrate` knows the partition", async () => {
    await migratePostgres(db);
    await admin.unsafe(`alter table device_registry rename to before;
      create table device_registry (like before including all) partition by list (tenant_id);
      create table "Of acme" partition of device_registry for values in ('acme') partition by list (device_id);
      create table rest partition of "Of acme" default`);
    unwatch = registry.watch(heard.watcher);
    await until(() => heard.calls.includes("lost"));
    expect(heard.calls).not.toContain("restored");
    expect(await migratePostgres(db)).toContain("added trigger sluice_device_insert to rest");
    expect(await migratePostgres(db)).toEqual([]);
    await until(() => heard.calls.at(-1) === "restored");
    await admin`insert into rest (tenant_id, device_id, site_id) values ('acme', 'd1', 's')`;
    await until(() => heard.calls.some((call) => call.includes("acme/d1")));
  });

  test("a change is told that a session makes which fires no ordinary trigger; `sluice migrate` sees to it, also for triggers that are off", async () => {
    await migratePostgres(db);
    await admin.unsafe(
      "alter table device_registry enable trigger all, disable trigger sluice_device_insert",
    );
    expect(await migratePostgres(db)).toContain("added trigger sluice_device_insert");
    expect(await migratePostgres(db)).toEqual([]);
    await watch();
    await admin.unsafe(
      "set local session_replication_role = replica; insert into device_registry (tenant_id, device_id, site_id) values ('acme', 'd1', 's')",
    );
    expect(await told()).toEqual(["devices acme/d1"]);
  });

  test.each([
    ["a partition is detached", "alter table device_registry detach partition of_acme"],
    ["a partition is dropped", "drop table of_acme"],
    [
      "another table is swapped in that has the triggers, too",
      "alter table device_registry rename to before; alter table other rename to device_registry",
    ],
    [
      "rows are changed while the triggers are off",
      `alter table device_registry disable trigger all; delete from device_registry;
       alter table device_registry enable trigger all`,
    ],
    [
      "a column is written anew",
      "alter table device_registry alter status type text using replace(status, 'ACTIVE', 'REVOKED')",
    ],
    [
      "a column is replaced by one that says something else of each device",
      "alter table device_registry drop status, add status text not null default 'REVOKED'",
    ],
  ])("all devices are read again if %s, which no trigger tells", async (_, statements) => {
    await watchPartitioned();
    await admin.unsafe(statements);
    await until(() => heard.calls.includes("all"));
    expect(heard.calls).toEqual(["all"]);
  });

  test("what is asked each second looks for the partitions once: of hundreds it took the server seconds", async () => {
    await migratePostgres(db);
    const plan = await admin.unsafe(`explain ${whyUntold} as why, ${madeOf} as made`);
    expect(JSON.stringify(plan).match(/Recursive Union/g)).toHaveLength(1);
  });

  test("all devices are read again while a partition is being detached that old readers still see", async () => {
    await watchPartitioned();
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const { promise: isOpen, resolve: begun } = Promise.withResolvers<void>();
    const reader = db.transaction("reading", async (tx) => {
      await tx.unsafe("select from device_registry");
      begun();
      await isOver;
    });
    await isOpen;
    const detached = admin.unsafe("alter table device_registry detach partition of_acme concurrently");
    const [done] = await Promise.all([
      detached.then(() => true),
      until(() => heard.calls.includes("all")).finally(end),
    ]);
    expect(done).toBe(true);
    await reader;
  });

  test("where a logical subscription fills the registry, or the role fires no trigger, the watch does not claim to stand", async () => {
    const server = await startPostgres({ settings: ["wal_level=logical"] });
    onTestFinished(() => server.stop());
    const [from, url] = [await server.createDatabase(), await server.createDatabase()];
    const [publisher, subscriber] = [from, url].map((each) => postgres(each, { max: 1, onnotice: () => {} }));
    const there = openPostgres({ url, poolMax: 2, timeoutMs: 5000 });
    const origin = openPostgres({ url: from, poolMax: 2, timeoutMs: 5000 });
    onTestFinished(async () => {
      await unwatch();
      unwatch = async () => {};
      await Promise.all([there.close(), origin.close(), publisher?.end(), subscriber?.end()]);
    });
    await migratePostgres(origin);
    await migratePostgres(there);
    await publisher?.unsafe("create publication p for table device_registry");
    // Without a slot and a worker: where both ends are of one server, dropping it could wait for itself.
    await subscriber?.unsafe(
      `create subscription s connection '${from}' publication p with (create_slot = false, copy_data = false, enabled = false)`,
    );
    const warnings: string[] = [];
    const warn = ({ reason }: { reason: string }) => warnings.push(reason);
    const log: Log = Object.assign(Object.create(silentLog), { warn });
    unwatch = createPostgresRegistry({ db: there, log }).watch(heard.watcher);
    await until(() => warnings.some((reason) => reason.includes("a logical subscription fills")));
    expect(heard.calls).not.toContain("restored");
    // What a subscription of pglogical leaves in the catalogue; which tables it fills, not every role may ask.
    await subscriber?.unsafe("create schema pglogical; select pg_replication_origin_create('pgl_a_b_c')");
    await subscriber?.unsafe("alter subscription s set (slot_name = none)");
    await subscriber?.unsafe("drop subscription s");
    await until(() => warnings.some((reason) => reason.includes("a subscription of pglogical may fill")));
    expect(heard.calls).not.toContain("restored");
    await subscriber?.unsafe("select pg_replication_origin_drop('pgl_a_b_c'); drop schema pglogical");
    await until(() => heard.calls.includes("restored"));
    await subscriber?.unsafe("alter role postgres set session_replication_role = replica");
    await subscriber?.unsafe(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_subscription_rel%' and pid <> pg_backend_pid()",
    );
    await until(() => warnings.some((reason) => reason.includes("session_replication_role is replica")));
    await subscriber?.unsafe("alter role postgres reset session_replication_role");
    await until(() => heard.calls.at(-1) === "restored");
  });

  test("a table of an existing deployment, not migrated, is read and written as it is", async () => {
    await admin`create table device_registry (tenant_id text not null, device_id text not null, site_id text not null,
      status text not null default 'ACTIVE', provisioned_at timestamptz not null default now(), device_pubkey text,
      fw_version text, metadata jsonb not null default '{}', provision_token_hash text,
      primary key (tenant_id, device_id))`;
    await registry.add([{ ...d1, siteId: "s", tokenHash: "ab" }]);
    expect(await registry.find([d1])).toMatchObject([{ tokenHash: "ab", previousTokenHash: null }]);
    expect(await registry.owners(["ab", "ff"])).toMatchObject([{ ...d1, tokenHash: "ab" }]);
    expect(await registry.update(d1, { tokenHash: "cd" })).toMatchObject({ tokenSet: true });
    const refused = await registry.update(d1, { tokenHash: "ef", graceMs: 1000 }).catch(explain);
    expect(refused).toContain("`sluice migrate`");
    expect(await registry.find([d1])).toMatchObject([{ tokenHash: "cd" }]);
    await migratePostgres(db);
    await registry.update(d1, { tokenHash: "ef", graceMs: 60_000 });
    expect(await registry.find([d1])).toMatchObject([{ tokenHash: "ef", previousTokenHash: "cd" }]);
    const owners = await registry.owners(["ab", "cd", "ef"]);
    expect(owners.map(({ tokenHash }) => tokenHash).sort()).toEqual(["cd", "ef"]);
  });

  test("devices are listed whatever the DateStyle, a time that is infinite or without a zone, and a status that is NULL", async () => {
    await registry.add([{ ...d1, siteId: "s" }]);
    await admin`update device_registry set provisioned_at = '2026-11-29 10:00:00.25+00'`;
    const listed = async () => (await registry.list({ limit: 1 }))[0];
    const plain = { siteId: "s", status: "ACTIVE", provisionedAt: "2026-11-29T10:00:00.250Z" };
    expect(await listed()).toMatchObject(plain);
    await admin`do $$ begin execute format('alter database %I set datestyle = German', current_database()); end $$`;
    await db.close();
    db = openPostgres(db.options);
    registry = createPostgresRegistry({ db, log: silentLog });
    expect(await listed()).toMatchObject(plain);
    await admin`alter table device_registry alter provisioned_at type timestamp using provisioned_at at time zone 'UTC'`;
    expect(await listed()).toMatchObject(plain);
    await admin`alter table device_registry alter status drop not null`;
    await admin`update device_registry set provisioned_at = 'infinity', status = null`;
    expect(await listed()).toMatchObject({ ...plain, status: "", provisionedAt: null });
  });

  test("devices are registered and revoked where a status is an enum and a site a uuid", async () => {
    await migratePostgres(db);
    await admin.unsafe(`create type state as enum ('ACTIVE', 'REVOKED'); drop trigger sluice_device_update on device_registry;
      alter table device_registry alter status drop default, alter status type state using status::state,
        alter site_id type uuid using null, alter metadata drop default, alter metadata type text`);
    const siteId = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
    expect(await registry.add([{ ...d1, siteId, tokenHash: "it's" }])).toEqual([true]);
    const change = { status: "REVOKED", fwVersion: null, metadata: { a: "it's $1 \\" } };
    const changed = { status: "REVOKED", siteId, fwVersion: null, metadata: JSON.stringify(change.metadata) };
    expect(await registry.update(d1, change)).toMatchObject(changed);
    expect(await registry.update(d1, {})).toMatchObject(changed);
    expect(await registry.find([d1])).toMatchObject([{ siteId, status: "REVOKED", tokenHash: "it's" }]);
  });

  test.each(["citext", "char(10)", "varchar(10)"])(
    "devices whose names are %s are all listed, a page behind the other, and told of as they are known",
    async (type) => {
      await migratePostgres(db);
      await admin.unsafe(`create extension citext;
        alter table device_registry alter tenant_id type ${type}, alter device_id type ${type}`);
      const devices = ["b", "A", "C", "a1", "B2"].map((deviceId) => ({
        tenantId: "T",
        deviceId,
        siteId: "s",
      }));
      expect(await registry.add(devices)).toEqual(devices.map(() => true));
      expect(await registry.add(devices)).toEqual(devices.map(() => false));
      const listed: DeviceId[] = [];
      for (const _ of devices) listed.push(...(await registry.list({ limit: 1, after: listed.at(-1) })));
      expect(listed.map(({ deviceId }) => deviceId).toSorted()).toEqual(["A", "B2", "C", "a1", "b"]);
      await watch();
      await registry.update({ tenantId: "T", deviceId: "A" }, { status: "REVOKED" });
      expect(await told()).toEqual([expect.stringMatching(/^devices T\/A\b/)]);
    },
  );

  test("devices are found by a part of their name also where that is compared without case", async () => {
    await migratePostgres(db);
    await admin.unsafe(`create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      alter table device_registry alter device_id type text collate nocase`);
    await registry.add([{ ...d1, siteId: "s" }]);
    expect(await registry.list({ match: "1", limit: 10 })).toMatchObject([d1]);
  });

  test("a registry that hangs rejects in time, and is used again when it answers", async () => {
    await registry.find([d1]);
    proxy.mode("blackhole");
    expect(await registry.find([d1]).catch(explain)).toContain("no answer within 5000 ms");
    proxy.mode("pass");
    expect(await until(() => registry.find([d1]))).toEqual([]);
  });
});

describe.skipIf(unavailable !== "")(`the registry and a restart of the server ${unavailable}`, () => {
  test("look-ups and the watch continue without a restart of the gateway", async () => {
    const server = await startPostgres();
    const db = openPostgres({ url: await server.createDatabase(), poolMax: 2, timeoutMs: 6000 });
    const registry = createPostgresRegistry({ db, log: silentLog });
    const heard = recorder();
    await registry.add([{ ...d1, siteId: "s" }]);
    const unwatch = registry.watch(heard.watcher);
    await until(() => heard.calls.includes("restored"));
    heard.calls.length = 0;
    await server.restart();
    expect(await until(() => registry.find([d1]))).toHaveLength(1);
    await until(() => heard.calls.includes("restored"));
    await registry.update(d1, { status: "REVOKED" });
    // `lost` may come again and again until the server takes connections.
    const restored = heard.calls.indexOf("restored");
    expect(new Set(heard.calls.slice(0, restored))).toEqual(new Set(["lost"]));
    await until(() => tells(heard.calls.slice(restored + 1), "acme", "d1"));
    await unwatch();
    await db.close();
    await server.stop();
  });
});
