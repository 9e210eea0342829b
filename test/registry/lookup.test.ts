import { describe, expect, test } from "bun:test";
import { sleep, type Clock } from "../../src/core/clock.ts";
import type { SharedCache } from "../../src/core/shared-cache.ts";
import { probeDevicesMax, queryDevicesMax } from "../../src/registry/lookup.ts";
import { provisionedAtOnceMax } from "../../src/registry/provisioning.ts";
import { aDevice } from "../kit/builders.ts";
import { nameOf, setting } from "./asked.ts";

describe("misses", () => {
  test("at the same moment are one query, and are answered in order; found rows are cached, others are not", async () => {
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

  test("of one device are one flight, even while its query is under way", async () => {
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

  test("who asks again from within its answer is looked up anew", async () => {
    const { clock, queries, lookup } = setting();
    const seen: string[] = [];
    const ask = () =>
      lookup.resolve("acme", "a", null, (answer) => {
        if (seen.push(nameOf(answer)) === 1) ask();
      });
    ask();
    await clock.pass(50);
    expect([seen.length, queries.length]).toEqual([2, 2]);
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

  test("of more known devices than one query takes are several, though no stranger asks", async () => {
    const { clock, cache, ask, register } = setting();
    const ids = Array.from({ length: queryDevicesMax + 1 }, (_, at) => `d${at}`);
    for (const deviceId of ids) {
      register(deviceId);
      cache.put(aDevice({ deviceId }));
    }
    clock.advance(61_000);
    const lists = ids.map((id) => ask(id));
    await clock.pass(100);
    expect(lists.every(([first]) => first === "ACTIVE")).toBe(true);
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
    expect(lookup.stats()).toMatchObject({ waiting: 0, errors: 0 });
  });

  test("does not delay honest devices that stand behind it in the queue", async () => {
    const { clock, cache, queries, register, ask } = setting();
    register("honest");
    cache.put(aDevice({ deviceId: "honest" }));
    for (let at = 0; at < 60_000; at++) ask(`made-up-${at}`);
    const answers = ask("honest");
    await clock.pass(10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(queries).toHaveLength(1);
  });

  test("is answered down to the last id, however long that takes, as long as the registry answers", async () => {
    const { clock, ask, lookup, register } = setting({ answersAfterMs: 1_900 });
    const lists = Array.from({ length: 100_000 }, (_, at) => ask(`made-up-${at}`));
    register("honest");
    const honest = ask("honest");
    await clock.pass(12_000);
    expect(lists.every((list) => list[0] === "unknown")).toBe(true);
    expect(honest).toEqual(["ACTIVE"]);
    expect(lookup.stats()).toMatchObject({ available: true, waiting: 0, errors: 0 });
  });

  test("does not make a slow registry count as away: after a query without an answer, the next one is smaller", async () => {
    const { clock, ask, fake, queries, lookup } = setting({ answersAfterMs: 2_500 });
    const lists = Array.from({ length: 20_000 }, (_, at) => ask(`made-up-${at}`));
    await clock.pass(2_100);
    expect(lookup.stats().available).toBe(false);
    fake.answersAfterMs = 100;
    await clock.pass(2_000);
    expect(queries.map((ids) => ids.length).slice(0, 5)).toEqual([
      5_000,
      5_000,
      5_000,
      5_000,
      probeDevicesMax,
    ]);
    expect(lists.filter((list) => list[0] === "unknown")).toHaveLength(20_000);
  });

  test('is answered "unavailable" once the registry has not answered for as long as a message may wait', async () => {
    const { clock, ask, fake } = setting({ answersAfterMs: 1_000 });
    const lists = Array.from({ length: 100_000 }, (_, at) => ask(`made-up-${at}`));
    await clock.pass(2_500);
    fake.mood = "hangs";
    await clock.pass(6_000);
    const answers = lists.map((list) => list[0]);
    expect(answers.filter((answer) => answer === "unknown")).toHaveLength(60_000);
    expect(answers.filter((answer) => answer === "unavailable")).toHaveLength(40_000);
  });
});

describe("changes", () => {
  function notify({ watcher }: ReturnType<typeof setting>["lookup"], what: "devices" | "tenant" | "all") {
    if (what === "devices") watcher.devices([{ tenantId: "acme", deviceId: "a" }]);
    else watcher.tenant(what === "tenant" ? "acme" : null);
  }

  test.each(["devices", "tenant", "all"] as const)(
    "that are notified (%s) are looked up with the next message",
    async (what) => {
      const { clock, cache, devices, ask, register, lookup } = setting();
      register("a");
      ask("a");
      await clock.pass(30);
      devices.set("acme/a", aDevice({ deviceId: "a", status: "REVOKED" }));
      notify(lookup, what);
      expect(cache.get("acme", "a")).toBeUndefined();
      const answers = ask("a");
      await clock.pass(30);
      expect(answers.at(-1)).toBe("REVOKED");
    },
  );

  test.each(["devices", "tenant", "all"] as const)(
    "that are notified (%s) while a query is under way void its answer",
    async (what) => {
      const { clock, cache, devices, ask, register, lookup } = setting();
      register("a");
      const answers = ask("a");
      await clock.pass(2);
      devices.set("acme/a", aDevice({ deviceId: "a", status: "REVOKED" }));
      notify(lookup, what);
      await clock.pass(50);
      expect(answers).toEqual(["REVOKED"]);
      expect(cache.get("acme", "a")?.status).toBe("REVOKED");
    },
  );

  test("that were missed until now, while a query is under way, void its answer", async () => {
    const { clock, devices, ask, register, lookup } = setting();
    register("a");
    const answers = ask("a");
    await clock.pass(2);
    devices.set("acme/a", aDevice({ deviceId: "a", status: "REVOKED" }));
    lookup.watcher.restored();
    await clock.pass(50);
    expect(answers).toEqual(["REVOKED"]);
  });

  test("of another tenant do not", async () => {
    const { clock, queries, ask, register, lookup } = setting();
    register("a");
    ask("a");
    await clock.pass(2);
    lookup.watcher.tenant("other");
    await clock.pass(50);
    expect([ask("a"), queries.length]).toEqual([["ACTIVE"], 1]);
  });

  test("that never end do not keep a device waiting, but it is not cached", async () => {
    const { clock, cache, ask, register, lookup } = setting();
    register("a");
    const answers = ask("a");
    for (let at = 0; at < 50; at++) {
      await clock.pass(1);
      expect(cache.has("acme", "a")).toBe(false);
      lookup.watcher.tenant("acme");
    }
    expect(answers).toEqual(["ACTIVE"]);
  });

  test("missed while the watch was lost are caught up in bulk, before any stranger", async () => {
    const { clock, cache, devices, queries, ask, register, lookup } = setting({
      ...{ sizeMax: 20_000, answersAfterMs: 100 },
    });
    const watcher = lookup.watcher;
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
    await clock.pass(200);
    expect(joined).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "d7")?.status).toBe("REVOKED");
    expect(cache.get("acme", "d11999")?.status).toBe("ACTIVE");
    expect(queries).toHaveLength(3);
    expect(queries.flat()).toHaveLength(12_001);
    expect(queries.at(-1)?.at(-1)?.deviceId).toBe("stranger");
    expect(lookup.stats().waiting).toBe(0);
  });

  test("missed meanwhile are caught up, though nobody asks", async () => {
    const { clock, cache, register, lookup } = setting({ sizeMax: 20_000 });
    for (let at = 0; at < 12_000; at++) {
      register(`d${at}`);
      cache.put(aDevice({ deviceId: `d${at}` }));
    }
    lookup.watcher.lost();
    lookup.watcher.restored();
    await clock.pass(200);
    expect([cache.isFresh("acme", "d0"), cache.isFresh("acme", "d11999")]).toEqual([true, true]);
    expect(clock.pending()).toBe(0);
  });

  test("of app_settings are passed on", () => {
    const { lookup, events } = setting();
    lookup.watcher.settings();
    expect(events).toEqual(["settings"]);
  });
});

describe("AUTO_PROVISION", () => {
  test("registers 1,000 of 20,000 made-up devices, then 10 per minute; the others stay unknown", async () => {
    const { clock, provisioned, ask, lookup } = setting({ autoProvision: true });
    const lists: string[][] = [];
    const flood = async () => {
      for (let at = 0; at < 20_000; at++) lists.push(ask(`made-up-${lists.length}`));
      await clock.pass(1_000);
    };
    await flood();
    expect(provisioned).toHaveLength(provisionedAtOnceMax);
    expect(lists.every(([first]) => first === "unknown")).toBe(true);
    expect(lookup.stats().not_provisioned).toBe(20_000 - provisionedAtOnceMax);
    await clock.pass(59_000);
    await flood();
    expect(provisioned).toHaveLength(provisionedAtOnceMax + 10);
  });

  test("registers an unknown device; its first message is still rejected, its next is not", async () => {
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

test("a device whose site nobody has named is not registered, and is by its first message that names it", async () => {
  const { clock, provisioned, lookup, ask } = setting({ autoProvision: true });
  const showsToken = () => lookup.resolve("acme", "new", null, () => {});
  showsToken();
  await clock.pass(30);
  expect(provisioned).toEqual([]);
  showsToken();
  ask("new");
  await clock.pass(30);
  expect(provisioned).toEqual(["new at lab-1"]);
});

test("a device that speaks again while it is registered is registered once, and spends the allowance once", async () => {
  const { clock, provisioned, ask, lookup } = setting({ autoProvision: true, answersAfterMs: 100 });
  const devices = Array.from({ length: provisionedAtOnceMax }, (_, i) => `new-${i}`);
  const answers = devices.map((device) => ask(device));
  for (let i = 0; i < 20; i++) {
    for (const device of devices) ask(device);
    await clock.pass(20);
  }
  expect(provisioned).toHaveLength(devices.length);
  expect(lookup.stats().not_provisioned).toBe(0);
  for (const list of answers) expect([list[0], list.at(-1)]).toEqual(["unknown", "ACTIVE"]);
});

test("strangers that are not to be registered do not wait for those that are", async () => {
  const { clock, ask } = setting({ autoProvision: true, answersAfterMs: 100 });
  const answers = Array.from({ length: provisionedAtOnceMax + 1 }, (_, i) => ask(`new-${i}`));
  await clock.pass(150);
  expect([answers[0], answers.at(-1)]).toEqual([[], ["unknown"]]);
  await clock.pass(100);
  expect(answers.every(([first]) => first === "unknown")).toBe(true);
});

describe("close", () => {
  test("answers who waits and who asks later with unavailable, leaves no timer, and queries no more", async () => {
    const { clock, queries, ask, fake, lookup } = setting();
    fake.mood = "refuses";
    const answers = ask("a");
    await clock.pass(100);
    const asked = queries.length;
    lookup.close();
    expect(clock.pending()).toBe(0);
    const later = ask("b");
    await clock.pass(10_000);
    expect([answers, later]).toEqual([["unavailable"], ["unavailable"]]);
    expect(queries).toHaveLength(asked);
  });

  test.each(["answers", "hangs"] as const)(
    "a query that is under way and then %s tells nobody",
    async (mood) => {
      const { clock, cache, queries, ask, register, fake, lookup, events } = setting();
      register("a");
      fake.mood = "refuses";
      ask("gone");
      await clock.pass(10);
      fake.mood = mood;
      ask("a");
      while (queries.length < 2) await clock.pass(1);
      lookup.close();
      await clock.pass(10_000);
      expect([events, queries.length, cache.size, clock.pending()]).toEqual([[], 2, 0, 0]);
    },
  );

  test("one that fails then is no outage", async () => {
    const { clock, ask, fake, lookup } = setting();
    fake.mood = "hangs";
    ask("a");
    await clock.pass(10);
    lookup.close();
    await clock.pass(10_000);
    expect(lookup.stats()).toMatchObject({ available: true, errors: 1 });
  });
});

/** A shared cache that holds a row of each of these devices, and answers after 5 ms. */
function aSharedCache(clock: () => Clock, ...deviceIds: readonly string[]) {
  const state = { isClosed: false, asked: 0, gap() {} };
  const shared: SharedCache = {
    async find(ids) {
      state.asked += ids.length;
      await sleep(clock(), 5);
      const held = ids.filter(({ deviceId }) => deviceIds.includes(deviceId));
      return { rows: held.map(({ deviceId }) => aDevice({ deviceId })), learn() {} };
    },
    forget() {},
    forgetTenant() {},
    listen: (heard) => void (state.gap = () => heard.gap()),
    stats: () => ({}),
    close: () => void (state.isClosed = true),
  };
  return { shared, state };
}

describe("beside a shared cache", () => {
  function sharing(...deviceIds: readonly string[]) {
    const { shared, state } = aSharedCache((): Clock => made.clock, ...deviceIds);
    const made = setting({ shared });
    made.lookup.watcher.restored();
    return { ...made, state };
  }

  test("the registry is asked for what that has not, and while it is away for what it has, too", async () => {
    const { clock, queries, register, ask, fake, lookup } = sharing("held");
    const asked = () => queries.map((ids) => ids.map(({ deviceId }) => deviceId));
    register("other");
    expect([ask("held"), ask("other")]).toEqual([[], []]);
    await clock.pass(30);
    expect([ask("held"), ask("other")]).toEqual([["ACTIVE"], ["ACTIVE"]]);
    expect(asked()).toEqual([["other"]]);
    fake.mood = "refuses";
    const answers = ask("new");
    await clock.pass(10_000);
    expect([answers, lookup.stats().available]).toEqual([["unavailable"], false]);
    fake.mood = "answers";
    await clock.pass(10_000);
    expect(lookup.stats().available).toBe(true);
  });

  test("what may have been missed there is read again, unless each row is anyway", async () => {
    const { clock, cache, ask, lookup, state } = sharing("held");
    ask("held");
    await clock.pass(30);
    expect(cache.isFresh("acme", "held")).toBe(true);
    lookup.watcher.unheard?.("the watch is lost");
    state.gap();
    expect(cache.isFresh("acme", "held")).toBe(true);
    lookup.watcher.restored();
    await clock.pass(30);
    expect(cache.isFresh("acme", "held")).toBe(true);
    state.gap();
    expect(cache.isFresh("acme", "held")).toBe(false);
  });

  test("it ends with the look-ups, and what it answers then is asked for no more", async () => {
    const { clock, queries, ask, lookup, state } = sharing();
    ask("a");
    await clock.pass(3);
    expect(state.asked).toBe(1);
    lookup.close();
    await clock.pass(30);
    expect([state.isClosed, queries.length]).toEqual([true, 0]);
  });
});
