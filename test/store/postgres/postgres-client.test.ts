import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { explain, silentLog } from "../../../src/core/log/log.ts";
import { copyData } from "../../../src/store/postgres/copy.ts";
import { createFind } from "../../../src/store/postgres/find.ts";
import { createMissing, migratePostgres } from "../../../src/store/postgres/migrate.ts";
import {
  openClient,
  openPostgres,
  postgresSettings,
  send,
  type Postgres,
  type Transaction,
} from "../../../src/store/postgres/postgres-client.ts";
import { rowsOf } from "../../kit/copy.ts";
import { freePort } from "../../kit/port.ts";
import { postgresAvailable, sharedPostgres, startPostgres } from "../../kit/postgres.ts";
import { startProxy, type Proxy } from "../../kit/proxy.ts";
import { makeCertificates } from "../../kit/tls.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

test("DATABASE_URL takes PostgreSQL's schemes only, and is a secret", () => {
  const { schema, secret } = postgresSettings.url;
  expect(schema.safeParse("postgres://u:p@h/d").success).toBe(true);
  expect(schema.safeParse("postgresql://h:5432/d?sslmode=verify-full").success).toBe(true);
  expect(schema.safeParse("mysql://h/d").success).toBe(false);
  expect(schema.safeParse("localhost").success).toBe(false);
  expect(secret).toBe(true);
});

test("no error holds the password", async () => {
  const url = `postgres://user:hunter2@127.0.0.1:${await freePort()}/none`;
  const db = openPostgres({ url, poolMax: 2, timeoutMs: 2000 });
  const error = await db.query("trying", (sql) => sql`select 1`).catch((e: unknown) => e);
  expect(explain(error)).toContain("/none, trying");
  expect(explain(error)).not.toContain("hunter2");
  expect(Bun.inspect(error, { depth: 10 })).not.toContain("hunter2");
  expect(db.place).not.toContain("user");
  await db.close();
});

test("a port where nothing listens, or another program, is said in these words", async () => {
  using http = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
  const closing = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end(), data() {} },
  });
  for (const [port, words] of [
    [await freePort(), "refuses the connection or cannot be reached (ECONNREFUSED): nothing listens there"],
    [http.port, "what listens there does not speak PostgreSQL"],
    [closing.port, "the connection was closed"],
  ] as const) {
    const db = openPostgres({ url: `postgres://user@127.0.0.1:${port}/none`, poolMax: 2, timeoutMs: 5000 });
    expect(await db.query("trying", (sql) => sql`select 1`).catch(explain)).toContain(words);
    await db.close();
  }
  closing.stop(true);
});

const unavailable = postgresAvailable();
describe.skipIf(unavailable !== "")(`a client of a real server ${unavailable}`, () => {
  let url: string;
  let proxy: Proxy;
  let db: Postgres;

  beforeEach(async () => {
    const server = await sharedPostgres();
    proxy = await startProxy({ port: server.port });
    url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`);
    db = openPostgres({ url, poolMax: 6, timeoutMs: 10_000 });
  });
  afterEach(async () => {
    await db.close();
    await proxy.stop();
  });

  const one = () => db.query("asking", (sql) => sql<{ one: number }[]>`select 1 as one`);

  test("what people read much of keeps no look-up and no batch waiting, and waits itself no longer than a query may take", async () => {
    const own = await (await sharedPostgres()).createDatabase();
    const patient = openPostgres({ url: own, poolMax: 2, timeoutMs: 20_000 });
    await migratePostgres(patient);
    await patient.close();
    const reading = openPostgres({ url: own, poolMax: 2, timeoutMs: 1000 });
    const reads = Array.from({ length: 20 }, () =>
      reading.query("reading", (sql) => sql`select pg_sleep(0.3)`).then(() => "read", explain),
    );
    await Bun.sleep(100);
    // Whoever waited behind them would be told so.
    await reading.ask("looking up", "select 1");
    await reading.transaction("storing", (sql) => sql`select 1`);
    // Nor what a gateway asks for at its start, or once the server is back.
    await createMissing(reading);
    await createFind({ db: reading, log: silentLog })([{ tenantId: "acme", deviceId: "d1" }]);
    const ends = await Promise.all(reads);
    expect(ends.filter((end) => end === "read").length).toBeGreaterThan(1);
    expect(ends.at(-1)).toContain("no connection was free to read within 1000 ms");
    await reading.close();
  });

  test("goes on with the connection that was used last, so that those it needs no more end idle", async () => {
    const pid = (seconds: number) =>
      db.query(
        "asking",
        async (sql) =>
          (await sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_sleep(${seconds})`)[0]?.pid,
      );
    const atOnce = new Set(await Promise.all([pid(0.1), pid(0.2), pid(0.3)]));
    expect(atOnce.size).toBe(3);
    const oneByOne = new Set<number | undefined>();
    for (let n = 0; n < 6; n++) oneByOne.add(await pid(0));
    expect(oneByOne.size).toBe(1);
  });

  test("reckons in UTC and says who it is", async () => {
    const [row] = await db.query(
      "asking",
      (sql) => sql`select current_setting('TimeZone') as zone, current_setting('application_name') as name`,
    );
    expect({ ...row }).toEqual({ zone: "UTC", name: "sluice" });
  });

  test("sends no savepoint by itself: Pgpool-II sends such a one to standbys, too, which know of no transaction", async () => {
    let sent = "";
    proxy.onSend((piece) => void (sent += piece.toString("latin1")));
    const rows = await db.transaction("trying", async (tx) => {
      await tx.savepoint((inner) => inner`select 1 / 0`).catch(() => {});
      return tx`select 1 as one`;
    });
    expect(rows.map((row) => ({ ...row }))).toEqual([{ one: 1 }]);
    expect(sent).toContain('savepoint "s0"; select');
    expect(sent).toContain('rollback to "s0"; select');
    expect(sent).not.toContain('"s0"\0');
  });

  /** For a test of time-outs; nothing else may depend on how fast this machine is. */
  async function hurry(): Promise<void> {
    await db.close();
    db = openPostgres({ url, poolMax: 3, timeoutMs: 1000 });
  }

  test("who waits for a lock learns that, and not that the server is silent", async () => {
    await db.query("making a table", (sql) => sql`create table if not exists held (n int)`);
    const impatient = openPostgres({ url, poolMax: 2, timeoutMs: 1000 });
    await db.transaction("holding", async (tx) => {
      await tx`lock table held`;
      const lock = "lock timeout: another session holds a lock";
      expect(
        await impatient.transaction("reading", (waiting) => waiting`select from held`).catch(explain),
      ).toContain(lock);
      expect(
        await impatient.query("reading", (waiting) => waiting`select from held`).catch(explain),
      ).toContain(lock);
      expect(await impatient.ask("reading", "select from held").catch(explain)).toContain(lock);
      // Nothing that was given up waits on: try by try it would take all connections of the server.
      const [row] = await tx`select count(*)::int as waiting from pg_locks where not granted`;
      expect(row?.["waiting"]).toBe(0);
    });
    await impatient.close();
  });

  test("the server gives up when we do", async () => {
    const row = await db.transaction("asking", async (tx) => {
      const [found] = await tx`select current_setting('statement_timeout') as s,
        current_setting('idle_in_transaction_session_timeout') as i, current_setting('transaction_isolation') as l`;
      return found;
    });
    expect({ ...row }).toEqual({ s: "10s", i: "10s", l: "read committed" });
  });

  test("a server that accepts and never answers causes an error, and the next call uses a new connection", async () => {
    await hurry();
    await until(one);
    proxy.mode("blackhole");
    const calls = await Promise.all(Array.from({ length: 8 }, () => one().catch(explain)));
    for (const answer of calls) expect(answer).toContain("within 1000 ms");
    const before = proxy.accepted();
    proxy.mode("pass");
    expect(await until(one)).toHaveLength(1);
    expect(proxy.accepted()).toBeGreaterThan(before);
  });

  test("connections that are cut under load leave no call unanswered, and calls that may be repeated are repeated", async () => {
    let unanswered = 0;
    const load = Array.from({ length: 6 }, async () => {
      for (let i = 0; i < 60; i++) {
        unanswered++;
        await one().catch(() => {});
        unanswered--;
      }
    });
    for (let i = 0; i < 5; i++) {
      await Bun.sleep(5);
      proxy.cut();
    }
    await Promise.all(load);
    expect(unanswered).toBe(0);
    expect(await until(one)).toHaveLength(1);
  });

  test("a backend that was terminated while idle costs no call", async () => {
    await one();
    const server = await sharedPostgres();
    const other = openPostgres({ url: server.url, poolMax: 2, timeoutMs: 5000 });
    await other.query(
      "ending",
      (sql) => sql`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'sluice' and pid <> pg_backend_pid()`,
    );
    expect(await one()).toHaveLength(1);
    await other.close();
  });

  test("a failed transaction leaves its connection usable and nothing behind", async () => {
    const failed = await db
      .transaction("failing", async (tx) => {
        await tx`create table left_behind (n int)`;
        await tx`select 1 / 0`;
      })
      .catch(explain);
    expect(failed).toContain("division by zero");
    const [row] = await db.query("looking", (sql) => sql`select to_regclass('left_behind') as found`);
    expect(row?.["found"]).toBeNull();
  });

  test("transactions that end themselves, with their last request or at a refused commit, leave each other alone", async () => {
    await db.query("preparing", (sql) =>
      sql.unsafe(
        `create table t (n int, unique (n) deferrable initially deferred); insert into t values (-1)`,
      ),
    );
    const insert = (n: number) =>
      db
        .transaction("inserting", async (tx) => {
          await tx.unsafe(`insert into t values (${n}), (${n % 3 === 0 ? -1 : -n - 2})`);
          await send(tx, {
            statements: ["copy t from stdin", "commit"],
            copies: [copyData([n + 1000], rowsOf(String))],
          });
        })
        .then(
          () => [n],
          () => [],
        );
    const stored = await Promise.all(Array.from({ length: 100 }, (_, n) => insert(n)));
    expect(stored.flat()).toEqual(Array.from({ length: 100 }, (_, n) => n).filter((n) => n % 3 !== 0));
    const rows = await db.query(
      "looking",
      (sql) => sql<{ n: number }[]>`select n from t where n >= 0 order by n`,
    );
    expect(rows.map(({ n }) => n)).toEqual([...stored.flat(), ...stored.flat().map((n) => n + 1000)]);
  });

  const here = "select 'here'";
  const transaction = (opening: string[], work: (tx: Transaction) => Promise<unknown>) =>
    db.transaction("writing", work, opening);
  const moments: [string, () => Promise<unknown>][] = [
    ["the opening", () => transaction([here], () => Promise.resolve())],
    ["a statement", () => transaction([], (tx) => tx.unsafe(here))],
    [
      "the last request",
      () => transaction(["select 1"], (tx) => send(tx, { statements: [here, "commit"], copies: [] })),
    ],
    ["the only request", () => db.request("writing", { statements: [here], copies: [] })],
  ];
  test.each(moments)("a line that is reset at %s ends the transaction at once", async (_at, work) => {
    await one();
    proxy.onSend((piece) => {
      if (!piece.includes("'here'")) return true;
      proxy.mode("reset");
      return false;
    });
    const words = await work().catch(explain);
    expect(words).toMatch(/ECONNRESET|connection was closed/);
    proxy.mode("pass");
    expect((await one())[0]?.one).toBe(1);
  });

  test("a client whose line was reset within a transaction can be closed, for no rollback is left over", async () => {
    const sql = openClient({ url, poolMax: 2, timeoutMs: 10_000 });
    await sql`select 1`;
    proxy.onSend((piece) => {
      if (!piece.includes("'here'")) return true;
      proxy.mode("reset");
      return false;
    });
    await expect(sql.begin((tx) => tx.unsafe(here))).rejects.toThrow();
    proxy.mode("pass");
    // Without a deadline, as `db.close` has one.
    await sql.end();
  });

  test("a server that ends the connection during a query is quoted, and the next call is not answered with that", async () => {
    const once = openPostgres({ url, poolMax: 1, timeoutMs: 10_000 });
    const fatal = "select pg_terminate_backend(pg_backend_pid())";
    for (const ended of [
      () => once.transaction("asking", (tx) => tx.unsafe(fatal)),
      () => once.transaction("opening", () => Promise.resolve(), [fatal]),
      () => once.request("writing", { statements: [fatal], copies: [] }),
    ]) {
      expect(await ended().then(String, explain)).toContain(
        "terminating connection due to administrator command",
      );
      expect(await once.transaction("asking", (tx) => tx`select 1 as one`)).toHaveLength(1);
    }
    await once.close();
  });

  test("an opening statement that is refused leaves its connection usable", async () => {
    const failed = await Promise.all(
      Array.from({ length: 8 }, () =>
        db.transaction("opening", () => Promise.resolve(), ["select 1 / 0"]).catch(explain),
      ),
    );
    for (const words of failed) expect(words).toContain("division by zero");
    const row = await db.transaction("asking", (tx) => tx`select 1 as one`, ["select 2"]);
    expect(row).toHaveLength(1);
  });

  test("a transaction that is one request is kept as a whole or not at all, also if the line takes it slowly", async () => {
    await db.query("preparing", (sql) => sql`create table w (n int, filler text)`);
    const rows = Array.from({ length: 1_000 }, (_, n) => n);
    const copies = [
      copyData(
        rows,
        rowsOf((n) => `${n}\t${"x".repeat(6_000)}`),
      ),
    ];
    const write = (...after: string[]) =>
      db.request("writing", { statements: ["copy w from stdin", ...after], copies }).then(() => "", explain);
    proxy.throttle(30_000_000);
    const refused = [write("select 1 / 0"), write("copy nowhere from stdin")];
    const answers = await Promise.all([write(), ...refused, write(), one()]);
    expect(answers.slice(0, 4)).toEqual([
      "",
      expect.stringContaining("division by zero"),
      expect.stringContaining("nowhere"),
      "",
    ]);
    const [row] = await db.query(
      "counting",
      (sql) => sql`select count(*)::int as n, count(distinct n)::int as d from w`,
    );
    expect({ ...row }).toEqual({ n: 2_000, d: 1_000 });
    expect(await Promise.all(Array.from({ length: 8 }, one))).toHaveLength(8);
  });

  test("rows of which the last cannot be made keep no lock, for the server would wait for them", async () => {
    await db.query("preparing", (sql) =>
      sql.unsafe("create table k (x text); create table l (n int); insert into l values (0)"),
    );
    const rows = Array.from({ length: 5_000 }, (_, n) => n);
    const write = (spoilt?: number) => ({
      statements: ["update l set n = n + 1", "copy k from stdin"],
      copies: [
        copyData(
          rows,
          rowsOf((n) => {
            if (n === spoilt) throw new RangeError("no memory for it");
            return "x".repeat(1_000);
          }),
        ),
      ],
    });
    const written = () => db.request("writing", write()).then(() => "", explain);
    expect(await db.request("writing", write(4_999)).catch(explain)).toContain("no memory for it");
    expect(await written()).toBe("");
    await expect(db.transaction("writing", (tx) => send(tx, write(4_999)))).rejects.toThrow();
    expect(await written()).toBe("");
    const [row] = await db.query("counting", (sql) => sql`select count(*)::int as k, max(n) as n from k, l`);
    expect({ ...row }).toEqual({ k: 10_000, n: 2 });
  });

  test("data that nobody asked for, since its statement is refused, is passed over", async () => {
    const copies = [
      copyData(
        Array.from({ length: 500_000 }),
        rowsOf(() => "x"),
      ),
    ];
    const copying = (statement: string) => ({ statements: [statement, "commit"], copies });
    const refused = await db
      .transaction("copying", (tx) => send(tx, copying("copy nowhere from stdin")))
      .catch(explain);
    expect(refused).toContain("nowhere");
    const calls = await Promise.all(Array.from({ length: 8 }, () => one()));
    expect(calls.map((rows) => rows.length)).toEqual(Array.from({ length: 8 }, () => 1));
  });

  test("closing does not wait for a server that is gone", async () => {
    await one();
    proxy.mode("blackhole");
    void one().catch(() => {});
    await db.close();
    await expect(one()).rejects.toThrow();
  });
});

const noOpenssl = Bun.which("openssl") === null ? "no openssl" : unavailable;
describe.skipIf(noOpenssl !== "")(`TLS to a real server ${noOpenssl}`, () => {
  test("sslrootcert is the CA that must have signed the server's certificate; sslmode decides the rest", async () => {
    const made = makeCertificates();
    const server = await startPostgres({ tls: { cert: made.serverCert, key: made.serverKey } });
    const ask = async (host: string, query: string) => {
      const url = `${server.url.replace("127.0.0.1", host)}?${query}`;
      const db = openPostgres({ url, poolMax: 2, timeoutMs: 5000 });
      const work = db.query("asking", (sql) => sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`);
      const answer = await work.then((rows) => String(rows[0]?.["ssl"]), explain);
      await db.close();
      return answer;
    };
    const ca = encodeURIComponent(made.ca);
    expect(await ask("localhost", `sslmode=verify-full&sslrootcert=${ca}`)).toBe("true");
    expect(await ask("127.0.0.1", `sslrootcert=${ca}`)).toBe("true");
    expect(await ask("localhost", "sslmode=require")).toBe("true");
    expect(await ask("localhost", "sslmode=disable")).toBe("false");
    expect(await ask("localhost", `sslrootcert=${encodeURIComponent(made.otherCa)}`)).toMatch(/certificate/i);
    expect(await ask("localhost", "sslmode=verify-full")).toMatch(/certificate/i);
    await server.stop();
    made.remove();
  });
});
