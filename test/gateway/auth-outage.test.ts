/** Ten minutes without the registry, on simulated time, with a restart of the gateway in the middle. */
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { localStore } from "../kit/stores.ts";
import type { Registry, RegistryWatcher } from "../../src/core/registry.ts";
import { type SimulatedClock, simulatedClock } from "../kit/clock.ts";
import {
  fleet,
  type InProcess,
  registered,
  scratch,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";

afterEach(stopAll);

const stepMs = 10_000;
const known = fleet(100);
/** Registered, but silent before the outage. */
const late = fleet(10, "late");
const strangers = fleet(10, "stranger");

/** A registry that can go away: every call fails, and so does the watch. */
function fickle(inner: Registry): Registry & { away(isAway: boolean): void } {
  const watchers = new Set<RegistryWatcher>();
  let isAway = false;
  const asked = <A extends unknown[], T>(work: (...given: A) => Promise<T>) => {
    return (...given: A) => (isAway ? Promise.reject(new Error("away")) : work(...given));
  };
  return {
    ...inner,
    find: asked(inner.find),
    settings: asked(inner.settings),
    watch(watcher) {
      watchers.add(watcher);
      if (!isAway) watcher.restored();
      return () => Promise.resolve(void watchers.delete(watcher));
    },
    away(now) {
      isAway = now;
      for (const watcher of watchers)
        if (isAway) watcher.lost();
        else watcher.restored();
    },
  };
}

/** Advances time until `work` is done. */
async function timely<T>(clock: SimulatedClock, work: Promise<T>): Promise<T> {
  const done = work.then(() => true);
  while (!(await Promise.race([done, clock.pass(10)])));
  return work;
}

test("known devices lose nothing, unknown ones are judged afterwards, and the books balance throughout", async () => {
  const clock = simulatedClock();
  const dataDir = scratch();
  const opened = localStore({ path: join(dataDir, "registry.db"), clock });
  const registry = fickle(opened.registry);
  // The store outlives the gateways of this test.
  const store = { ...opened, registry, close: () => Promise.resolve() };
  await registry.add(registered([...known, ...late]));
  const start = () => timely(clock, startInProcess({ DATA_DIR: dataDir }, { clock, store }));
  let seq = 0;
  let given = 0;

  async function speak(running: InProcess, ids: readonly string[]): Promise<void> {
    seq++;
    given += ids.length;
    running.source.give(...ids.map((id) => telemetry(id, seq, {}, clock.wallMs())));
    await clock.pass(stepMs);
    expect(running.stats().balanced).toBe(true);
  }

  const first = await start();
  await speak(first, known);
  registry.away(true);
  for (let ms = 0; ms < 300_000; ms += stepMs) await speak(first, known);
  await speak(first, [...late, ...strangers]);
  expect(first.stats().ingest).toMatchObject({ rejected: {}, deferred: 20 });
  await timely(clock, first.gateway.stop());

  const second = await start();
  for (let ms = 0; ms < 300_000; ms += stepMs) await speak(second, known);
  await speak(second, [...late, ...strangers]);
  expect(second.stats().ingest).toMatchObject({ accepted: known.length * 61, rejected: {}, deferred: 40 });
  expect(second.stats().auth_cache.stale_hits).toBeGreaterThan(0);
  expect(second.stats()["registry"]).toMatchObject({ available: false });

  registry.away(false);
  await clock.pass(stepMs);
  const { ingest, sinks, balanced } = second.stats();
  expect({ ingest, balanced }).toMatchObject({
    balanced: true,
    ingest: {
      received: given,
      accepted: known.length * 61 + 20,
      rejected: { UNREGISTERED_DEVICE: 20 },
      deferred: 0,
      judging: 0,
    },
  });
  expect(Object.values(sinks).map(({ waiting }) => waiting)).toEqual([0]);
  await speak(second, [...known, ...late]);
  expect(second.stats().ingest.accepted).toBe(known.length * 62 + 30);
});

test.each([
  ["a cache that is turned off", { AUTH_CACHE_TTL_SECONDS: "0" }],
  ["a cache with room for a part of the fleet", { AUTH_CACHE_MAX_SIZE: "50" }],
])("with %s nobody is turned away as a stranger", async (_, env) => {
  const clock = simulatedClock();
  const dataDir = scratch();
  const opened = localStore({ path: join(dataDir, "registry.db"), clock });
  const registry = fickle(opened.registry);
  const store = { ...opened, registry, close: () => Promise.resolve() };
  await registry.add(registered(known));
  const settings = { DATA_DIR: dataDir, SPOOL_MAX_BYTES: "65536", ...env };
  const running = await timely(clock, startInProcess(settings, { clock, store }));
  const speak = async (seq: number) => {
    running.source.give(...known.map((id) => telemetry(id, seq, {}, clock.wallMs())));
    await clock.pass(stepMs);
  };

  await speak(1);
  registry.away(true);
  await speak(2);
  registry.away(false);
  await clock.pass(stepMs);
  expect(running.stats()).toMatchObject({
    balanced: true,
    ingest: { accepted: 2 * known.length, rejected: {} },
  });
});
