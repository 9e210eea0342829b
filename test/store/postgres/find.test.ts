/** Names and rows that one look-up cannot digest, in real databases of odd encodings: they cost nobody else an answer. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { systemClock } from "../../../src/core/clock.ts";
import { byKey, type DeviceId } from "../../../src/core/device.ts";
import { explain, silentLog } from "../../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../../src/store/postgres/postgres-client.ts";
import { DeviceAuthCache } from "../../../src/registry/auth-cache.ts";
import { migratePostgres } from "../../../src/store/postgres/migrate.ts";
import { createPostgresRegistry } from "../../../src/store/postgres/postgres-registry.ts";
import type { Registry } from "../../../src/core/registry.ts";
import { createFind } from "../../../src/store/postgres/find.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";
import { recordingLog } from "../../kit/source.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

/** Names that anybody may put into a topic, and whether a database of that encoding can hold them. */
const names: Readonly<Record<string, readonly string[]>> = {
  "温度計-1": ["UTF8", "SQL_ASCII", "EUC_JP"],
  "😀": ["UTF8", "SQL_ASCII"],
  "müller-1": ["UTF8", "SQL_ASCII", "LATIN1", "WIN1252"],
  датчик: ["UTF8", "SQL_ASCII", "EUC_JP"],
  "€-meter": ["UTF8", "SQL_ASCII", "WIN1252"],
  "zero\0": [],
  'quote"and\\slash{,}': ["UTF8", "SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"],
  " space ": ["UTF8", "SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"],
  "e\u0301": ["UTF8", "SQL_ASCII"],
  NULL: ["UTF8", "SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"],
};
const idOf = (deviceId: string): DeviceId => ({ tenantId: "acme", deviceId });
const plain = Array.from({ length: 50 }, (_, i) => idOf(`plain-${i}`));

describe.skipIf(unavailable !== "")(`a bulk look-up ${unavailable}`, () => {
  let db: Postgres;
  let sql: postgres.Sql;
  let registry: Registry;
  afterEach(async () => {
    await db.close();
    await sql.end({ timeout: 5 });
  });

  async function open(encoding: string): Promise<void> {
    const server = await sharedPostgres();
    const url = await server.createDatabase(encoding);
    sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
    db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    await migratePostgres(db);
    registry = createPostgresRegistry({ db, log: silentLog });
    await registry.add(plain.map((id) => ({ ...id, siteId: "s" })));
  }

  test.each(["UTF8", "LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"])(
    "in a %s database: every device that it can hold is found, beside names that it cannot",
    async (encoding) => {
      await open(encoding);
      const possible = Object.keys(names).filter((name) => names[name]?.includes(encoding));
      await registry.add(possible.map((name) => ({ ...idOf(name), siteId: "s" })));
      const asked = [...plain, ...Object.keys(names).map(idOf)];
      const found = (await registry.find(asked)).map(({ deviceId }) => deviceId);
      expect(found.toSorted()).toEqual([...plain.map(({ deviceId }) => deviceId), ...possible].toSorted());
    },
  );

  test("a row that cannot be read costs that device its answer alone, and no more than its share of queries", async () => {
    await open("UTF8");
    await sql.unsafe("alter table device_registry alter column previous_token_until type text");
    await sql.unsafe(
      "update device_registry set previous_token_until = 'no time at all' where device_id = 'plain-7'",
    );
    const found = await registry.find(plain);
    expect(found.map(({ deviceId }) => deviceId).toSorted()).toEqual(
      plain.flatMap(({ deviceId }) => (deviceId === "plain-7" ? [] : deviceId)).toSorted(),
    );
  });

  test("a site or a status that is NULL, or a type that is no text, is read as text: the auth cache ended the process at the first", async () => {
    await open("UTF8");
    await sql.unsafe(`drop trigger sluice_device_update on device_registry;
      alter table device_registry alter site_id type int using 7, alter site_id drop not null,
        alter status type bool using true, alter status drop default, alter status drop not null, alter tenant_id type char(9);
      update device_registry set site_id = null, status = null where device_id = 'plain-7'`);
    const found = await registry.find([idOf("plain-6"), idOf("plain-7")]);
    const cache = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 10, staleSeconds: 0 }, systemClock);
    expect(found.map((row) => cache.put(row)).sort(byKey)).toMatchObject([
      { ...idOf("plain-6"), siteId: "7", status: "true" },
      { ...idOf("plain-7"), siteId: "", status: "" },
    ]);
  });

  test("a look-up that the server is told to cancel is an outage, and does not make the device unregistered", async () => {
    await open("UTF8");
    await sql.unsafe(`alter table device_registry rename to registered;
      create view device_registry as select *, case when device_id = 'plain-7' and pg_cancel_backend(pg_backend_pid())
        then pg_sleep(1)::text end as previous_token_until from (select tenant_id, device_id, site_id, status,
        provision_token_hash, previous_token_hash from registered) as r`);
    await expect(registry.find(plain)).rejects.toThrow("looking up devices");
  });

  test("AUTO_PROVISION registers all names except those that the database cannot hold", async () => {
    await open("LATIN1");
    const asked = [...Object.keys(names), "new-1", "new-2"].map((name) => ({ ...idOf(name), siteId: "s" }));
    await registry.provision(asked);
    const rows = await sql<{ id: string }[]>`select device_id as id from device_registry
      where device_id not like 'plain-%'`;
    const possible = Object.keys(names).filter((name) => names[name]?.includes("LATIN1"));
    expect(rows.map(({ id }) => id).toSorted()).toEqual([...possible, "new-1", "new-2"].toSorted());
  });

  test("AUTO_PROVISION without the right is one error, not a refusal of each device", async () => {
    await open("UTF8");
    await sql.unsafe("alter table device_registry rename column status to state");
    await expect(registry.provision([{ ...idOf("new"), siteId: "s" }])).rejects.toThrow(
      "registering devices",
    );
  });

  test("a policy that raises for every device is an outage, and does not make devices unregistered", async () => {
    await open("UTF8");
    expect(await registry.find(plain)).toHaveLength(plain.length);
    await sql.unsafe(`alter table device_registry rename to registered;
      create function may_see(tenant text) returns bool language plpgsql as
        $$ begin raise 'no tenant is set in this session'; end $$;
      create view device_registry as select * from registered where may_see(tenant_id)`);
    await expect(registry.find(plain)).rejects.toThrow("looking up devices");
    await expect(registry.find(plain.slice(0, 1))).rejects.toThrow("looking up devices");
  });

  test("one that raises for all is so too beside a device that it does not have, and is not asked for each", async () => {
    await open("UTF8");
    await sql.unsafe(`alter table device_registry rename to registered; create sequence raised;
      create function may_see(tenant text) returns bool language plpgsql as
        $$ begin perform nextval('raised'); raise 'no tenant is set in this session'; end $$;
      create view device_registry as select * from registered where may_see(tenant_id)`);
    await expect(registry.find([idOf("none"), ...plain])).rejects.toThrow("looking up devices");
    const [row] = await sql`select last_value::int as times from raised`;
    expect(row?.["times"]).toBeLessThan(40);
  });

  test("a policy that raises for one device leaves that one alone unknown, also where it is asked for by itself later", async () => {
    await open("UTF8");
    await sql.unsafe(`alter table device_registry rename to registered;
      create function may_see(device text) returns bool language plpgsql as
        $$ begin if device = 'plain-0' then raise 'not this one'; end if; return true; end $$;
      create view device_registry as select * from registered where may_see(device_id)`);
    const { log, lines } = recordingLog();
    const find = createFind({ db, log });
    // Nothing shows yet that there is another.
    await expect(find([idOf("plain-0"), idOf("none")])).rejects.toThrow("looking up devices");
    expect((await find(plain)).map(({ deviceId }) => deviceId)).not.toContain("plain-0");
    expect(await find(plain)).toHaveLength(plain.length - 1);
    expect(await find([idOf("plain-0")])).toEqual([]);
    expect(lines).toHaveLength(3);
    for (const line of lines)
      expect(line).toMatchObject({ deviceId: "plain-0", error: expect.stringContaining("not this one") });
  });

  /** The registry as a role sees it that row-level security concerns. */
  async function asRole(): Promise<{ theirs: Registry; close: () => Promise<void> }> {
    await sql.unsafe(`do $$ begin create role sluice_app login; exception when duplicate_object then null; end $$;
      grant all on all tables in schema public to sluice_app; alter table device_registry enable row level security`);
    const limited = new URL(db.options.url);
    limited.username = "sluice_app";
    const its = openPostgres({ ...db.options, url: limited.href });
    return { theirs: createPostgresRegistry({ db: its, log: silentLog }), close: () => its.close() };
  }

  test("row-level security without a policy is an outage until one shows devices", async () => {
    await open("UTF8");
    const { theirs, close } = await asRole();
    expect(await theirs.find(plain).catch(explain)).toContain("shows this role no device");
    await sql.unsafe("create policy p on device_registry using (true)");
    expect(await theirs.find(plain)).toHaveLength(plain.length);
    expect(await theirs.find([idOf("none")])).toEqual([]);
    expect(await theirs.settings()).toEqual({});
    await sql.unsafe("alter table app_settings enable row level security");
    expect(await theirs.settings().catch(explain)).toContain("shows this role no setting");
    await close();
  });

  test("AUTO_PROVISION registers the first device of a role that sees its own tenant: the others' counted as a registry that is away", async () => {
    await open("UTF8");
    const { theirs, close } = await asRole();
    await sql.unsafe(
      "create policy p on device_registry using (tenant_id = 'globex'); analyze device_registry",
    );
    // Before PostgreSQL 15 it is told late.
    await until(async () => {
      const [row] = await sql`select pg_stat_get_live_tuples('device_registry'::regclass)::int as rows`;
      expect(row?.["rows"]).toBe(plain.length);
    });
    const first = { tenantId: "globex", deviceId: "d" };
    expect(await theirs.find([first])).toEqual([]);
    await theirs.provision([{ ...first, siteId: "s" }]);
    expect(await theirs.find([first, ...plain])).toMatchObject([first]);
    await close();
  });

  test("a look-up leaves the metadata of its devices unread: of many with much it took longer than a look-up may", async () => {
    await open("UTF8");
    await sql.unsafe(`do $$ begin create role sluice_app login; exception when duplicate_object then null; end $$;
      grant select (tenant_id, device_id, site_id, status, provision_token_hash, previous_token_hash, previous_token_until)
        on device_registry to sluice_app`);
    const limited = new URL(db.options.url);
    limited.username = "sluice_app";
    const narrow = openPostgres({ ...db.options, url: limited.href });
    const { find, owners } = createPostgresRegistry({ db: narrow, log: silentLog });
    const tokenHash = "ab".repeat(32);
    await registry.update(idOf("plain-1"), { tokenHash });
    await registry.update(idOf("plain-1"), { tokenHash: "cd".repeat(32), graceMs: 60_000 });
    const [first] = await find(plain.slice(1, 2));
    expect(first).toMatchObject({ ...idOf("plain-1"), previousTokenHash: tokenHash });
    expect(first?.previousTokenUntilMs).toBeGreaterThan(Date.now());
    expect(await owners([tokenHash])).toEqual([{ ...idOf("plain-1"), tokenHash }]);
    await narrow.close();
  });

  test("the search_path of a role, once it is mended, is that of the next call: it was that of the connections there were", async () => {
    await open("UTF8");
    const limited = new URL(db.options.url);
    limited.username = "sluice_app";
    const its = (path: string) =>
      sql.unsafe(`alter role sluice_app in database ${limited.pathname.slice(1)} ${path}`);
    await sql.unsafe(`do $$ begin create role sluice_app login; exception when duplicate_object then null; end $$;
      grant all on all tables in schema public to sluice_app`);
    await its("set search_path = nowhere");
    const lost = openPostgres({ ...db.options, url: limited.href });
    const find = createFind({ db: lost, log: silentLog });
    expect(await find(plain).catch(explain)).toContain('relation "device_registry" does not exist');
    await its("reset search_path");
    expect(await find(plain)).toHaveLength(plain.length);
    await lost.close();
  });

  test("an error of every look-up is an outage, and does not make devices unregistered", async () => {
    await open("UTF8");
    await sql.unsafe("alter table device_registry rename column status to state");
    await expect(registry.find(plain)).rejects.toThrow("looking up devices");
  });
});
