/**
 * DATABASE_URL in every form that libpq accepts: read correctly, connected to a real server, and rejected with a
 * clear message if wrong.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { loadConfig } from "../../../src/config/index.ts";
import { explain } from "../../../src/core/log/log.ts";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { parsePostgresUrl, placeOf, postgresUrl, tlsOf } from "../../../src/store/postgres/url.ts";
import { hearsChanges } from "../../../src/store/postgres/changes.ts";
import { startProxy } from "../../kit/proxy.ts";
import { freePort } from "../../kit/port.ts";
import { postgresAvailable, sharedPostgres, startPostgres, type PostgresServer } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

const at = (host: string, port = 5432) => ({ host, port });

test.each([
  ["postgres://u:p@h/d", [at("h")], "d", "u", "p"],
  ["postgresql://u:p@h:5433/d", [at("h", 5433)], "d", "u", "p"],
  ["postgres://h", [at("h")], null, null, ""],
  ["postgres:///d", [at("localhost")], "d", null, ""],
  ["postgres://u@[::1]/d", [at("::1")], "d", "u", ""],
  ["postgres://u@[fe80::1%25eth0]:5433/d", [at("fe80::1%eth0", 5433)], "d", "u", ""],
  ["postgres://a,b:5433,[::1]:5434/d", [at("a"), at("b", 5433), at("::1", 5434)], "d", null, ""],
  ["postgres://%2Fvar%2Frun%2Fpostgresql/d", [at("/var/run/postgresql")], "d", null, ""],
  ["postgres:///d?host=/var/run/postgresql&port=5433", [at("/var/run/postgresql", 5433)], "d", null, ""],
  ["postgres:///d?host=a,b&port=1,2", [at("a", 1), at("b", 2)], "d", null, ""],
  ["postgres://h/?dbname=d&user=u&password=p%26q", [at("h")], "d", "u", "p&q"],
  ["postgres://u%40x:p%3A%2F%40@h/d%20e", [at("h")], "d e", "u@x", "p:/@"],
  ["postgres://u:a:b@h/d", [at("h")], "d", "u", "a:b"],
])("%s", (text, hosts, database, user, password) => {
  expect(parsePostgresUrl(text)).toMatchObject({ hosts, database, user, password });
});

test("parameters of the connection are taken, those of the server are passed on", () => {
  const url = parsePostgresUrl(
    "postgres://h/d?sslmode=verify-full&target_session_attrs=read-write&application_name=site%207&search_path=iot",
  );
  expect(url.tls.mode).toBe("verify-full");
  expect(url.targetSessionAttrs).toBe("read-write");
  expect(url.parameters).toEqual({ application_name: "site 7", search_path: "iot" });
});

test("target_session_attrs=any is what libpq assumes without it", () => {
  expect(parsePostgresUrl("postgres://h/d?target_session_attrs=any").targetSessionAttrs).toBeNull();
});

test("parameters that say what is so anyway are taken, and not passed on to the server", () => {
  const anyway =
    "channel_binding=prefer&client_encoding=UTF8&gssencmode=disable&keepalives=1&sslcompression=0&sslnegotiation=postgres";
  expect(parsePostgresUrl(`postgres://h/d?sslmode=require&${anyway}`).parameters).toEqual({});
});

const directory = mkdtempSync(join(tmpdir(), "sluice-pg-url-"));
writeFileSync(join(directory, "empty.pem"), "");
afterAll(() => rmSync(directory, { recursive: true }));

test.each([
  ["the scheme forgotten", "u:hunter2@h/d", "a URL such as postgres://"],
  ["another scheme", "mysql://u:hunter2@h/d", "a URL such as postgres://"],
  ["a port that is none", "postgres://u:hunter2@h:99999/d", "ports from 1 to 65535"],
  ["an IPv6 address without brackets", "postgres://u:hunter2@::1/d", "[IPv6]:port"],
  ["a password with @", "postgres://u:x@hunter2@h/d", "written as %40"],
  ["a password with /", "postgres://u:1/hunter2@h/d", "written as %40 %2F"],
  ["a % alone", "postgres://u:hunter2%@h/d", "every % begins a code"],
  ["a misspelt mode", "postgres://u:hunter2@h/d?sslmode=verify_full", "sslmode is one of"],
  [
    "session attributes that are none",
    "postgres://u:hunter2@h/d?target_session_attrs=rw",
    "target_session_attrs is one of",
  ],
  [
    "what libpq knows and we do not",
    "postgres://u:hunter2@h/d?keepalives_idle=5",
    "without the parameters keepalives_idle",
  ],
  [
    "what nothing here does",
    "postgres://u:hunter2@h/d?sslmode=require&channel_binding=require",
    "without the parameters channel_binding",
  ],
  ["a misspelt sslmode", "postgres://u:hunter2@h/d?sslmod=require", "without the parameters sslmod"],
  [
    "misspelt session attributes",
    "postgres://u:hunter2@h/d?target_session_attr=any&SSLMODE=require",
    "without the parameters target_session_attr, SSLMODE",
  ],
  ["a misspelt password", "postgres://u@h/d?passwd=hunter2", "without the parameters passwd"],
  ["a socket among hosts", "postgres://u:hunter2@%2Ftmp,h/d", "one socket directory"],
  ["a parameter without a name", "postgres://u:hunter2@h/d?=x", "name=value"],
  [
    "a certificate that is not there",
    "postgres://u:hunter2@h/d?sslrootcert=/nowhere/ca.pem",
    "sslrootcert: cannot read /nowhere/ca.pem",
  ],
  [
    "a certificate that is a directory",
    `postgres://u:hunter2@h/d?sslrootcert=${directory}`,
    "sslrootcert: cannot read",
  ],
  [
    "an empty certificate",
    `postgres://u:hunter2@h/d?sslcert=${directory}/empty.pem`,
    "holds no certificate in PEM",
  ],
  ["a key that is not there", "postgres://u:hunter2@h/d?sslkey=/nowhere/key.pem", "sslkey: cannot read"],
])("%s is a mistake of the configuration that names DATABASE_URL and no password", (_, url, wanted) => {
  expect(postgresUrl.safeParse(url).error?.issues[0]?.message).toContain(wanted);
  const loaded = loadConfig({ DATABASE_URL: url, DATA_DIR: directory });
  const mistakes = "mistakes" in loaded ? loaded.mistakes : [];
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]).toStartWith("DATABASE_URL=");
  expect(mistakes[0]).toContain(wanted);
  expect(mistakes[0]).not.toContain("hunter2");
});

test.each([
  [null, false],
  ["disable", false],
  ["prefer", "prefer"],
  ["require", "require"],
  ["verify-full", "verify-full"],
] as const)("sslmode %s without files", (mode, ssl) => {
  expect(tlsOf({ mode, rootCert: null, cert: null, key: null })).toBe(ssl);
});

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`a real server answers ${unavailable}`, () => {
  let server: PostgresServer;
  let dead: number;
  beforeAll(async () => {
    server = await sharedPostgres();
    dead = await freePort();
  }, 60_000);

  test.each([
    ["by IPv6", () => `postgres://postgres@[::1]:${server.port}/postgres`],
    [
      "by a socket directory as host",
      () => `postgres://postgres@${encodeURIComponent(server.socketDirectory)}:${server.port}/postgres`,
    ],
    [
      "by a socket directory, which has no TLS whatever is asked for",
      () =>
        `postgres://postgres@/postgres?host=${server.socketDirectory}&port=${server.port}&sslmode=verify-full`,
    ],
    ["by ?host=", () => `postgres://postgres@/postgres?host=${server.socketDirectory}&port=${server.port}`],
    [
      "as the second of two hosts",
      () => `postgres://postgres@127.0.0.1:${dead},127.0.0.1:${server.port}/postgres`,
    ],
    [
      "as the one that takes writes",
      () =>
        `postgres://postgres@127.0.0.1:${dead},[::1]:${server.port}/postgres?target_session_attrs=read-write`,
    ],
    [
      "with parameters of ours",
      () => `postgres://postgres@127.0.0.1:${server.port}/postgres?search_path=pg_temp&connect_timeout=3`,
    ],
  ])("%s", async (_, url) => {
    const db = openPostgres({ url: url(), poolMax: 2, timeoutMs: 20_000 });
    const [row] = await db.query("asking", (sql) => sql<{ n: number }[]>`select 1 as n`);
    expect(row?.n).toBe(1);
    expect(db.place).toBe(placeOf(parsePostgresUrl(url())));
    expect(db.place).not.toContain("postgres@");
    await db.close();
  });

  test("to a password that SCRAM takes for another one written alike, as psql does", async () => {
    const scram = await startPostgres();
    const admin = postgres(scram.url, { max: 1, fetch_types: false });
    await admin.unsafe("create role scram login password 'x²µ´'; create role emoji login password '²🈚'");
    const hba = join(scram.socketDirectory, "data/pg_hba.conf");
    writeFileSync(hba, `host all scram,emoji all scram-sha-256\n${readFileSync(hba, "utf8")}`);
    await admin.unsafe("select pg_reload_conf()");
    await admin.end();
    const ask = async (password: string, role = "scram") => {
      const url = scram.url.replace("postgres@", `${role}:${encodeURIComponent(password)}@`);
      const db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
      const answer = await db.query("asking", (sql) => sql`select 1`).then(() => "in", explain);
      await db.close();
      return answer;
    };
    await until(async () => (await ask("")) !== "in");
    expect(await ask("x²µ´")).toBe("in");
    expect(await ask("x2µ")).toContain("password authentication failed");
    // One with a character that SCRAM does not know is taken as it is.
    expect(await ask("²🈚", "emoji")).toBe("in");
    await scram.stop();
  });

  test.each(["blackhole", "refuse", "reset"] as const)(
    "as the last of three whose others %s, to the first call and to LISTEN",
    async (mode) => {
      const bad = [await startProxy({ port: server.port }), await startProxy({ port: server.port })];
      for (const proxy of bad) proxy.mode(mode);
      const hosts = [...bad, server].map(({ port }) => `127.0.0.1:${port}`).join(",");
      const db = openPostgres({ url: `postgres://postgres@${hosts}/postgres`, poolMax: 2, timeoutMs: 3_000 });
      const [row] = await db.transaction("asking", (tx) => tx<{ n: number }[]>`select 1 as n`);
      expect(row?.n).toBe(1);
      await hearsChanges(db);
      await db.close();
      for (const proxy of bad) await proxy.stop();
    },
    60_000,
  );
});
