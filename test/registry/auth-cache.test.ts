import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  clearedForMs,
  DeviceAuthCache,
  rereadEveryMs,
  unwatchedFreshMs,
} from "../../src/registry/auth-cache.ts";
import { recheckEveryMs } from "../../src/intake/recheck.ts";
import { atHand } from "../kit/at-hand.ts";
import { aDevice } from "../kit/builders.ts";
import { keptRows } from "../kit/kept-rows.ts";
import { simulatedClock } from "../kit/clock.ts";

function cached(settings: Partial<{ ttlSeconds: number; sizeMax: number; staleSeconds: number }> = {}) {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 100, staleSeconds: 3600, ...settings }, clock);
  const put = (deviceId: string, tenantId = "acme") => cache.put(aDevice({ tenantId, deviceId }));
  const at = atHand();
  const has = (deviceId: string, tenantId = "acme") =>
    cache.get(tenantId, deviceId, at(deviceId, tenantId)) !== undefined;
  return { clock, cache, put, has };
}

describe("a row", () => {
  test("is served for the TTL by the monotonic clock, whatever the wall clock does", () => {
    const { clock, put, has } = cached();
    put("d");
    clock.stepWall(-86_400_000);
    clock.advance(59_999);
    clock.stepWall(2 * 86_400_000);
    expect(has("d")).toBe(true);
    clock.advance(1);
    expect(has("d")).toBe(false);
  });

  test("is of one tenant", () => {
    const { put, has } = cached();
    put("d", "a");
    expect([has("d", "a"), has("d", "b")]).toEqual([true, false]);
  });

  test("is as it was put in, and putting it in again replaces it and its age", () => {
    const { clock, cache } = cached();
    cache.put(aDevice());
    clock.advance(30_000);
    cache.put(aDevice({ status: "REVOKED", previousTokenHash: "ab", previousTokenUntilMs: 5 }));
    clock.advance(59_000);
    expect(cache.get("acme", "dev-0001")).toMatchObject(
      aDevice({ status: "REVOKED", previousTokenHash: "ab", previousTokenUntilMs: 5 }),
    );
  });

  test("keeps what is in place of its token's hash, which is told of as that", () => {
    const { cache } = cached();
    cache.put(aDevice({ tokenHash: "of another service" }));
    expect(cache.get("acme", "dev-0001")).toMatchObject({
      digest: undefined,
      tokenHash: "of another service",
    });
  });

  test("a TTL of 0 turns the cache off, for outages too", () => {
    const { cache, put, has } = cached({ ttlSeconds: 0 });
    put("d");
    cache.setAvailable(false);
    expect([has("d"), cache.stats().size]).toEqual([false, 0]);
  });
});

describe("at the bound", () => {
  test("the oldest tenth by time of caching is removed, not the least used", () => {
    const { cache, put, has } = cached();
    for (let at = 0; at < 100; at++) put(`d${at}`);
    put("d0");
    for (let at = 0; at < 5; at++) has("d1");
    put("one more");
    expect(cache.stats()).toMatchObject({ size: 91, evictions: 10 });
    expect([0, 1, 10, 11, 99].map((at) => has(`d${at}`))).toEqual([true, false, false, true, true]);
  });

  test("to update a device that is present evicts nobody", () => {
    const { cache, put } = cached();
    for (let at = 0; at < 100; at++) put(`d${at}`);
    for (let at = 0; at < 100; at++) put(`d${at}`);
    expect(cache.stats()).toMatchObject({ size: 100, evictions: 0 });
  });

  test("a cache of one device keeps the last", () => {
    const { cache, put, has } = cached({ sizeMax: 1 });
    put("a");
    put("b");
    expect([has("a"), has("b"), cache.stats().size]).toEqual([false, true, 1]);
  });
});

describe("a device that is not here may be registered all the same", () => {
  test("if nobody is here, as with a TTL of 0, or if there was no room for all", () => {
    const { cache, clock, put } = cached({ sizeMax: 10 });
    expect(cache.mayLack()).toBe(true);
    for (let at = 0; at < 8; at++) put(`d${at}`);
    expect(cache.mayLack()).toBe(false);
    for (let at = 8; at < 11; at++) put(`d${at}`);
    const after = cached({ sizeMax: 10 }).cache;
    after.restore(keptRows(cache, clock));
    expect([cache.mayLack(), after.mayLack()]).toEqual([true, true]);
    for (let at = 0; at < 11; at++) cache.invalidate("acme", `d${at}`);
    put("d");
    expect(cache.mayLack()).toBe(true);
  });

  test("if all of a tenant were forgotten at once, whoever came back since; not if one was", () => {
    const { cache, put } = cached();
    for (const name of ["a", "b", "c"]) put(name);
    cache.invalidateTenant("globex");
    cache.invalidate("acme", "a");
    expect(cache.mayLack()).toBe(false);
    cache.invalidateTenant("acme");
    for (const name of ["a", "b"]) put(name);
    expect(cache.mayLack()).toBe(true);
  });

  test.each([0, 1000])(
    "no longer once the registry has answered for a day, cleared %d ms after it went",
    (after) => {
      const { cache, clock, put } = cached();
      for (const name of ["a", "b"]) put(name);
      cache.setAvailable(false);
      clock.advance(after);
      cache.invalidateTenant("acme");
      put("a");
      clock.advance(2 * clearedForMs);
      expect(cache.mayLack()).toBe(true);
      cache.setAvailable(true);
      clock.advance(clearedForMs - 1);
      expect(cache.mayLack()).toBe(true);
      cache.setAvailable(false);
      clock.advance(clearedForMs);
      expect(cache.mayLack()).toBe(true);
      cache.setAvailable(true);
      clock.advance(1);
      expect(cache.mayLack()).toBe(false);
    },
  );
});

describe("forgetting", () => {
  test("one device, a tenant, all", () => {
    const { cache, put, has } = cached();
    for (const device of ["d", "e"]) for (const tenant of ["a", "b"]) put(device, tenant);
    expect(cache.invalidate("a", "d")).toBe(true);
    expect(cache.invalidate("a", "d")).toBe(false);
    expect([has("d", "a"), has("d", "b"), has("e", "a")]).toEqual([false, true, true]);
    expect(cache.invalidateTenant("b")).toBe(2);
    expect([has("e", "a"), has("e", "b")]).toEqual([true, false]);
    expect(cache.invalidateTenant(null)).toBe(1);
    expect(cache.stats().size).toBe(0);
  });
});

describe("while the registry does not answer", () => {
  test("rows past the TTL serve within the stale window, and are counted", () => {
    const { clock, cache, put, has } = cached();
    put("d");
    clock.advance(61_000);
    cache.setAvailable(false);
    expect(has("d")).toBe(true);
    expect(cache.stats()).toMatchObject({ hits: 1, stale_hits: 1, misses: 0 });
    cache.setAvailable(true);
    expect(has("d")).toBe(false);
    cache.setAvailable(false);
    clock.advance(3_599_000);
    expect(has("d")).toBe(false);
    expect(cache.has("acme", "d")).toBe(true);
  });

  test("a forgotten row does not come back", () => {
    const { cache, put, has } = cached();
    put("d");
    cache.setAvailable(false);
    cache.invalidate("acme", "d");
    expect(has("d")).toBe(false);
  });
});

describe("when the watch was lost", () => {
  test("a revoked device loses its connections within a second: those are looked at as often as its row is read", () => {
    expect(unwatchedFreshMs + recheckEveryMs).toBeLessThan(1_000);
  });

  test("a row is fresh for a moment only, until the watch stands again", () => {
    const { clock, cache, put, has } = cached();
    put("d");
    clock.advance(unwatchedFreshMs / 2);
    cache.unwatched();
    expect(has("d")).toBe(true);
    clock.advance(unwatchedFreshMs / 2);
    expect(has("d")).toBe(false);
  });

  test("what was read before it stood again is unverified until it is read again", () => {
    const { clock, cache, put, has } = cached();
    put("old");
    clock.advance(60_000);
    put("d");
    put("e");
    cache.unwatched();
    cache.watched();
    expect([has("d"), has("e")]).toEqual([false, false]);
    expect([...cache.unverified()].map((row) => row.deviceId)).toEqual(["d", "e"]);
    put("d");
    clock.advance(30_000);
    expect([has("d"), has("e")]).toEqual([true, false]);
    cache.setAvailable(false);
    expect(has("e")).toBe(true);
  });
});

test("a row that led to a reject may be read again now and then, not while the registry is away, and reading it does not change that", () => {
  const { clock, cache, put } = cached();
  const may = () => cache.mayReread("acme", "d");
  expect(may()).toBe(false);
  put("d");
  expect([may(), may()]).toEqual([true, false]);
  put("d");
  expect(may()).toBe(false);
  clock.advance(rereadEveryMs);
  cache.setAvailable(false);
  expect(may()).toBe(false);
  cache.setAvailable(true);
  expect(may()).toBe(true);
});

describe("over a restart", () => {
  test("restored rows serve while the registry is away; while it answers they are read again first", () => {
    const before = cached();
    before.put("d");
    before.put("e");
    before.clock.advance(10_000);
    const rows = keptRows(before.cache, before.clock);
    expect(rows.map((row) => row.cachedWallMs)).toEqual([
      before.clock.wallMs() - 10_000,
      before.clock.wallMs() - 10_000,
    ]);
    const cachedWallMs = before.clock.wallMs() - 10_000;
    expect(rows[0]).toEqual({ ...aDevice({ deviceId: "d" }), cachedWallMs });
    const { cache, clock, put, has } = cached();
    cache.restore(rows);
    expect(has("d")).toBe(false);
    cache.setAvailable(false);
    expect(has("d")).toBe(true);
    put("d");
    cache.setAvailable(true);
    expect([has("d"), has("e")]).toEqual([true, false]);
    clock.advance(1);
    expect([...cache.snapshot()].map((row) => row.deviceId)).toEqual(["e", "d"]);
  });

  test("rows older than the stale window do not serve, but are known, and the bound holds", () => {
    const { cache, clock } = cached({ sizeMax: 10 });
    const row = (deviceId: string, cachedWallMs: number) => ({
      ...aDevice({ deviceId }),
      key: `acme/${deviceId}`,
      cachedWallMs,
    });
    cache.restore([row("old", clock.wallMs() - 3_660_000)]);
    cache.setAvailable(false);
    expect(cache.get("acme", "old")).toBeUndefined();
    expect(cache.has("acme", "old")).toBe(true);
    cache.restore(Array.from({ length: 50 }, (_, at) => row(`d${at}`, clock.wallMs() - 1000)));
    expect(cache.stats().size).toBe(10);
  });
});

test("stats tell size, hits and misses; the rate is null before the first check", () => {
  const { cache, put, has } = cached();
  expect(cache.stats()).toEqual({
    size: 0,
    max_size: 100,
    ttl_seconds: 60,
    hits: 0,
    misses: 0,
    hit_rate: null,
    stale_hits: 0,
    evictions: 0,
  });
  put("d");
  for (const device of ["d", "d", "d", "e"]) has(device);
  expect(cache.stats()).toMatchObject({ hits: 3, misses: 1, hit_rate: 0.75, stale_hits: 0 });
});

test("it never holds more than its bound, and serves only what was put in and not forgotten", () => {
  const step = fc.record({
    what: fc.constantFrom("put", "get", "invalidate", "advance", "clear"),
    device: fc.integer({ min: 0, max: 15 }).map((at) => `d${at}`),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { clock, cache, put, has } = cached({ sizeMax: 10, ttlSeconds: 5 });
      const putAtMs = new Map<string, number>();
      for (const { what, device } of steps) {
        if (what === "put") putAtMs.set(device, clock.monoMs());
        if (what === "put") put(device);
        if (what === "invalidate") putAtMs.delete(device);
        if (what === "invalidate") cache.invalidate("acme", device);
        if (what === "advance") clock.advance(1000);
        if (what === "clear") putAtMs.clear();
        if (what === "clear") cache.invalidateTenant(null);
        const isGood = clock.monoMs() - (putAtMs.get(device) ?? -Infinity) < 5000;
        if (has(device)) expect(isGood).toBe(true);
        if (what === "put") expect(has(device)).toBe(true);
        expect(cache.stats().size).toBeLessThanOrEqual(10);
      }
    }),
  );
});

describe("whose a token is", () => {
  const hash = (n: number) => String(n).padStart(64, "0");

  test("is what the rows say, whatever came and went; of a token of two rows it says nothing", () => {
    const step = fc.record({
      what: fc.constantFrom("put", "put", "put", "invalidate", "ask", "tenant"),
      id: fc.integer({ min: 0, max: 12 }),
      token: fc.integer({ min: 1, max: 6 }),
      previous: fc.option(fc.integer({ min: 1, max: 6 })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { cache } = cached({ sizeMax: 8 });
        for (const { what, id, token, previous } of steps) {
          const deviceId = `d${id}`;
          if (what === "put")
            cache.put(
              aDevice({
                deviceId,
                tokenHash: hash(token),
                previousTokenHash: previous === null ? null : hash(previous),
              }),
            );
          else if (what === "invalidate") cache.invalidate("acme", deviceId);
          else if (what === "tenant") cache.invalidateTenant(id < 6 ? "acme" : null);
          for (let n = 1; n <= 6; n++) {
            const owners = [...cache.snapshot()].filter(
              (row) => row.tokenHash === hash(n) || row.previousTokenHash === hash(n),
            );
            const said = cache.ownerOf(hash(n))?.deviceId;
            // Of two once, of one now: the registry is asked.
            if (said !== undefined) expect(owners.map((row) => row.deviceId)).toEqual([said]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test("is known of a row that made room and came back", () => {
    const { cache } = cached({ sizeMax: 10 });
    const put = (n: number) => cache.put(aDevice({ deviceId: `d${n}`, tokenHash: hash(n) }));
    const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    for (const n of all) {
      put(n);
      cache.ownerOf(hash(n));
    }
    put(0);
    expect(all.map((n) => cache.ownerOf(hash(n))?.deviceId)).toEqual(
      all.map((n) => (n === 1 ? undefined : `d${n}`)),
    );
  });

  test("is known of each row, also in upper case, also past its time and after a restart", () => {
    const { cache, clock } = cached();
    for (let n = 0; n < 10; n++)
      cache.put(aDevice({ deviceId: `d${n}`, tokenHash: hash(n).replace(/^00/, "AB") }));
    clock.advance(3_000_000);
    const again = cached().cache;
    again.restore(keptRows(cache, clock));
    for (const each of [cache, again])
      for (let n = 0; n < 10; n++) expect(each.ownerOf(hash(n).replace(/^00/, "ab"))?.deviceId).toBe(`d${n}`);
    expect(cache.ownerOf(hash(77))).toBeUndefined();
  });

  test("is said to be nobody else's once the registry said so, for as long as the row is fresh", () => {
    const { cache, clock } = cached();
    const isSole = () => cache.ownerOf(hash(1))?.isSole;
    cache.put(aDevice({ tokenHash: hash(1) }));
    expect(isSole()).toBe(false);
    cache.noteSole(aDevice());
    cache.noteSole(aDevice({ deviceId: "unknown" }));
    expect(isSole()).toBe(true);
    clock.advance(60_000);
    expect(isSole()).toBe(false);
    cache.put(aDevice({ tokenHash: hash(1) }));
    expect(isSole()).toBe(false);
  });
});
