/** A fake registry, because what is tested here is timing: when it is asked, for whom, and what happens when it does not answer. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/core/log.ts";
import { DeviceAuthCache } from "../../src/registry/cache.ts";
import { createLookup, queryDeadlineMs, queryDevicesMax } from "../../src/registry/lookup.ts";
import type { Answer } from "../../src/registry/flights.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../../src/registry/registry.ts";
import { aDevice } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";

type Mood = "answers" | "refuses" | "hangs";

function setting(options: { autoProvision?: boolean; answersAfterMs?: number; sizeMax?: number } = {}) {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache(
    { ttlSeconds: 60, sizeMax: options.sizeMax ?? 10_000, staleSeconds: 86_400 },
    clock,
  );
  const devices = new Map<string, DeviceAuth>();
  const queries: DeviceId[][] = [];
  const provisioned: string[] = [];
  const events: string[] = [];
  const it = { mood: "answers" as Mood, answersAfterMs: options.answersAfterMs ?? 5 };

  function find(ids: readonly DeviceId[]): Promise<DeviceAuth[]> {
    queries.push([...ids]);
    // The answer is of now, and arrives later: as with a real database.
    const rows = ids.flatMap((id) => devices.get(deviceKey(id.tenantId, id.deviceId)) ?? []);
    if (it.mood === "refuses") return Promise.reject(new Error("connection refused"));
    if (it.mood === "hangs") return new Promise(() => {});
    return new Promise((resolve) => clock.after(it.answersAfterMs, () => resolve(rows)));
  }

  const lookup = createLookup({
    registry: {
      find,
      provision(list) {
        for (const { tenantId, deviceId, siteId } of list) {
          provisioned.push(`${deviceId} at ${siteId}`);
          devices.set(
            deviceKey(tenantId, deviceId),
            aDevice({ tenantId, deviceId, siteId, tokenHash: null }),
          );
        }
        return Promise.resolve();
      },
    },
    cache,
    clock,
    settings: { registryWaitMs: 5000, autoProvision: options.autoProvision ?? false },
    log: silentLog,
    random: () => 1,
    onAvailable: () => events.push("available"),
    onSettings: () => events.push("settings"),
  });

  const register = (deviceId: string) => devices.set(deviceKey("acme", deviceId), aDevice({ deviceId }));
  const answers = new Map<string, string[]>();
  const ask = (deviceId: string) => {
    const list = answers.get(deviceId) ?? [];
    answers.set(deviceId, list);
    lookup.resolve("acme", deviceId, "lab-1", (answer) => list.push(nameOf(answer)));
    return list;
  };
  return { ...{ clock, cache, devices, queries, provisioned, events, lookup, register, ask }, fake: it };
}

function nameOf(answer: Answer): string {
  if (answer === null) return "unknown";
  return answer === "unavailable" ? answer : answer.status;
}

describe("misses", () => {
  test("of a moment are one query, and are answered in order; found rows are cached, others not", async () => {
    const { clock, cache, queries, lookup, register } = setting();
    register("a");
    register("c");
    const order: string[] = [];
    for (const id of ["a", "b", "c"]) {
      lookup.resolve("acme", id, null, (answer) => order.push(`${id} ${nameOf(answer)}`));
    }
    expect(order).toEqual([]);
    await clock.pass(10);
    expect(order).toEqual(["a ACTIVE", "b unknown", "c ACTIVE"]);
    expect(queries).toHaveLength(1);
    expect(cache.stats().size).toBe(2);
    expect(lookup.stats()).toMatchObject({ available: true, queries: 1, devices: 3, waiting: 0, errors: 0 });
  });

  test("of one device are one flight, also while its query is under way", async () => {
    const { clock, queries, register, ask } = setting();
    register("a");
    ask("a");
    ask("a");
    await clock.pass(3);
    ask("a");
    await clock.pass(10);
    expect(ask("a")).toEqual(["ACTIVE", "ACTIVE", "ACTIVE"]);
    expect(queries).toEqual([[{ tenantId: "acme", deviceId: "a" }]]);
  });

  test("1,000 first messages of 1,000 devices cost at most 5 queries, though they come over 60 ms", async () => {
    const { clock, queries, register, ask } = setting();
    const lists: string[][] = [];
    for (let at = 0; at < 1000; at++) {
      register(`d${at}`);
      lists.push(ask(`d${at}`));
      if (at % 100 === 0) await clock.pass(6);
    }
    await clock.pass(100);
    expect(lists.every((list) => list[0] === "ACTIVE")).toBe(true);
    expect(queries.length).toBeLessThanOrEqual(5);
  });

  test("a device that is gone from the registry is gone from the cache", async () => {
    const { clock, cache, ask } = setting();
    cache.put(aDevice({ deviceId: "a" }));
    const answers = ask("a");
    await clock.pass(10);
    expect(answers).toEqual(["unknown"]);
    expect(cache.has("acme", "a")).toBe(false);
  });
});

describe("a flood of 100,000 made-up ids", () => {
  test("costs a bounded number of queries, and 1,000 honest devices are neither lost nor late", async () => {
    const { clock, cache, queries, register, ask, lookup } = setting();
    for (let at = 0; at < 1000; at++) {
      register(`honest-${at}`);
      cache.put(aDevice({ deviceId: `honest-${at}` }));
    }
    clock.advance(61_000);
    let made = 0;
    const startMs = clock.monoMs();
    const latencies: number[] = [];
    for (let round = 0; round < 100; round++) {
      for (let at = 0; at < 1000; at++) ask(`made-up-${made++}`);
      for (let at = 0; at < 10; at++) {
        const askedMs = clock.monoMs();
        lookup.resolve("acme", `honest-${round * 10 + at}`, null, (answer) => {
          if (nameOf(answer) === "ACTIVE") latencies.push(clock.monoMs() - askedMs);
        });
      }
      await clock.pass(10);
    }
    await clock.pass(1000);
    expect(latencies).toHaveLength(1000);
    expect(Math.max(...latencies)).toBeLessThanOrEqual(50);
    expect(queries.length).toBeLessThanOrEqual((clock.monoMs() - startMs) / 20 + 1);
    expect(Math.max(...queries.map((ids) => ids.length))).toBeLessThanOrEqual(queryDevicesMax);
    expect(lookup.stats()).toMatchObject({ waiting: 0, overflowed: 0, errors: 0 });
  });

  test("does not keep honest devices waiting, that stand behind it in the queue", async () => {
    const { clock, cache, queries, register, ask } = setting();
    register("honest");
    cache.put(aDevice({ deviceId: "honest" }));
    for (let at = 0; at < 60_000; at++) ask(`made-up-${at}`);
    const answers = ask("honest");
    await clock.pass(10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(queries).toHaveLength(1);
  });

  test("is refused beyond a bound of ids that wait, but not known devices", async () => {
    const { clock, cache, ask, lookup, register } = setting();
    register("honest");
    cache.put(aDevice({ deviceId: "honest" }));
    const lists = Array.from({ length: 70_000 }, (_, at) => ask(`made-up-${at}`));
    const honest = ask("honest");
    await clock.pass(1);
    expect(lists.filter((list) => list[0] === "unavailable")).toHaveLength(70_000 - 65_536);
    expect(lookup.stats().overflowed).toBe(70_000 - 65_536);
    await clock.pass(10);
    expect(honest).toEqual(["ACTIVE"]);
  });
});

describe("when the registry does not answer", () => {
  test.each(["refuses", "hangs"] as const)("it %s: stale rows serve, at once from then on", async (mood) => {
    const { clock, cache, register, ask, fake, lookup } = setting();
    register("a");
    cache.put(aDevice({ deviceId: "a" }));
    clock.advance(61_000);
    fake.mood = mood;
    expect(cache.get("acme", "a")).toBeUndefined();
    const answers = ask("a");
    await clock.pass(queryDeadlineMs + 10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
    expect(cache.stats()).toMatchObject({ stale_hits: 2, hits: 2, misses: 1 });
    expect(lookup.stats()).toMatchObject({ available: false, waiting: 0 });
    expect(lookup.stats().last_error).toContain(mood === "hangs" ? "no answer" : "refused");
  });

  test("unknown devices wait REGISTRY_WAIT_MS, and not at all once it has been away as long", async () => {
    const { clock, ask, fake, lookup } = setting();
    fake.mood = "refuses";
    const first = ask("a");
    await clock.pass(4998);
    expect(first).toEqual([]);
    await clock.pass(2);
    expect(first).toEqual(["unavailable"]);
    await clock.pass(10);
    const second = ask("b");
    expect(second).toEqual([]);
    await clock.pass(1);
    expect(second).toEqual(["unavailable"]);
    expect(lookup.stats().waiting).toBe(0);
  });

  test("it is tried again, seldom, until it answers; what still waits is answered then, and onAvailable is called once", async () => {
    const { clock, cache, register, ask, fake, queries, events, lookup } = setting();
    register("a");
    fake.mood = "refuses";
    ask("gone");
    await clock.pass(600_000);
    expect(queries.length).toBeGreaterThan(60);
    expect(queries.length).toBeLessThan(200);
    expect(events).toEqual([]);
    fake.mood = "answers";
    await clock.pass(6000);
    expect(events).toEqual(["available"]);
    const answers = ask("a");
    await clock.pass(30);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
    expect(lookup.stats()).toMatchObject({ available: true, last_error: null });
    const asked = queries.length;
    await clock.pass(60_000);
    expect(queries).toHaveLength(asked);
  });

  test("a short absence costs an unknown device only the wait", async () => {
    const { clock, register, ask, fake } = setting();
    register("a");
    fake.mood = "refuses";
    const answers = ask("a");
    await clock.pass(200);
    fake.mood = "answers";
    await clock.pass(2000);
    expect(answers).toEqual(["ACTIVE"]);
  });

  test("a restart in the middle of the absence changes nothing for known devices", async () => {
    const before = setting();
    before.cache.put(aDevice({ deviceId: "a" }));
    const { clock, cache, ask, fake } = setting();
    fake.mood = "refuses";
    cache.restore(before.cache.snapshot());
    const answers = ask("a");
    await clock.pass(10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
  });
});

describe("changes", () => {
  test("that are told are looked up with the next message", async () => {
    const { clock, cache, devices, ask, register, lookup } = setting();
    register("a");
    ask("a");
    await clock.pass(30);
    devices.set("acme/a", aDevice({ deviceId: "a", status: "REVOKED" }));
    lookup.watcher().devices([{ tenantId: "acme", deviceId: "a" }]);
    expect(cache.get("acme", "a")).toBeUndefined();
    const answers = ask("a");
    await clock.pass(30);
    expect(answers.at(-1)).toBe("REVOKED");
  });

  test.each(["devices", "tenant", "all"] as const)(
    "that are told (%s) while a query is under way void its answer",
    async (what) => {
      const { clock, cache, devices, ask, register, lookup } = setting();
      register("a");
      const answers = ask("a");
      await clock.pass(2);
      devices.set("acme/a", aDevice({ deviceId: "a", status: "REVOKED" }));
      if (what === "devices") lookup.watcher().devices([{ tenantId: "acme", deviceId: "a" }]);
      else lookup.watcher().tenant(what === "tenant" ? "acme" : null);
      await clock.pass(50);
      expect(answers).toEqual(["REVOKED"]);
      expect(cache.get("acme", "a")?.status).toBe("REVOKED");
    },
  );

  test("that never end do not keep a device waiting, but it is not cached", async () => {
    const { clock, cache, ask, register, lookup } = setting();
    register("a");
    const answers = ask("a");
    for (let at = 0; at < 50; at++) {
      await clock.pass(1);
      lookup.watcher().tenant("acme");
    }
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.has("acme", "a")).toBe(false);
  });

  test("missed while the watch was lost are caught up in bulk, before any stranger", async () => {
    const { clock, cache, devices, queries, ask, register, lookup } = setting({ sizeMax: 20_000 });
    const watcher = lookup.watcher();
    for (let at = 0; at < 12_000; at++) {
      register(`d${at}`);
      cache.put(aDevice({ deviceId: `d${at}` }));
    }
    watcher.lost();
    devices.set("acme/d7", aDevice({ deviceId: "d7", status: "REVOKED" }));
    ask("stranger");
    watcher.restored();
    expect(cache.get("acme", "d7")).toBeUndefined();
    const joined = ask("d9");
    await clock.pass(100);
    expect(joined).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "d7")?.status).toBe("REVOKED");
    expect(cache.get("acme", "d11999")?.status).toBe("ACTIVE");
    expect(queries).toHaveLength(3);
    expect(queries.at(-1)?.at(-1)?.deviceId).toBe("stranger");
    expect(lookup.stats().waiting).toBe(0);
  });

  test("of app_settings are passed on", () => {
    const { lookup, events } = setting();
    lookup.watcher().settings();
    expect(events).toEqual(["settings"]);
  });
});

describe("AUTO_PROVISION", () => {
  test("registers an unknown device; its first message is still of an unknown one, its next is not", async () => {
    const { clock, provisioned, ask, register } = setting({ autoProvision: true });
    register("known");
    ask("known");
    const answers = ask("new");
    await clock.pass(30);
    expect(answers).toEqual(["unknown"]);
    expect(provisioned).toEqual(["new at lab-1"]);
    ask("new");
    await clock.pass(30);
    expect(answers).toEqual(["unknown", "ACTIVE"]);
  });
});

test("close answers all that wait with unavailable, leaves no timer, and asks no more", async () => {
  const { clock, queries, ask, fake, lookup } = setting();
  fake.mood = "refuses";
  const answers = ask("a");
  await clock.pass(100);
  const asked = queries.length;
  lookup.close();
  ask("b");
  await clock.pass(10_000);
  expect(answers).toEqual(["unavailable"]);
  expect(ask("b").every((answer) => answer === "unavailable")).toBe(true);
  expect(queries).toHaveLength(asked);
  expect(clock.pending()).toBe(0);
});
