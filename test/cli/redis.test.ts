/** Redis on the command line: what its settings may be, what `sluice check` tells of it, and `sluice latest` at a running gateway. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execute } from "../../src/cli/index.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { LatestView } from "../../src/core/latest-view.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { startHttpServer, type HttpServer } from "../../src/http/server.ts";
import { redisAvailable, startRedis, type RedisServer } from "../kit/redis.ts";
import { until } from "../kit/until.ts";
import { fakeView } from "../kit/view.ts";

setDefaultTimeout(60_000);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-cli-redis-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function sluice(env: Record<string, string>, ...words: string[]) {
  let [out, err] = ["", ""];
  const code = await execute(words, {
    env: { DATA_DIR: directory, ...env },
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    signal: new AbortController().signal,
    createLog: () => silentLog,
  });
  return { code, out, err };
}

describe("settings that cannot be meant are told, each with its remedy and no secret", () => {
  const password = "pass-word-0123456";
  const cases: [string, Record<string, string>, RegExp][] = [
    [
      "a scheme that is none",
      { REDIS_URL: `http://:${password}@h` },
      /REDIS_URL=.*must be a URL that begins with redis/,
    ],
    ["a database that is no number", { REDIS_URL: "redis://h/abc" }, /path is the number of a database/],
    ["two databases", { REDIS_URL: "redis://h/1/2" }, /path is the number of a database/],
    ["a negative database", { REDIS_URL: "redis://h/-1" }, /path is the number of a database/],
    ["a database as others write it", { REDIS_URL: "redis://h?db=2" }, /without \? and #/],
    ["a socket's database as others write it", { REDIS_URL: "redis+unix:///s?db=2" }, /without \? and #/],
    ["a socket whose path lacks a slash", { REDIS_URL: "redis+unix://run/s" }, /three slashes/],
    ["a code that is none", { REDIS_URL: `redis://u%z:${password}@h` }, /every % .* begins a code/],
    ["the same in a password", { MQTT_URL: "mqtt://u:%zz@h" }, /every % .* begins a code/],
    ["a host with its port", { REDIS_HOST: "h:6379" }, /its port is REDIS_PORT/],
    ["a URL as host", { REDIS_HOST: "redis://h" }, /a URL goes into REDIS_URL/],
    ["URL and host", { REDIS_URL: "redis://h", REDIS_HOST: "h" }, /REDIS_HOST and REDIS_URL are both set/],
    [
      "URL and sentinels",
      { REDIS_URL: "redis://h", REDIS_SENTINELS: "h:1" },
      /REDIS_URL and REDIS_SENTINELS are both set/,
    ],
    ["sentinels without a port", { REDIS_SENTINELS: "a:1,b" }, /REDIS_SENTINELS=.*host:port/],
    ["a port that is none", { REDIS_SENTINELS: "a:1,b:99999" }, /REDIS_SENTINELS=.*host:port/],
    [
      "a CA without TLS",
      { REDIS_HOST: "h", REDIS_TLS_CA: "/none" },
      /need a REDIS_URL that begins with rediss/,
    ],
    [
      "a certificate without its key",
      { REDIS_URL: "rediss://h", REDIS_TLS_CERT: "/none" },
      /REDIS_TLS_KEY belong together/,
    ],
    [
      "the same secret twice",
      { REDIS_PASSWORD: password, REDIS_PASSWORD_FILE: "/x" },
      /REDIS_PASSWORD and REDIS_PASSWORD_FILE/,
    ],
    [
      "a shared cache without a key",
      { REDIS_HOST: "h", AUTH_CACHE_REDIS: "1", DATABASE_URL: "postgres://h/d" },
      /AUTH_CACHE_REDIS_KEY_FILE/,
    ],
    [
      "a shared cache without a Redis",
      { AUTH_CACHE_REDIS: "1", AUTH_CACHE_REDIS_KEY: password, DATABASE_URL: "postgres://h/d" },
      /set REDIS_URL/,
    ],
    [
      "a shared cache of local stores",
      { REDIS_HOST: "h", AUTH_CACHE_REDIS: "1", AUTH_CACHE_REDIS_KEY: password },
      /needs DATABASE_URL/,
    ],
  ];
  for (const [what, env, words] of cases)
    test(what, async () => {
      const { code, out, err } = await sluice(env, "check");
      expect(code).toBe(78);
      expect(err).toMatch(words);
      expect(out + err).not.toContain(password);
    });

  test("what Kubernetes puts into REDIS_PORT is understood, and alone turns nothing on", async () => {
    const { out } = await sluice({ REDIS_PORT: "tcp://10.0.0.1:6380" }, "check", "--json");
    const { probes } = JSON.parse(out) as { probes: { part: string }[] };
    expect(probes.map(({ part }) => part)).not.toContain("redis");
  });
});

const why = redisAvailable();
describe.skipIf(why !== "")(`sluice check and Redis ${why}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis(["--requirepass", "right-password-1"], ":right-password-1@");
  });
  afterAll(() => server.stop());

  async function redis(more: Record<string, string>) {
    const { out } = await sluice(
      { REDIS_HOST: "127.0.0.1", REDIS_PORT: String(server.port), ...more },
      "check",
      "--json",
    );
    expect(out).not.toMatch(/right-password-1|wrong-password-1/);
    const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean; detail: string }[] };
    return probes.find(({ part }) => part === "redis");
  }

  test("it can be used, by the names that existing deployments have", async () => {
    expect(await redis({ REDIS_PASSWORD: "right-password-1" })).toMatchObject({ ok: true });
    writeFileSync(join(directory, "password"), "right-password-1\n", { mode: 0o600 });
    expect(await redis({ REDIS_PASSWORD_FILE: join(directory, "password") })).toMatchObject({ ok: true });
  });

  test("a Redis Cluster is refused with a word, whether it serves or not", async () => {
    const cluster = await startRedis(["--cluster-enabled", "yes"]);
    try {
      const at = { REDIS_PORT: String(cluster.port) };
      const refused = {
        ok: false,
        detail: expect.stringContaining("Redis Cluster, which Sluice does not support"),
      };
      expect(await redis(at)).toMatchObject(refused);
      const slots = Array.from({ length: 16_384 }, (_, slot) => String(slot));
      await cluster.send("CLUSTER", "ADDSLOTS", ...slots);
      await until(async () => /cluster_state:ok/.test(String(await cluster.send("CLUSTER", "INFO"))));
      expect(await redis(at)).toMatchObject(refused);
    } finally {
      await cluster.stop();
    }
  });

  for (const writes of ["1", "0"])
    test(`it cannot be used, and why (REDIS_WRITE_ENABLED=${writes})`, async () => {
      const found = await redis({ REDIS_PASSWORD: "wrong-password-1", REDIS_WRITE_ENABLED: writes });
      expect(found).toMatchObject({ ok: false, detail: expect.stringContaining("WRONGPASS") });
    });
});

describe("sluice latest", () => {
  const nowMs = Date.now();
  const view: LatestView = {
    get: (ids) =>
      Promise.resolve(
        ids.map((id) =>
          id.deviceId === "d1"
            ? {
                ...id,
                seenMs: nowMs,
                expiresMs: nowMs + 1_000,
                metadata: {},
                values: [{ metric: "temp", json: "21.50", timeMs: nowMs }],
              }
            : null,
        ),
      ),
    seen: () =>
      Promise.resolve({ devices: [{ tenantId: "acme", deviceId: "d1", seenMs: nowMs }], next: null }),
    close() {},
  };
  let http: HttpServer;
  const readToken = "a-read-token-0123";
  beforeAll(() => {
    http = startHttpServer({
      settings: { listen: "127.0.0.1:0", adminToken: undefined, readToken },
      view: fakeView({ latest: { view, ttlMs: 86_400_000, nowMs: () => nowMs } }).view,
      auditFile: join(directory, "audit"),
      clock: systemClock,
      log: silentLog,
    });
    writeFileSync(join(directory, "token"), readToken, { mode: 0o600 });
  });
  afterAll(() => http.stop());
  const latest = (...words: string[]) =>
    sluice(
      {},
      "latest",
      "--gateway",
      `http://${http.address}`,
      "--token-file",
      join(directory, "token"),
      ...words,
    );

  test("tells a device's values, the list, and who is not known", async () => {
    const one = await latest("--tenant", "acme", "--device", "d1");
    expect(one.code).toBe(0);
    expect(one.out).toMatch(/metric +value +time +seconds ago\ntemp +21\.5 +/);
    const list = await latest("--json");
    expect(JSON.parse(list.out)).toMatchObject({
      devices: [{ tenant_id: "acme", device_id: "d1" }],
      cursor: null,
    });
    const nobody = await latest("--tenant", "acme", "--device", "nobody");
    expect([nobody.code, nobody.out]).toEqual([1, ""]);
    expect((await latest("--device", "d1")).code).toBe(2);
  });
});
