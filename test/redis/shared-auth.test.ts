/** The auth cache that gateways share, on a real Redis: two look-ups as two gateways have them, over one registry. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../../src/core/device.ts";
import { explain, silentLog } from "../../src/core/log/log.ts";
import type { SharedCache } from "../../src/core/shared-cache.ts";
import { sharedAuth } from "../../src/redis/shared-auth.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import type { Answer } from "../../src/registry/flights.ts";
import type { Lookup } from "../../src/registry/contract.ts";
import { createLookup } from "../../src/registry/lookup.ts";
import { startProxy, type Proxy } from "../kit/proxy.ts";
import { redisAvailable, startRedis, type RedisServer } from "../kit/redis.ts";
import { redisValues } from "../kit/redissink.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const why = redisAvailable();
const id = (n: number): DeviceId => ({ tenantId: "acme", deviceId: `d${n}` });

function row(of: DeviceId, status = "ACTIVE"): DeviceAuth {
  return {
    ...of,
    siteId: "lab-1",
    status,
    tokenHash: "ab".repeat(32),
    previousTokenHash: null,
    previousTokenUntilMs: null,
  };
}

/** What is answered may be the row as the cache keeps it. */
function plain(answer: Answer): Answer {
  if (answer === null || answer === "unavailable") return answer;
  const { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs } = answer;
  return { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs };
}

describe.skipIf(why !== "")(`the shared auth cache${why === "" ? "" : ` (skipped: ${why})`}`, () => {
  let server: RedisServer;
  let proxy: Proxy;
  /** The registry. */
  const devices = new Map<string, DeviceAuth>();
  let asked = 0;
  let isAway = false;
  const closers: (() => void)[] = [];

  const registry = {
    async find(ids: readonly DeviceId[]) {
      asked += ids.length;
      if (isAway) throw new Error("the registry is away");
      const rows = ids.flatMap(({ tenantId, deviceId }) => devices.get(deviceKey(tenantId, deviceId)) ?? []);
      await Bun.sleep(Math.random() * 10);
      return rows;
    },
    provision: () => Promise.resolve(),
  };

  function share(key = "a-key-of-many-letters", port = server.port, ttlSeconds = 60): SharedCache {
    const settings = redisValues({ host: "127.0.0.1", port });
    // A machine that is busy must not look like a Redis that hangs.
    const answerWithinMs = 1_000;
    const shared = sharedAuth({
      settings,
      ttlSeconds,
      key: () => key,
      clock: systemClock,
      log: silentLog,
      answerWithinMs,
    });
    closers.push(() => shared.close());
    return shared;
  }

  interface Gateway {
    readonly lookup: Lookup;
    readonly cache: DeviceAuthCache;
    ask(of: DeviceId): Promise<Answer>;
    status(of: DeviceId): Promise<string>;
  }

  /** Its watch stands, unless it is told otherwise. */
  function gateway({ shared = share(), watched = true } = {}): Gateway {
    const cache = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 100_000, staleSeconds: 60 }, systemClock);
    const settings = { registryWaitMs: 5_000, autoProvision: false };
    const lookup = createLookup({ registry, cache, shared, clock: systemClock, settings, log: silentLog });
    closers.push(() => lookup.close());
    if (watched) lookup.watcher.restored();
    const ask = (of: DeviceId) =>
      new Promise<Answer>((resolve) =>
        lookup.resolve(of.tenantId, of.deviceId, "lab-1", (answer) => resolve(plain(answer))),
      );
    return {
      lookup,
      cache,
      ask,
      async status(of) {
        const answer = cache.get(of.tenantId, of.deviceId) ?? (await ask(of));
        return answer === null ? "unknown" : answer === "unavailable" ? answer : answer.status;
      },
    };
  }

  const listening = (gateways: readonly Gateway[]) =>
    until(() => gateways.every(({ lookup }) => lookup.sharedStats()?.["listening"] === true));
  const values = async () => {
    const keys = ((await server.send("KEYS", "sluice:auth:*")) as string[]).filter(
      (key) => !key.endsWith(":gen"),
    );
    return Promise.all(
      keys.sort().map(async (key) => [key, (await server.send("GET", key)) as string] as const),
    );
  };
  /** A fill is nobody's to wait for. */
  const filled = (n: number) =>
    until(async () => (await values()).filter(([, value]) => !value.startsWith("L:")).length === n);

  beforeAll(async () => {
    server = await startRedis();
    proxy = await startProxy({ port: server.port });
  });
  beforeEach(async () => {
    await server.send("FLUSHALL");
    devices.clear();
    for (let n = 0; n < 10; n++) devices.set(deviceKey("acme", `d${n}`), row(id(n)));
    [asked, isAway] = [0, false];
    proxy.mode("pass");
  });
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  test("what one gateway has read, another need not ask the registry for; hashes alone, no token", async () => {
    const first = gateway();
    for (let n = 0; n < 10; n++) expect(await first.ask(id(n))).toEqual(row(id(n)));
    expect(asked).toBe(10);
    await filled(10);
    const second = gateway();
    for (let n = 0; n < 10; n++) expect(await second.ask(id(n))).toEqual(row(id(n)));
    expect(asked).toBe(10);
    expect(second.lookup.sharedStats()).toMatchObject({ hits: 10, errors: 0, forged: 0 });
    expect(second.lookup.stats()).toMatchObject({ queries: 0, devices: 0 });
    expect(await server.send("PTTL", "sluice:auth:acme/d1")).toBeLessThanOrEqual(60_000);
  });

  test("who is not registered leaves nothing behind, and is found as soon as it is registered", async () => {
    const [first, second] = [gateway(), gateway()];
    expect(await first.ask(id(77))).toBeNull();
    await until(async () => (await values()).length === 0);
    devices.set(deviceKey("acme", "d77"), row(id(77)));
    expect(await second.ask(id(77))).toEqual(row(id(77)));
  });

  test("a change that only one gateway hears of is in force on the others", async () => {
    const all = [gateway(), gateway(), gateway()];
    await listening(all);
    for (const each of all) expect(await each.status(id(1))).toBe("ACTIVE");
    devices.set(deviceKey("acme", "d1"), row(id(1), "REVOKED"));
    all[0]!.lookup.watcher.devices([id(1)]);
    for (const each of all) await until(async () => (await each.status(id(1))) === "REVOKED");
    devices.set(deviceKey("acme", "d2"), row(id(2), "REVOKED"));
    for (const each of all) expect(await each.status(id(2))).not.toBe("unknown");
    all[2]!.lookup.watcher.tenant("acme");
    for (const each of all) await until(async () => (await each.status(id(2))) === "REVOKED");
  });

  test("a row that was read before a change does not arrive after it", async () => {
    const [slow, quick] = [share(), share()];
    const { learn } = await slow.find([id(1)]);
    quick.forget([id(1)]);
    await until(() => quick.stats()["untold"] === false);
    const again = await quick.find([id(1)]);
    expect(again.rows).toEqual([]);
    learn([row(id(1))]);
    await until(() => slow.stats()["late_fills"] === 1);
    const renewed = [row(id(1), "REVOKED")];
    again.learn(renewed);
    await filled(1);
    expect((await slow.find([id(1)])).rows).toEqual(renewed);
  });

  test("no row that was read before a change stays after it, however they cross: 2,000 devices", async () => {
    const count = 2_000;
    const ids = Array.from({ length: count }, (_, n) => id(n + 1_000));
    for (const each of ids) devices.set(deviceKey(each.tenantId, each.deviceId), row(each));
    const [first, second] = [gateway(), gateway()];
    await listening([first, second]);
    await Promise.all(
      ids.map(async (each, n) => {
        await Bun.sleep(n % 40);
        void first.ask(each);
        await Bun.sleep(n % 5);
        devices.set(deviceKey(each.tenantId, each.deviceId), row(each, "REVOKED"));
        second.lookup.watcher.devices([each]);
      }),
    );
    await until(() => second.lookup.sharedStats()?.["untold"] === false);
    const fresh = gateway();
    let wrong: string[] = [];
    await until(async () => {
      wrong = [];
      const look = async (at: Gateway, of: DeviceId) => {
        if ((await at.status(of)) !== "REVOKED") wrong.push(of.deviceId);
      };
      await Promise.all([first, second, fresh].flatMap((at) => ids.map((each) => look(at, each))));
      return wrong.length === 0;
    }).catch(() => {});
    expect(wrong).toEqual([]);
  });

  test("a row of another writer, of another device, of another generation or of long ago is not taken", async () => {
    const first = gateway();
    for (const n of [1, 2, 3]) await first.ask(id(n));
    await filled(3);
    const held = new Map(await values());
    await server.send("SET", "sluice:auth:acme/d1", held.get("sluice:auth:acme/d2") ?? "");
    await server.send(
      "SET",
      "sluice:auth:acme/d2",
      `${"A".repeat(43)}.${JSON.stringify(["0", Date.now(), "lab-1", "ACTIVE", "cd".repeat(32), null, null])}`,
    );
    await server.send("SET", "sluice:auth:acme/d3", "nonsense");
    asked = 0;
    const second = gateway();
    for (const n of [1, 2, 3]) expect(await second.ask(id(n))).toEqual(row(id(n)));
    expect(asked).toBe(3);
    expect(second.lookup.sharedStats()).toMatchObject({ hits: 0, forged: 3 });
    // Those of another key are as foreign.
    const third = gateway({ shared: share("another-key-of-letters") });
    expect(await third.ask(id(2))).toEqual(row(id(2)));
    await server.send("INCR", "sluice:auth:gen");
    asked = 0;
    expect(await gateway().ask(id(3))).toEqual(row(id(3)));
    expect(asked).toBe(1);
  });

  test("a Redis that hangs costs one look-up its deadline, and the next ones nothing; what changed meanwhile is void after it", async () => {
    const first = gateway();
    await first.ask(id(1));
    await filled(1);
    const slow = share(undefined, proxy.port);
    const second = gateway({ shared: slow });
    expect(await second.ask(id(1))).toEqual(row(id(1)));
    expect(slow.stats()["hits"]).toBe(1);
    proxy.mode("blackhole");
    for (const n of [2, 3, 4, 5]) expect(await second.ask(id(n))).toEqual(row(id(n)));
    expect(slow.stats()).toMatchObject({ errors: 1 });
    expect(Number(slow.stats()["skipped"])).toBeGreaterThanOrEqual(3);
    devices.set(deviceKey("acme", "d1"), row(id(1), "REVOKED"));
    second.lookup.watcher.devices([id(1)]);
    proxy.cut();
    proxy.mode("pass");
    // The old row is still there, as nobody could take it away.
    expect(slow.stats()["untold"]).toBe(true);
    await until(() => slow.stats()["untold"] === false);
    expect(await second.status(id(1))).toBe("REVOKED");
    expect(await gateway().status(id(1))).toBe("REVOKED");
  });

  test("a gateway that hears of no change does not rely on it, unless the registry is away", async () => {
    const first = gateway();
    await first.ask(id(1));
    await filled(1);
    const deaf = gateway({ watched: false });
    asked = 0;
    await deaf.ask(id(1));
    expect(asked).toBe(1);
    isAway = true;
    const starting = gateway({ watched: false });
    // The first finds out that the registry is away.
    expect(await starting.ask(id(1))).toEqual(row(id(1)));
  });

  test("a row that is read again because it led to a reject is read from the registry", async () => {
    const [first, second] = [gateway(), gateway()];
    await first.ask(id(1));
    await filled(1);
    await second.ask(id(1));
    // Nobody was told of the new token.
    devices.set(deviceKey("acme", "d1"), { ...row(id(1)), tokenHash: "ef".repeat(32) });
    expect(await second.ask(id(1))).toMatchObject({ tokenHash: "ef".repeat(32) });
  });

  test("one that cannot save to its disk, and refuses PING, is heard all the same", async () => {
    const dir = mkdtempSync(join(tmpdir(), "sluice-redis-unsaved-"));
    const unsaved = await startRedis(["--save", "3600 1", "--dir", dir]);
    const shared = share(undefined, unsaved.port);
    const heard: string[] = [];
    shared.listen({
      devices: (ids) => heard.push(...ids.map(({ deviceId }) => deviceId)),
      tenant: () => heard.push("*"),
      gap: () => heard.push("gap"),
    });
    await until(() => shared.stats()["listening"] === true);
    rmSync(dir, { recursive: true });
    await unsaved.send("SET", "a", "1");
    await unsaved.send("BGSAVE");
    await until(async () => (await unsaved.send("PING").catch(explain)) !== "PONG");
    // It is asked every two seconds.
    await unsaved.send("CONFIG", "RESETSTAT");
    await until(async () =>
      String(await unsaved.send("INFO", "commandstats")).includes("cmdstat_echo:calls=2"),
    );
    await until(async () => {
      await unsaved.send("PUBLISH", "sluice:auth", '{"devices":[["acme","d1"]]}');
      return heard.includes("d1");
    });
    shared.close();
    await unsaved.stop();
  });

  test("what a Redis that takes no writes cannot forget is told to nobody at each try, but once it can", async () => {
    const full = await startRedis();
    const heard: (string | null)[] = [];
    const [teller, hearer] = [share(undefined, full.port), share(undefined, full.port)];
    hearer.listen({ devices() {}, tenant: (tenantId) => heard.push(tenantId), gap() {} });
    await until(() => hearer.stats()["listening"] === true);
    await full.send("CONFIG", "SET", "maxmemory", "1");
    teller.forgetTenant(null);
    await until(async () =>
      /cmdstat_incr:.*rejected_calls=[3-9]/.test(String(await full.send("INFO", "commandstats"))),
    );
    await full.send("CONFIG", "SET", "maxmemory", "0");
    await until(() => teller.stats()["untold"] === false && heard.length > 0);
    expect(heard).toEqual([null]);
    for (const each of [teller, hearer]) each.close();
    await full.stop();
  });

  test("after its connection ended a gateway hears again, and reads anew what it may have missed", async () => {
    const heard: string[] = [];
    const shared = share(undefined, proxy.port);
    shared.listen({
      devices: (ids) => heard.push(...ids.map(({ deviceId }) => deviceId)),
      tenant: () => heard.push("*"),
      gap: () => heard.push("gap"),
    });
    await until(() => shared.stats()["listening"] === true);
    proxy.cut();
    await until(() => heard.includes("gap"));
    share().forget([id(5)]);
    await until(() => heard.includes("d5"));
    proxy.mode("blackhole");
    await until(() => shared.stats()["listening"] === false);
    proxy.cut();
    proxy.mode("pass");
    await until(() => heard.filter((each) => each === "gap").length === 2);
    // What is no news of ours is let be.
    for (const odd of ["", "[]", "{", '{"devices":[1,[2]]}', "null"])
      await server.send("PUBLISH", "sluice:auth", odd);
    share().forget([id(6)]);
    await until(() => heard.includes("d6"));
  });
});
