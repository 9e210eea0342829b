/** Which servers DATABASE_URL reaches: of several hosts the one that target_session_attrs means, as libpq does, and with TLS or without what sslmode allows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { explain } from "../../../src/core/log/log.ts";
import { hearsChanges } from "../../../src/store/postgres/changes.ts";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { asOutage } from "../../../src/store/postgres/postgres-words.ts";
import { postgresAvailable, startPostgres, type PostgresServer } from "../../kit/postgres.ts";
import { startProxy } from "../../kit/proxy.ts";

const unavailable = postgresAvailable();

describe.skipIf(unavailable !== "")(`a standby and its primary ${unavailable}`, () => {
  let standby: PostgresServer;
  let primary: PostgresServer;
  beforeAll(async () => {
    [standby, primary] = await Promise.all([startPostgres(), startPostgres()]);
    writeFileSync(join(standby.socketDirectory, "data/standby.signal"), "");
    await standby.restart();
  });
  afterAll(async () => {
    await standby.stop();
    await primary.stop();
  });

  const ask = (servers: readonly PostgresServer[], attrs: string) =>
    askOf(servers, `target_session_attrs=${attrs}`);

  async function askOf(servers: readonly { readonly port: number }[], query: string): Promise<string> {
    const hosts = servers.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const url = `postgres://postgres@${hosts}/postgres?${query}`;
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 8000 });
    const asked = db.query("asking", (sql) => sql`select pg_is_in_recovery() as is`);
    const answer = await asked.then((rows) => (rows[0]?.["is"] === true ? "standby" : "primary"), explain);
    await db.close();
    return answer;
  }

  test.each([
    ["any", "standby"],
    ["read-write", "primary"],
    ["primary", "primary"],
    ["read-only", "standby"],
    ["standby", "standby"],
    ["prefer-standby", "standby"],
  ])("%s is the %s, whichever stands first", async (attrs, meant) => {
    expect(await ask([standby, primary], attrs)).toBe(meant);
    if (attrs !== "any") expect(await ask([primary, standby], attrs)).toBe(meant);
  });

  test("where none is the one that is meant, the error says so", async () => {
    for (const servers of [[standby], [standby, standby]])
      for (const attrs of ["read-write", "primary"])
        expect(await ask(servers, attrs)).toContain(`none is ${attrs}`);
    expect(await ask([primary], "standby")).toContain("none is standby");
    for (const servers of [[primary], [primary, primary]])
      expect(await ask(servers, "prefer-standby")).toBe("primary");
  });

  test("the first is asked first by a connection that is made anew, too: after a minute of rest it was the next one, a standby, and the batch failed", async () => {
    const url = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`;
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 8000 });
    const other = openPostgres({ url: primary.url, poolMax: 2, timeoutMs: 8000 });
    for (const _ of [1, 2, 3]) {
      const [row] = await db.query(
        "asking",
        (sql) => sql`select pg_is_in_recovery() as is, pg_backend_pid() as pid`,
      );
      expect(row).toMatchObject({ is: false });
      await other.query("ending it", (sql) => sql`select pg_terminate_backend(${Number(row?.["pid"])})`);
    }
    await other.close();
    await db.close();
  });

  test("one that starts up, or is to be promoted first, is passed over, also by LISTEN: the gateway heard of no change, and each connection's first call failed", async () => {
    const words = "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    const refusal = Buffer.from(`E\0\0\0${String.fromCodePoint(words.length + 4)}${words}`);
    const starting = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end(refusal) },
    });
    for (const query of ["", "target_session_attrs=read-write"])
      expect(await askOf([starting, primary], query)).toBe("primary");
    expect(await askOf([starting, starting], "")).toContain("is starting up");
    const url = `postgres://postgres@127.0.0.1:${starting.port},127.0.0.1:${primary.port}/postgres`;
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 8000 });
    await hearsChanges(db);
    await db.close();
    starting.stop(true);
  });

  test("a transaction on a standby is an alarm that says what to name", async () => {
    const db = openPostgres({ url: standby.url, poolMax: 2, timeoutMs: 5000 });
    const failed = await db.transaction("writing", async () => {}).catch(asOutage);
    await db.close();
    expect(failed).toMatchObject({ alarm: true });
    expect(explain(failed)).toContain("not a standby");
  });

  test("what a standby refuses is tried on a new connection, for its name may lead to the new primary by now", async () => {
    const target = { port: standby.port };
    const proxy = await startProxy(target);
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 8000 });
    const write = () => db.transaction("writing", (tx) => tx`select pg_is_in_recovery() as is`);
    await db.query("reading", (sql) => sql`select 1`);
    target.port = primary.port;
    expect(await write().catch(explain)).toContain("during recovery");
    expect(await write()).toMatchObject([{ is: false }]);
    await db.close();
    await proxy.stop();
  });

  test("a server without TLS is named as such where TLS is asked for, and is enough where it is only preferred", async () => {
    for (const mode of ["disable", "allow", "prefer"])
      expect(await askOf([primary], `sslmode=${mode}`)).toBe("primary");
    for (const servers of [[primary], [primary, standby]])
      for (const mode of ["require", "verify-ca", "verify-full"])
        expect(await askOf(servers, `sslmode=${mode}`)).toContain("offers no TLS");
  });

  test("a server that never ends the handshake is named", async () => {
    const silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, { length }) => void (length === 8 && socket.write("S")) },
    });
    expect(await askOf([silent], "sslmode=require")).toContain(`127.0.0.1:${silent.port} does not answer`);
    silent.stop(true);
  });
});
