/** A PostgreSQL whose synchronous standby is away: each COMMIT waits, without an error and without an end. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { explain } from "../../../src/core/log/log.ts";
import { hashOf } from "../../../src/core/token.ts";
import { openPostgres, type Postgres } from "../../../src/store/postgres/postgres-client.ts";
import { createTables } from "../../../src/store/postgres/migrate.ts";
import { lock } from "../../../src/store/postgres/postgres-position.ts";
import { runCommand } from "../../kit/command.ts";
import { postgresAvailable, startPostgres, type PostgresServer } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

describe.skipIf(unavailable !== "")(`a synchronous standby that is away ${unavailable}`, () => {
  let server: PostgresServer;
  let db: Postgres;
  beforeAll(async () => {
    server = await startPostgres({ settings: ["synchronous_commit=local"] });
    const local = openPostgres({ url: server.url, poolMax: 2, timeoutMs: 10_000 });
    await local.transaction("making tables", createTables);
    await local.close();
    db = openPostgres({ url: `${server.url}?synchronous_commit=on`, poolMax: 3, timeoutMs: 1000 });
  });
  afterAll(async () => {
    await db.close();
    await server.stop();
  });

  const standbys = async (names: string) => {
    const sql = postgres(server.url, { max: 1, fetch_types: false });
    await sql.unsafe(`alter system set synchronous_standby_names = '${names}'`);
    await sql`select pg_reload_conf()`;
    await until(
      async () => (await sql`show synchronous_standby_names`)[0]?.["synchronous_standby_names"] === names,
    );
    await sql.end({ timeout: 5 });
  };
  const write = (key: string) =>
    db.transaction("writing", async (tx) => {
      await lock(tx, ["epoch"]);
      await tx`insert into app_settings (key, value) values (${key}, '')`;
    });

  test("is what is said of the COMMIT that waits for it, and all goes on once it is back", async () => {
    await standbys("gone");
    expect(await write("first").catch(explain)).toContain("no answer within 1000 ms");
    await until(async () => {
      const words = await write("second").catch(explain);
      return String(words).includes("a COMMIT waits for its synchronous standby: bring that back");
    });
    await standbys("");
    await until(() => write("third").then(() => true));
    const rows = await db.ask<{ key: string }>("reading", "select key from app_settings order by key");
    expect(rows.map(({ key }) => key)).toEqual(["first", "third"]);
  });

  test("check says of it that nothing is stored, and a token whose COMMIT waits is not called void: it comes into force", async () => {
    const env = { DATA_DIR: tmpdir(), DATABASE_URL: db.options.url, PG_TIMEOUT_MS: "1000" };
    await standbys("gone");
    const { code, out, err } = await runCommand(["devices", "add", "acme", "d1", "--site", "s"], { env });
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining("whether the printed token is in force is not sure"),
    });
    await until(async () => (await runCommand(["check"], { env })).out.includes("a COMMIT waits for its"));
    await standbys("");
    await until(async () => {
      const [device] = await db.ask<{ hash: string }>(
        "reading",
        "select provision_token_hash as hash from device_registry",
      );
      return device?.hash === hashOf(out.trim());
    });
  });

  test("an import that made tokens says of which devices it got no answer: they may be registered, and nobody has those", async () => {
    const env = { DATA_DIR: tmpdir(), DATABASE_URL: db.options.url, PG_TIMEOUT_MS: "1000" };
    const file = join(mkdtempSync(join(tmpdir(), "sluice-import-")), "devices.csv");
    writeFileSync(file, "tenant_id,device_id,site_id\nacme,i1,s\nacme,i2,s\n");
    await standbys("gone");
    const { code, out, err } = await runCommand(["devices", "import", file, "--make-tokens"], { env });
    await standbys("");
    expect({ code, out, err }).toEqual({
      code: 1,
      out: "",
      err: expect.stringContaining(
        "whether 2 devices, from device acme/i1 on, will be registered is not sure",
      ),
    });
    rmSync(dirname(file), { recursive: true });
  });

  test("a token whose change PostgreSQL refuses is called void", async () => {
    const reader = new URL(server.url);
    reader.username = "reader";
    await db.query("making a role", (sql) => sql.unsafe("create role reader login in role pg_read_all_data"));
    const env = { DATA_DIR: tmpdir(), DATABASE_URL: reader.href };
    const { code, err } = await runCommand(["devices", "add", "acme", "d2", "--site", "s"], { env });
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining("the printed token is not in force"),
    });
  });
});
