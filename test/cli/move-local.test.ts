/**
 * A move from the local store into a database that cannot hold all of it: the rest moves, and each try names what
 * stays.
 */
import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { execute } from "../../src/cli/index.ts";
import { batchRows, bounded } from "../../src/cli/migrate/rows.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { openLocalFile } from "../../src/store/sqlite/local-file.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

setDefaultTimeout(60_000);

test("of large rows no more are read than fit one statement", () => {
  const payload = "x".repeat(1_000_000);
  let read = 0;
  function* rows() {
    for (; read < batchRows; read++) yield { id: read, payload };
  }
  expect(bounded(rows()).map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(read).toBeLessThan(5);
});

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`sluice migrate --from-local ${unavailable}`, () => {
  const root = mkdtempSync(join(tmpdir(), "sluice-move-"));
  afterAll(() => rmSync(root, { recursive: true }));
  let dataDir: string;
  let url: string;
  let sql: postgres.Sql;
  beforeEach(async () => {
    dataDir = mkdtempSync(join(root, "data-"));
    url = await (await sharedPostgres()).createDatabase("LATIN1");
    sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    for (const name of ["d1", "温度計", "d2"]) {
      local
        .query(
          "INSERT INTO device_registry (tenant_id, device_id, site_id, provisioned_at) VALUES ('acme', ?, 's', '2026-01-01T00:00:00Z')",
        )
        .run(name);
      local
        .query(
          "INSERT INTO raw_events (ingested_at, topic, tenant_id, device_id, payload) VALUES ('2026-01-01T00:00:00Z', 't', 'acme', ?, '{}')",
        )
        .run(name);
      local
        .query(
          "INSERT INTO quarantine_events (ingested_at, topic, device_id, reason, payload) VALUES ('2026-01-01T00:00:00Z', 't', ?, 'TOKEN_INVALID', '{}')",
        )
        .run(name);
      local
        .query(
          "INSERT INTO quarantine_counters_minute VALUES ('2026-01-01T00:00:00Z', ?, 'TOKEN_INVALID', 7)",
        )
        .run(name);
    }
    local.close();
  });
  afterEach(() => sql.end({ timeout: 5 }));

  async function move() {
    let [out, err] = ["", ""];
    const code = await execute(["migrate", "--from-local"], {
      env: { DATA_DIR: dataDir, DATABASE_URL: url },
      stdout: (text) => void (out += text),
      stderr: (text) => void (err += text),
      isTerminal: true,
      signal: new AbortController().signal,
      createLog: () => silentLog,
    });
    return { code, out, err };
  }

  const names = async (query: string) =>
    (await sql.unsafe<{ name: string }[]>(query)).map(({ name }) => name).toSorted();

  test("a device without a time of its registration is registered at the time of the move", async () => {
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    local.run("UPDATE device_registry SET provisioned_at = NULL WHERE device_id = 'd2'");
    local.close();
    const beganMs = Date.now() - 1_000;
    expect((await move()).err).not.toContain("d2");
    const [row] = await sql`select provisioned_at from device_registry where device_id = 'd2'`;
    const at = Date.parse(String(row?.["provisioned_at"]));
    expect(at).toBeGreaterThan(beganMs);
    expect(at).toBeLessThan(Date.now() + 1_000);
  });

  test("a name that the encoding cannot hold stays behind alone, in each table, and is named", async () => {
    const { code, err } = await move();
    expect(code).toBe(1);
    // Of both tables of events and of the counts together.
    expect(err).toMatch(/\r6 rows moved *\n/);
    for (const row of [
      "device_registry acme/温度計",
      "raw_events 2",
      "quarantine_events 2",
      "quarantine_counters_minute 2026-01-01T00:00:00Z 温度計",
    ])
      expect(err).toContain(`not moved: ${row}`);
    expect(await names("select device_id as name from device_registry")).toEqual(["d1", "d2"]);
    expect(await names("select device_id as name from raw_events")).toEqual(["d1", "d2"]);
    expect(await names("select device_id as name from quarantine_events")).toEqual(["d1", "d2"]);
    expect(await names("select tenant_id as name from quarantine_counters_minute")).toEqual(["d1", "d2"]);
    expect(readdirSync(dataDir).some((name) => name.startsWith("local.db.moved-"))).toBe(true);
  });

  test("a row that is too long for an index is refused alone", async () => {
    await sql.unsafe(`create table raw_events (id bigserial primary key, ingested_at timestamptz not null default now(),
      event_ts timestamptz, topic text not null unique, tenant_id text, site_id text, device_id text, msg_type text,
      payload jsonb not null, accepted boolean not null default true)`);
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    local.run("UPDATE raw_events SET topic = 't' || id, device_id = 'd' || id");
    const random = Array.from({ length: 400 }, () => Bun.randomUUIDv7()).join("");
    local.query("UPDATE raw_events SET topic = ? WHERE id = 1").run(random);
    local.close();
    const { err } = await move();
    expect(err).toContain("not moved: raw_events 1: index row");
    expect(await names("select device_id as name from raw_events")).toEqual(["d2", "d3"]);
  });

  test("columns that a site has made enums or domains take what moves", async () => {
    await sql.unsafe(`create type word as enum ('ACTIVE', 'REVOKED', 'TOKEN_INVALID'); create domain named as text not null;
      create table device_registry (tenant_id text, device_id named, site_id named, status word not null,
        provision_token_hash text, provisioned_at timestamptz, fw_version text, metadata jsonb, owner named default 'us',
        primary key (tenant_id, device_id));
      create table quarantine_events (id bigserial primary key, ingested_at timestamptz not null, event_ts timestamptz,
        topic text not null, tenant_id text, site_id text, device_id text, msg_type text, reason word not null, payload jsonb not null)`);
    expect((await move()).err).toContain("not moved: device_registry acme/温度計");
    expect(await names("select device_id as name from device_registry")).toEqual(["d1", "d2"]);
    expect(await names("select device_id as name from quarantine_events")).toEqual(["d1", "d2"]);
  });

  test("it ends where a column of the site's own wants a value, and goes on there once it has one: all rows stayed behind for good", async () => {
    await sql.unsafe(`create table raw_events (id bigserial primary key, ingested_at timestamptz not null, event_ts timestamptz,
        topic text not null, tenant_id text not null, site_id text, device_id text, msg_type text, payload jsonb not null,
        accepted boolean not null default true, region text not null)`);
    expect(await move()).toMatchObject({ code: 1, err: expect.stringContaining('column "region"') });
    expect(readdirSync(dataDir)).toContain("local.db");
    await sql.unsafe("alter table raw_events alter region set default 'eu'");
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    local.run("UPDATE raw_events SET tenant_id = NULL WHERE device_id = 'd2'");
    local.close();
    expect((await move()).err).toContain('not moved: raw_events 3: null value in column "tenant_id"');
    expect(await names("select device_id as name from raw_events")).toEqual(["d1"]);
  });

  test("it ends where `id` has lost its default, and goes on there once it has one: all rows stayed behind for good", async () => {
    await sql.unsafe(`create table raw_events (id bigserial primary key, ingested_at timestamptz not null, event_ts timestamptz,
        topic text not null, tenant_id text, site_id text, device_id text, msg_type text, payload jsonb not null,
        accepted boolean not null default true);
      alter table raw_events alter id drop default`);
    expect(await move()).toMatchObject({ code: 1, err: expect.stringContaining('column "id"') });
    expect(readdirSync(dataDir)).toContain("local.db");
    await sql.unsafe("alter table raw_events alter id set default nextval('raw_events_id_seq')");
    await move();
    expect(await names("select device_id as name from raw_events")).toEqual(["d1", "d2"]);
  });

  test("it ends where a partition is missing, and goes on there once it is made: all such rows stayed behind for good", async () => {
    await sql.unsafe(`create table raw_events (id bigserial, ingested_at timestamptz not null, event_ts timestamptz,
        topic text not null, tenant_id text, site_id text, device_id text, msg_type text, payload jsonb not null,
        accepted boolean not null default true) partition by range (ingested_at);
      create table raw_2026 partition of raw_events for values from ('2026-02-01') to ('2027-01-01')`);
    expect(await move()).toMatchObject({ code: 1, err: expect.stringContaining("no partition of relation") });
    expect(readdirSync(dataDir)).toContain("local.db");
    await sql.unsafe("create table raw_older partition of raw_events default");
    await move();
    expect(await names("select device_id as name from raw_events")).toEqual(["d1", "d2"]);
  });

  test("years of counts are no single transaction, which would have to end within PG_TIMEOUT_MS", async () => {
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    local.run(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
      INSERT INTO quarantine_counters_minute
      SELECT strftime('%Y-%m-%dT%H:%M:00Z', 1700000000 + 60 * i, 'unixepoch'), 'acme', 'TOKEN_INVALID', 2 FROM n`);
    local.close();
    await sql.unsafe(`create table quarantine_counters_minute (bucket_minute timestamptz not null, tenant_id text not null,
        reason text not null, cnt bigint not null, txid bigint default txid_current(), primary key (bucket_minute, tenant_id, reason))`);
    await move();
    const [row] =
      await sql`select sum(cnt)::int as sum, count(distinct txid)::int as n from quarantine_counters_minute`;
    expect(row).toMatchObject({ sum: 12_014 });
    expect(row?.["n"]).toBeGreaterThan(3);
  });

  test("counts that an older version has moved, all at once and with a note of 1, are not added again", async () => {
    await move();
    const file = readdirSync(dataDir).find((name) => name.startsWith("local.db.moved-")) ?? "";
    renameSync(join(dataDir, file), join(dataDir, "local.db"));
    await sql`delete from sluice_position where epoch like 'move:%:numbered_counts'`;
    const { db: local } = openLocalFile(join(dataDir, "local.db"));
    const { id } = local.query<{ id: string }, []>("SELECT id FROM sluice_move").get() ?? { id: "" };
    local.close();
    await sql`insert into sluice_position (epoch, gateway_id, seq, delivered, ignored, refused, skipped, updated_at)
      values (${`move:${id}:quarantine_counters_minute`}, 'move', 1, 0, 0, 0, 0, now())`;
    await move();
    const [row] = await sql`select sum(cnt)::int as sum from quarantine_counters_minute`;
    expect(row?.["sum"]).toBe(14);
  });

  test("once the cause that ended a try is fixed, the next try continues, and says again that a row stayed behind", async () => {
    await sql.unsafe("create table quarantine_counters_minute (none int)");
    await expect(move().then(({ code, err }) => `${code} ${err}`)).resolves.toMatch(
      /^1 .*rows? moved *\nerror: .*does not exist/s,
    );
    await sql.unsafe("drop table quarantine_counters_minute");
    const { code, err } = await move();
    expect(code).toBe(1);
    expect(err).toContain("not moved: raw_events: rows that PostgreSQL refused in an earlier try: 1");
    expect(await names("select device_id as name from raw_events")).toEqual(["d1", "d2"]);
  });
});
