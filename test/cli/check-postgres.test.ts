/** `sluice check` against a real PostgreSQL: it reports what it finds and leaves no trace. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { tmpdir } from "node:os";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../src/store/postgres/postgres-client.ts";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { pgBouncerAvailable, startPgBouncer } from "../kit/pgbouncer.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`sluice check and PostgreSQL ${unavailable}`, () => {
  let url: string;
  let db: Postgres;
  beforeEach(async () => {
    url = await (await sharedPostgres()).createDatabase();
    db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
  });
  afterEach(() => db.close());
  const run = (statement: string) => db.transaction("preparing", (tx) => tx.unsafe(statement));

  async function check(databaseUrl = url, more: Record<string, string> = {}) {
    let out = "";
    const code = await execute(["check", "--json"], {
      env: { DATA_DIR: tmpdir(), DATABASE_URL: databaseUrl, INFLUXDB_URL: "http://127.0.0.1:1", ...more },
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
    const tables = await db.query(
      "looking",
      (sql) => sql`select 1 from pg_tables where schemaname = 'public'`,
    );
    expect(tables.length).toBe(0);
  });

  test("a role that may not create the missing tables is reported with the remedy", async () => {
    await run("drop role if exists sluice_check; create role sluice_check login");
    await run("revoke create on schema public from public");
    const limited = new URL(url);
    limited.username = "sluice_check";
    const { code, postgres, registry } = await check(limited.href);
    expect(code).toBe(1);
    for (const part of [postgres, registry])
      expect(part).toMatchObject({ ok: false, detail: expect.stringContaining("sluice migrate") });
    await migratePostgres(db);
    await run("revoke usage on schema public from public");
    const unseen = await check(limited.href);
    for (const part of [unseen.postgres, unseen.registry])
      expect(part).toMatchObject({ ok: false, detail: expect.stringContaining("USAGE of their schema") });
  });

  test("a login that is refused, and a database that is not there, are reported with the remedy", async () => {
    const elsewhere = new URL(url);
    elsewhere.pathname = "/nowhere";
    const there = await check(elsewhere.href);
    expect(there.registry?.detail).toEndWith("(3D000): make the database or correct DATABASE_URL");
    await run("drop role if exists sluice_check; create role sluice_check nologin");
    const stranger = new URL(url);
    stranger.username = "sluice_check";
    const { registry, postgres } = await check(stranger.href);
    expect(registry?.detail).toEndWith("(28000): see to the role, its password and pg_hba.conf");
    expect(postgres?.detail).toBe(registry?.detail ?? "");
  });

  test("it warns of triggers that do not fire for replication tools, as a restore leaves them; `sluice migrate` mends that", async () => {
    await migratePostgres(db);
    expect((await check()).registry?.detail).toBe("0 devices of 0 tenants");
    await run(
      "alter table device_registry disable trigger all; alter table device_registry enable trigger all",
    );
    expect((await check()).registry?.detail).toContain("session_replication_role = replica");
    await migratePostgres(db);
    expect((await check()).registry?.detail).toBe("0 devices of 0 tenants");
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
    expect((await check()).registry?.detail).toContain("no triggers that tell changes: run `sluice migrate`");
    await run("drop index device_registry_token_idx");
    expect((await check()).registry?.detail).toContain("has no index on provision_token_hash");
    expect((await check(url, { MQTT_URL: "mqtt://127.0.0.1:1" })).registry?.detail).not.toContain("no index");
  });

  describe("a database that cannot take what the gateway writes", () => {
    const as = (role: string) => {
      const limited = new URL(url);
      limited.username = role;
      return limited.href;
    };
    const raising = (when: string, level: string) => `
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
      create ${when} on raw_events ${level} execute function refuse()`;

    /** Obstacle → the statements that create it, and what the check must name. */
    const obstacles: readonly [string, string, string | RegExp][] = [
      [
        "no right to insert",
        "revoke insert on raw_events from sluice_app",
        "permission denied for table raw_events",
      ],
      [
        "no right to insert rejects",
        "revoke insert on quarantine_events from sluice_app",
        "permission denied for table quarantine_events",
      ],
      [
        "no right to remove what is replayed",
        "revoke delete on quarantine_events from sluice_app",
        "permission denied for table quarantine_events",
      ],
      [
        "no right to count",
        "revoke update on quarantine_counters_minute from sluice_app",
        "permission denied for table quarantine_counters_minute",
      ],
      [
        "no right to the position",
        "revoke update on sluice_position from sluice_app",
        "permission denied for table sluice_position",
      ],
      [
        "no right to the settings",
        "revoke select on app_settings from sluice_app",
        "permission denied for table app_settings",
      ],
      [
        "no right to the sequence",
        "revoke usage on sequence raw_events_id_seq from sluice_app",
        "sequence raw_events_id_seq",
      ],
      [
        "no right to the sequence of rejects",
        "revoke usage on sequence quarantine_events_id_seq from sluice_app",
        "sequence quarantine_events_id_seq",
      ],
      [
        "a policy without permission",
        "alter table raw_events enable row level security",
        'row-level security policy for table "raw_events"',
      ],
      [
        "policies by which no position is ever changed",
        `alter table sluice_position enable row level security; create policy i on sluice_position for insert with check (true);
        create policy s on sluice_position for select using (true)`,
        'row-level security policy (USING expression) for table "sluice_position"',
      ],
      [
        "a trigger that raises when a position is changed",
        `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
        create trigger t before update on sluice_position for each row execute function refuse()`,
        "sluice_position: not today",
      ],
      [
        "policies by which a count of rejects stays as it is",
        `alter table quarantine_counters_minute enable row level security;
        create policy i on quarantine_counters_minute for insert with check (true);
        create policy s on quarantine_counters_minute for select using (true)`,
        'row-level security policy (USING expression) for table "quarantine_counters_minute"',
      ],
      ["a missing column", "alter table raw_events drop column topic", 'column "topic"'],
      ["a missing column of rejects", "alter table quarantine_events drop column reason", 'column "reason"'],
      [
        "a column of its own that must not be null",
        "alter table raw_events add column region text not null default ''; alter table raw_events alter region drop default",
        'column "region"',
      ],
      [
        "a view that takes nothing",
        "alter table raw_events rename to events; create view raw_events as select distinct * from events; grant all on raw_events to sluice_app",
        'view "raw_events"',
      ],
      ["a trigger that raises", raising("trigger t before insert", "for each row"), "not today"],
      [
        "a trigger of the statement that raises",
        raising("trigger t before insert", "for each statement"),
        "not today",
      ],
      [
        "a deferred trigger that raises",
        raising("constraint trigger t after insert", "deferrable initially deferred for each row"),
        "not today",
      ],
      ["ids that are uuids", "alter table raw_events alter device_id type uuid using null", "device_id"],
      ["times that are numbers", "alter table raw_events alter event_ts type bigint using null", "event_ts"],
      ["payloads that are numbers", "alter table raw_events alter payload type int using null", "payload"],
      [
        "no partition for today",
        `alter table raw_events rename to old; create table raw_events (like old including defaults) partition by range (ingested_at);
        create table raw_past partition of raw_events for values from ('2001-01-01') to ('2002-01-01'); grant all on raw_events to sluice_app`,
        "no partition",
      ],
      ["a read-only server", "alter role sluice_app set default_transaction_read_only = on", /^$/],
    ];

    async function granted(): Promise<void> {
      await migratePostgres(db);
      await run(`do $$ begin create role sluice_app login; exception when duplicate_object then null; end $$;
        alter role sluice_app reset all;
        grant select, insert, update, delete on all tables in schema public to sluice_app;
        grant usage on all sequences in schema public to sluice_app`);
    }

    test.each(obstacles)("%s", async (_, statements, named) => {
      await granted();
      const before = await check(as("sluice_app"));
      expect(before.postgres).toMatchObject({ ok: true });
      await run(statements);
      const { code, postgres } = await check(as("sluice_app"));
      // The gateway requests read-write transactions itself, so this is no obstacle.
      if (named instanceof RegExp) return expect(postgres).toMatchObject({ ok: true });
      expect(code).toBe(1);
      expect(postgres).toMatchObject({ ok: false, detail: expect.stringContaining(named) });
    });

    test("a table that somebody holds locked is no table that refuses COPY", async () => {
      await granted();
      await db.transaction("holding", async (tx) => {
        await tx`lock table raw_events in access exclusive mode`;
        const { postgres } = await check(as("sluice_app"), { PG_TIMEOUT_MS: "1000" });
        const detail = expect.stringContaining("another session holds a lock") as string;
        expect(postgres).toMatchObject({ ok: false, detail });
      });
    });

    test("a role that may not read raw_events stores its rows, with a remark", async () => {
      await granted();
      await run("revoke select on raw_events from sluice_app");
      const detail = expect.stringContaining("permission denied for table raw_events (42501): entries wait");
      expect((await check(as("sluice_app"))).postgres).toMatchObject({ ok: true, detail });
    });

    test.each(["return null", "raise 'nothing leaves this table'"])(
      "a trigger that lets no row of the quarantine go (%s) keeps nothing out, with a remark",
      async (does) => {
        await granted();
        await run(`create function keep() returns trigger language plpgsql as $$ begin ${does}; end $$;
          create trigger keep before delete on quarantine_events for each row execute function keep()`);
        const detail = expect.stringContaining("what is replayed becomes a dead letter") as string;
        expect((await check(as("sluice_app"))).postgres).toMatchObject({ ok: true, detail });
      },
    );

    test("a count of rejects that stays as it is is found whatever minute begins meanwhile", async () => {
      await granted();
      await run(`alter table quarantine_counters_minute enable row level security;
        create policy i on quarantine_counters_minute for insert with check (true);
        create policy s on quarantine_counters_minute for select using (true)`);
      let nowMs = Date.now();
      const clock = spyOn(Date, "now").mockImplementation(() => (nowMs += 60_000));
      const { postgres } = await check(as("sluice_app")).finally(() => clock.mockRestore());
      expect(postgres).toMatchObject({ ok: false, detail: expect.stringContaining("quarantine_counters") });
    });

    test("a full disk is told without a word of rights", async () => {
      await granted();
      await run(`create function disk_full() returns trigger language plpgsql as $$ begin
        raise 'No space left on device' using errcode = '53100'; end $$;
        create trigger disk_full before insert on raw_events for each statement execute function disk_full()`);
      const { postgres } = await check(as("sluice_app"));
      expect(postgres).toMatchObject({
        ok: false,
        detail: expect.stringMatching(/No space left on device$/),
      });
    });

    const registryObstacles: readonly [string, string, string][] = [
      [
        "no right to read the devices",
        "revoke select on device_registry from sluice_app",
        "permission denied for table device_registry",
      ],
      [
        "a column that the look-up reads",
        "alter table device_registry drop column status cascade",
        "r.status does not exist",
      ],
      [
        "devices whose ids are uuids",
        "drop trigger sluice_device_update on device_registry; alter table device_registry alter device_id type uuid using null",
        "uuid = text",
      ],
      [
        "a policy that shows no device",
        "alter table device_registry enable row level security",
        "row-level security of device_registry",
      ],
      [
        "a policy that shows devices of a tenant that no session of ours has",
        `insert into device_registry (tenant_id, device_id, site_id) values ('acme', 'd', 's');
         alter table device_registry enable row level security;
         create policy p on device_registry using (tenant_id = current_setting('app.tenant', true))`,
        "row-level security of device_registry",
      ],
      [
        "a policy that shows no setting",
        "alter table app_settings enable row level security",
        "row-level security of app_settings",
      ],
      [
        "a policy for somebody else",
        "alter table device_registry enable row level security; create policy p on device_registry to pg_monitor using (true)",
        "row-level security of device_registry",
      ],
    ];
    test.each(registryObstacles)("the registry: %s", async (_, statements, named) => {
      await granted();
      expect((await check(as("sluice_app"))).registry).toMatchObject({ ok: true });
      await run(statements);
      // Rows count a second late.
      await until(async () => {
        const { code, registry } = await check(as("sluice_app"));
        expect(code).toBe(1);
        expect(registry).toMatchObject({ ok: false, detail: expect.stringContaining(named) });
      });
    });

    test("a policy that shows devices is no obstacle, also where there are none and the rehearsal of AUTO_PROVISION leaves a page", async () => {
      await granted();
      await run(
        "alter table device_registry enable row level security; create policy p on device_registry using (true)",
      );
      for (const _ of [1, 2])
        expect((await check(as("sluice_app"), { AUTO_PROVISION: "1" })).registry).toMatchObject({ ok: true });
    });

    test.each([
      [
        "no right to register",
        "revoke insert on device_registry from sluice_app",
        "permission denied for table device_registry",
      ],
      [
        "a column of its own that must not be null",
        "alter table device_registry add column region text not null",
        'column "region"',
      ],
    ])("AUTO_PROVISION: %s is an obstacle to it only", async (_, statements, named) => {
      await granted();
      await run(statements);
      expect((await check(as("sluice_app"))).registry).toMatchObject({ ok: true });
      const { registry } = await check(as("sluice_app"), { AUTO_PROVISION: "1" });
      expect(registry).toMatchObject({ ok: false, detail: expect.stringContaining(named) });
      const rows = await db.query("looking", (sql) => sql`select 1 from device_registry`);
      expect(rows.length).toBe(0);
    });

    test("an existing table is probed although other tables do not exist yet", async () => {
      await run(`create table raw_events (id bigserial primary key, ingested_at timestamptz not null default now(),
        event_ts timestamptz, topic text not null, tenant_id text, site_id text, device_id uuid, msg_type text,
        accepted boolean default true, payload jsonb)`);
      const { code, postgres } = await check();
      expect(code).toBe(1);
      expect(postgres).toMatchObject({ ok: false, detail: expect.stringContaining("device_id") });
      await run("alter table raw_events alter device_id type text");
      expect((await check()).postgres).toMatchObject({
        ok: true,
        detail: expect.stringContaining("has no device_registry"),
      });
      const tables = await db.query(
        "looking",
        (sql) => sql`select 1 from pg_tables where schemaname = 'public'`,
      );
      expect(tables.length).toBe(1);
    });

    test("it leaves no row", async () => {
      await migratePostgres(db);
      await check();
      for (const table of [
        "raw_events",
        "quarantine_events",
        "quarantine_counters_minute",
        "sluice_position",
      ]) {
        const rows = await db.query("looking", (sql) => sql.unsafe(`select 1 from ${table}`));
        expect([table, rows.length]).toEqual([table, 0]);
      }
    });

    test.each([
      ["a type that must be known", "alter table raw_events add check (msg_type in ('heartbeat'))"],
      [
        "devices that must be registered",
        "alter table raw_events add foreign key (tenant_id, device_id) references device_registry",
      ],
    ])("%s is a remark: only some entries are refused", async (_, statements) => {
      await migratePostgres(db);
      await run("insert into device_registry (tenant_id, device_id, site_id) values ('acme', 'd', 's')");
      await run(statements.replace("('heartbeat')", "('heartbeat', 'nothing')"));
      const { postgres } = await check();
      expect(postgres?.detail).toContain("raw_events");
    });

    test("a policy that makes the sink write row by row is a remark", async () => {
      await migratePostgres(db);
      await run(`do $$ begin create role sluice_app login; exception when duplicate_object then null; end $$;
        grant select, insert, update, delete on all tables in schema public to sluice_app;
        grant usage on all sequences in schema public to sluice_app;
        alter table raw_events enable row level security;
        create policy all_of_it on raw_events using (true) with check (true)`);
      const { postgres } = await check(as("sluice_app"));
      expect(postgres).toMatchObject({ ok: true, detail: expect.stringContaining("one by one") });
    });

    test.each([
      [
        "a row trigger that drops every row",
        "before insert on raw_events",
        "raw_events: a trigger keeps a row",
      ],
      [
        "one that drops rejects",
        "before insert on quarantine_events",
        "quarantine_events: a trigger keeps a row",
      ],
    ])("%s is a remark, for the rows count as delivered", async (_, when, named) => {
      await migratePostgres(db);
      expect((await check()).postgres?.detail).not.toContain("trigger");
      await run(`create function dropped() returns trigger language plpgsql as 'begin return null; end';
        create trigger t ${when} for each row execute function dropped()`);
      expect((await check()).postgres).toMatchObject({ ok: true, detail: expect.stringContaining(named) });
    });

    test("an unlogged table, which a crash of the server empties, is a remark", async () => {
      await migratePostgres(db);
      await run("alter table raw_events set unlogged");
      const { postgres } = await check();
      expect(postgres).toMatchObject({ ok: true, detail: expect.stringContaining("raw_events is unlogged") });
    });

    test("a partition at another server, which commits by itself, is a remark", async () => {
      await migratePostgres(db);
      const columns = `ingested_at timestamptz not null, event_ts timestamptz, topic text not null, tenant_id text,
        site_id text, device_id text, msg_type text, payload jsonb not null, accepted boolean not null`;
      await run(`drop table raw_events;
        create table raw_events (${columns}) partition by range (ingested_at);
        create table now_here partition of raw_events default;
        create foreign data wrapper elsewhere;
        create server elsewhere foreign data wrapper elsewhere;
        create foreign table once partition of raw_events for values from ('2001-01-01') to ('2002-01-01') server elsewhere`);
      const { postgres } = await check();
      expect(postgres?.ok).toBe(true);
      expect(postgres?.detail).toContain("raw_events lies at another server in whole or in part");
      expect(postgres?.detail).not.toContain("quarantine_events lies");
    });

    test("an encoding that cannot hold every character is named", async () => {
      const latin = await (await sharedPostgres()).createDatabase("LATIN1");
      const other = openPostgres({ url: latin, poolMax: 2, timeoutMs: 20_000 });
      await migratePostgres(other);
      await other.close();
      expect((await check(latin)).postgres).toMatchObject({
        ok: true,
        detail: expect.stringContaining("LATIN1"),
      });
    });

    test.skipIf(pgBouncerAvailable !== "")(
      `a pooler in transaction mode is named ${pgBouncerAvailable}`,
      async () => {
        await migratePostgres(db);
        const pooler = await startPgBouncer(await sharedPostgres(), "transaction");
        try {
          const { code, registry, postgres } = await check(pooler.url(url));
          expect([code, postgres?.ok]).toEqual([1, true]);
          expect(registry).toMatchObject({
            ok: false,
            detail: expect.stringContaining("pooler in transaction mode"),
          });
        } finally {
          await pooler.stop();
        }
      },
    );
  });
});
