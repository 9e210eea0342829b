/** The supervisor of Bun's Redis client: that every call ends in time, says why, and that the next one works again. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { explain } from "../../src/core/log/log.ts";
import { openRedis, type Redis, script } from "../../src/redis/redis-client.ts";
import { asOutage } from "../../src/redis/redis-words.ts";
import type { RedisValues } from "../../src/redis/redis-settings.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { freePort } from "../kit/port.ts";
import { startProxy } from "../kit/proxy.ts";
import { redisAvailable, startRedis, startSentinel } from "../kit/redis.ts";
import { redisValues } from "../kit/redissink.ts";
import { makeCertificates } from "../kit/tls.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

test.each([
  "ERR The user executing the script can't run this command or subcommand script: f1, on @user_script:1.",
  "ERR ACL failure in script: User a has no permissions to run the 'zadd' command script: f1, on @user_script:1.",
])("a right that a script lacks wants a person, in the words of 7.0 and of 7.2 and later: %s", (said) => {
  const outage = asOutage("h:1", new Error(said));
  expect([outage.alarm, outage.message]).toEqual([
    true,
    expect.stringContaining("the ACL user lacks a right"),
  ]);
});

const why = redisAvailable();

describe.skipIf(why !== "")(`a connection to Redis${why === "" ? "" : ` (skipped: ${why})`}`, () => {
  const ends = endsAfterEach();

  const server = async (...given: Parameters<typeof startRedis>) => {
    const started = await startRedis(...given);
    ends.push(() => started.stop());
    return started;
  };
  const open = (changed: Partial<RedisValues>, timeoutMs = 10_000): Redis => {
    const client = openRedis({ settings: redisValues(changed), clock: systemClock, timeoutMs });
    ends.push(() => client.close());
    return client;
  };
  const ping = (client: Redis) => client.pipeline([["PING"]]);
  const failure = (client: Redis) => ping(client).then(() => "none", explain);

  test("what is away, hangs or was killed is an error in time, and the next call after it works", async () => {
    const redis = await server();
    const proxy = await startProxy({ port: redis.port });
    ends.push(() => proxy.stop());
    const client = open({ host: "127.0.0.1", port: proxy.port }, 1_000);
    await until(() => ping(client));
    for (const mode of ["refuse", "blackhole", "reset"] as const) {
      proxy.mode(mode);
      expect(await failure(client)).toContain(`127.0.0.1:${proxy.port}`);
      // A second time: now from the connect.
      if (mode !== "blackhole") expect(await failure(client)).toContain(`127.0.0.1:${proxy.port}`);
      proxy.cut();
      proxy.mode("pass");
      await until(() => ping(client));
    }
    process.kill(redis.pid, "SIGSTOP");
    expect(await failure(client)).toContain("no answer within 1000 ms");
    process.kill(redis.pid, "SIGCONT");
    await until(() => ping(client));
    await redis.kill9();
    expect(await failure(client)).not.toBe("none");
    await redis.start();
    await until(() => ping(client));
  });

  test("what was under way beside a call that got no answer says so, too", async () => {
    const redis = await server();
    const client = open({ url: redis.url });
    await ping(client);
    process.kill(redis.pid, "SIGSTOP");
    const said = [200, 5_000].map((ms) => client.one(["PING"], ms).then(() => "none", explain));
    expect(await Promise.all(said)).toEqual(
      Array(2).fill(expect.stringContaining("no answer within 200 ms")),
    );
    process.kill(redis.pid, "SIGCONT");
  });

  test("all that was under way when the connection died is an error, and none is left over", async () => {
    const redis = await server();
    const client = open({ url: redis.url });
    const slow = Promise.allSettled(
      Array.from({ length: 50 }, () => client.pipeline([["BLPOP", "nothing", "30"]], 20_000)),
    );
    await until(() => client.isConnected);
    await redis.kill9();
    expect((await slow).every(({ status }) => status === "rejected")).toBe(true);
  });

  describe("says why", () => {
    const cases: [string, Partial<RedisValues>, RegExp][] = [
      ["a password is wanted", {}, /NOAUTH.*set REDIS_PASSWORD/],
      ["the password is wrong", { password: "guess-1" }, /WRONGPASS.*correct REDIS_USERNAME/],
      ["the user is unknown", { username: "who", password: "right" }, /WRONGPASS/],
      ["the server speaks no TLS", { tls: true, password: "right" }, /TLS/],
    ];
    for (const [what, changed, words] of cases) {
      test(what, async () => {
        const redis = await server(["--requirepass", "right"], ":right@");
        const said = await failure(open({ host: "127.0.0.1", port: redis.port, ...changed }));
        expect(said).toMatch(words);
        expect(said).not.toContain("guess-1");
      });
    }

    test("nobody listens", async () => {
      const redis = await server();
      await redis.kill9();
      expect(await failure(open({ url: redis.url }))).toMatch(/connect/i);
    });

    test("the ACL user lacks a right", async () => {
      const acl = ["--user", "default on nopass ~* +@all", "--user", "sl on >pw ~device:* +ping"];
      const redis = await server(acl.flatMap((word) => (word.startsWith("--") ? [word] : word.split(" "))));
      const client = open({ host: "127.0.0.1", port: redis.port, username: "sl", password: "pw" });
      expect(await ping(client)).toEqual(["PONG"]);
      expect(await client.pipeline([["SET", "other", "1"]]).catch(explain)).toMatch(/NOPERM.*lacks a right/);
      expect(await ping(client)).toEqual(["PONG"]);
    });

    test("the ACL user lacks a command that a script calls, or a key of ours is somebody else's", async () => {
      const redis = await server();
      const client = open({ url: redis.url });
      await redis.send("LPUSH", "devices:seen", "x");
      const call = script(`return redis.call('ZADD',KEYS[1],1,'a')`);
      const said = () => client.script(call, ["devices:seen"], []).catch(explain);
      expect(await said()).toMatch(/WRONGTYPE.*is somebody else's: remove it/);
      await redis.send("ACL", "SETUSER", "default", "-zadd");
      expect(await said()).toMatch(/lacks a right/);
    });

    test("what answers is no Redis", async () => {
      const web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
      ends.push(() => web.stop(true));
      expect(await failure(open({ host: "127.0.0.1", port: web.port ?? 0 }))).toMatch(/Redis at .*: .{5}/);
    });
  });

  test("TLS: by its CA, with a client certificate, renewed ones too; without them it says so", async () => {
    const { ca, otherCa, serverCert, serverKey, clientCert, clientKey, remove } = makeCertificates();
    ends.push(remove);
    const port = await freePort();
    const files = ["--tls-cert-file", serverCert, "--tls-key-file", serverKey, "--tls-ca-cert-file", ca];
    await server(["--tls-port", String(port), ...files, "--tls-auth-clients", "yes"]);
    const url = `rediss://127.0.0.1:${port}`;
    const mine = { tlsCert: clientCert, tlsKey: clientKey };
    expect(await ping(open({ url, tlsCa: ca, ...mine }))).toEqual(["PONG"]);
    const local = { host: "localhost", port, tls: true };
    expect(await ping(open({ ...local, tlsCa: ca, ...mine }))).toEqual(["PONG"]);
    expect(await failure(open({ url, ...mine }))).toMatch(/TLS.*certificate/i);
    expect(await failure(open({ url, tlsCa: otherCa, ...mine }))).toMatch(/TLS.*certificate/i);
    expect(await failure(open({ url, tlsCa: ca }))).toMatch(/TLS|certificate/i);
    const others = makeCertificates();
    ends.push(others.remove);
    const dir = mkdtempSync(join(tmpdir(), "sluice-redis-renewed-"));
    ends.push(() => rmSync(dir, { recursive: true }));
    const [tlsCa, tlsCert, tlsKey] = ["ca", "cert", "key"].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    copyFileSync(others.ca, tlsCa);
    copyFileSync(others.clientCert, tlsCert);
    copyFileSync(others.clientKey, tlsKey);
    const renewed = open({ url, tlsCa, tlsCert, tlsKey });
    expect(await failure(renewed)).toMatch(/certificate/i);
    copyFileSync(ca, tlsCa);
    copyFileSync(clientCert, tlsCert);
    expect(await failure(renewed)).not.toBe("none");
    copyFileSync(clientKey, tlsKey);
    expect(await ping(renewed)).toEqual(["PONG"]);
  });

  // A failover is a row of the fault table: redis-failover.
  test("the first sentinel that answers names the master", async () => {
    const master = await server();
    const sentinel = await startSentinel(master.port);
    ends.push(() => sentinel.stop());
    const nobody = await server();
    await nobody.kill9();
    const sentinels = `127.0.0.1:${nobody.port}, 127.0.0.1:${sentinel.port}`;
    const client = open({ sentinels });
    await until(() => client.pipeline([["SET", "k", "1"]]));
    expect(client.place).toBe(`127.0.0.1:${master.port}`);
    expect(await failure(open({ sentinels, sentinelMaster: "another" }))).toMatch(
      /no sentinel names the master: .*it refuses the connection or cannot be reached.*knows no master another: correct REDIS_SENTINEL_MASTER/,
    );
  });

  test("sentinels with TLS and a password, before a master with TLS and another", async () => {
    const { ca, serverCert, serverKey, remove } = makeCertificates();
    ends.push(remove);
    const port = await freePort();
    const files = { "tls-cert-file": serverCert, "tls-key-file": serverKey, "tls-ca-cert-file": ca };
    const options = [
      ...Object.entries(files),
      ["tls-auth-clients", "no"],
      ["tls-replication", "yes"],
    ] as const;
    const argv = options.flatMap(([name, value]) => [`--${name}`, value]);
    await server([...argv, "--tls-port", String(port), "--requirepass", "of-the-master"], ":of-the-master@");
    const lines = [...options.map(([name, value]) => `${name} ${value}`), "requirepass of-the-sentinel"];
    const sentinel = await startSentinel(port, { tls: true, lines });
    ends.push(() => sentinel.stop());
    const settings = {
      sentinels: `127.0.0.1:${sentinel.port}`,
      tls: true,
      tlsCa: ca,
      password: "of-the-master",
    };
    const client = open({ ...settings, sentinelPassword: "of-the-sentinel" });
    await until(() => ping(client));
    expect(client.place).toBe(`127.0.0.1:${port}`);
    expect(await failure(open(settings))).toMatch(/no sentinel names the master: .*NOAUTH/);
  });

  test("an IPv6 address is named in brackets, however it was given", () => {
    for (const given of [
      { url: "redis://[::1]:6379" },
      { host: "::1", port: 6379 },
      { host: "[::1]", port: 6379 },
    ])
      expect(open(given).place).toBe("[::1]:6379");
  });

  test("a script that the server does not know is brought along", async () => {
    const redis = await server();
    const client = open({ url: redis.url });
    const echo = script("return ARGV[1]");
    expect(await client.script(echo, [], ["a"])).toBe("a");
    await redis.send("SCRIPT", "FLUSH");
    expect(await client.script(echo, [], ["b"])).toBe("b");
  });

  test("a user without a password is no other user", async () => {
    const acl = ["--user", "default on nopass ~* +@all", "--user", "gate on nopass ~* +@all"];
    const redis = await server(acl.flatMap((word) => (word.startsWith("--") ? [word] : word.split(" "))));
    const at = { host: "127.0.0.1", port: redis.port };
    const who = (client: Redis) => client.pipeline([["ACL", "WHOAMI"]]);
    expect(await who(open(at))).toEqual(["default"]);
    expect(await who(open({ ...at, username: "gate" }))).toEqual(["gate"]);
    expect(await who(open({ url: `redis://gate@127.0.0.1:${redis.port}` }))).toEqual(["gate"]);
    expect(await failure(open({ ...at, username: "nobody" }))).toMatch(/WRONGPASS.*correct REDIS_USERNAME/);
  });

  test("a unix socket, with a user and a password that stand beside its URL", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "sluice-redis-socket-")), "redis.sock");
    ends.push(() => rmSync(dirname(path), { recursive: true }));
    const password = "sec ret/ü@";
    const redis = await server(
      ["--unixsocket", path, "--requirepass", password],
      `:${encodeURIComponent(password)}@`,
    );
    const at = { url: `redis+unix://${path}`, db: 3 };
    for (const login of [{ password }, { username: "default", password }]) {
      const client = open({ ...at, ...login });
      expect(await client.pipeline([["SET", "key", "by its socket"]])).toEqual(["OK"]);
    }
    await redis.send("SELECT", "3");
    expect(await redis.send("GET", "key")).toBe("by its socket");
    expect(await failure(open({ ...at, password: "wrong" }))).toMatch(/WRONGPASS.*correct .*REDIS_PASSWORD/);
    expect(await failure(open(at))).toMatch(/NOAUTH.*set REDIS_PASSWORD/);
  });

  test("a database by its number, in the URL or beside it", async () => {
    const redis = await server();
    await open({ url: `${redis.url}/3` }).pipeline([["SET", "in", "three"]]);
    expect(await open({ host: "127.0.0.1", port: redis.port, db: 3 }).pipeline([["GET", "in"]])).toEqual([
      "three",
    ]);
    expect(await open({ url: redis.url }).pipeline([["GET", "in"]])).toEqual([null]);
  });

  test("a database that there is not is named, and nothing is written to another", async () => {
    const redis = await server();
    const client = open({ url: `${redis.url}/16` });
    for (let tries = 0; tries < 2; tries++)
      expect(
        await client.pipeline([["SET", "in", "sixteen"]]).catch((error: unknown) => error),
      ).toMatchObject({
        message: expect.stringMatching(/out of range; .*correct REDIS_DB or REDIS_URL/) as string,
        alarm: true,
      });
    expect(await redis.send("GET", "in")).toBeNull();
  });
});
