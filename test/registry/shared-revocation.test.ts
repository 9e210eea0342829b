/**
 * A revocation that PostgreSQL's NOTIFY brings to one gateway alone: the way of the others swallows exactly these notifications, so
 * that they do not know that they are deaf. Through Redis they hear of it; the one that shares nothing does not, which is the proof
 * that the notifications are swallowed.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { sharedAuth } from "../../src/redis/shared-auth.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import type { Answer } from "../../src/registry/flights.ts";
import { createLookup } from "../../src/registry/lookup.ts";
import { openPostgresStore } from "../../src/store/postgres/postgres-store.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { startProxy } from "../kit/proxy.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import { redisValues } from "../kit/redissink.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const why = postgresAvailable() || redisAvailable();
const id = { tenantId: "acme", deviceId: "d1" };

test.skipIf(why !== "")(`is in force on all that share the cache${why && ` (skipped: ${why})`}`, async () => {
  const server = await sharedPostgres();
  const direct = await server.createDatabase();
  const redis = await startRedis();
  const deafening = await startProxy({ port: server.port });
  deafening.onAnswer((piece) => !piece.includes("sluice_registry\0{"));
  const deaf = direct.replace(`:${server.port}/`, `:${deafening.port}/`);
  const closers: (() => unknown)[] = [() => deafening.stop(), () => redis.stop()];

  async function gateway(url: string, isSharing: boolean) {
    const store = openPostgresStore({
      postgres: { url, poolMax: 2, timeoutMs: 20_000 },
      gatewayId: "gw",
      log: silentLog,
    });
    await store.migrate();
    const settings = redisValues({ url: redis.url });
    const options = {
      settings,
      ttlSeconds: 60,
      key: () => "a-key-of-many-letters",
      clock: systemClock,
      log: silentLog,
    };
    const shared = isSharing ? sharedAuth({ ...options, answerWithinMs: 1_000 }) : undefined;
    const cache = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 100, staleSeconds: 60 }, systemClock);
    const { registry } = store;
    const lookupSettings = { registryWaitMs: 5_000, autoProvision: false };
    const lookup = createLookup({
      registry,
      cache,
      shared,
      clock: systemClock,
      settings: lookupSettings,
      log: silentLog,
    });
    const unwatch = registry.watch(lookup.watcher);
    closers.push(() => store.close(), lookup.close, unwatch);
    await until(() => lookup.stats().changes_unheard === null);
    if (isSharing) await until(() => lookup.sharedStats()?.["listening"] === true);
    return {
      store,
      async status() {
        const held = cache.get(id.tenantId, id.deviceId);
        if (held) return held.status;
        const asked = await new Promise<Answer>((done) =>
          lookup.resolve(id.tenantId, id.deviceId, null, done),
        );
        return typeof asked === "object" ? (asked?.status ?? "unknown") : asked;
      },
    };
  }

  const hearing = await gateway(direct, true);
  const others = [await gateway(deaf, true), await gateway(deaf, true)];
  const alone = await gateway(deaf, false);
  await hearing.store.registry.add([{ ...id, siteId: "lab-1" }]);
  for (const each of [hearing, ...others, alone]) expect(await each.status()).toBe("ACTIVE");
  await hearing.store.registry.update(id, { status: "REVOKED" });
  // At once, but a busy machine takes its time; without being told it would take a minute.
  for (const each of [hearing, ...others]) await until(async () => (await each.status()) === "REVOKED");
  expect(await alone.status()).toBe("ACTIVE");
  for (const close of closers.reverse()) await close();
});
