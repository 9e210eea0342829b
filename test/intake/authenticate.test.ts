/** Who proves himself at the embedded broker's CONNECT, or by a token alone. */
import { describe, expect, test } from "bun:test";
import type { DeviceAuth, DeviceId } from "../../src/core/device.ts";
import { hashOf } from "../../src/core/token.ts";
import { authenticator } from "../../src/intake/authenticate.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import { aDevice } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";

/** A registry of one device, whose token is rotated. */
function registryOfOne() {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache({ ttlSeconds: 600, sizeMax: 10, staleSeconds: 0 }, clock);
  const outdated: DeviceId[] = [];
  let row: DeviceAuth;
  const rotated = (from: string, to: string, graceMs: number) => {
    row = {
      ...{ tenantId: "acme", deviceId: "d1", siteId: "s1", status: "ACTIVE" },
      ...{ tokenHash: hashOf(to), previousTokenHash: hashOf(from) },
      previousTokenUntilMs: clock.wallMs() + graceMs,
    };
    cache.put(row);
  };
  const checks = authenticator({
    cache,
    lookup: { resolve: (_tenantId, _deviceId, _siteId, done) => done(row) },
    owners: { of: () => Promise.resolve([]) },
    clock,
    outdated: (device) => void outdated.push(device),
  });
  return { clock, outdated, rotated, ...checks };
}

test("is looked at again when its grace is over, which nobody tells of, and then does not", async () => {
  const { clock, outdated, rotated, authenticate, stillProves } = registryOfOne();
  rotated("old", "new", 60_000);
  const proof = { tenantId: "acme", deviceId: "d1", tokenHash: hashOf("old") };
  expect(await authenticate("acme", "d1", "old")).toBe(true);
  clock.advance(59_000);
  expect([outdated, await stillProves(proof)]).toEqual([[], true]);
  clock.advance(1_000);
  expect(outdated).toEqual([{ tenantId: "acme", deviceId: "d1" }]);
  expect(await stillProves(proof)).toBe(false);
});

test("is looked at again at the end of a shorter grace, too, that begins within a longer one", async () => {
  const { clock, outdated, rotated, authenticate } = registryOfOne();
  rotated("first", "second", 3_600_000);
  expect(await authenticate("acme", "d1", "second")).toBe(true);
  rotated("second", "third", 60_000);
  expect(await authenticate("acme", "d1", "second")).toBe(true);
  clock.advance(60_000);
  expect(outdated).toEqual([{ tenantId: "acme", deviceId: "d1" }]);
  expect(await authenticate("acme", "d1", "second")).toBe(false);
});

test("is found out of the registry if the cached row says no, since a token may be new; and of the cache if it says yes", async () => {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache({ ttlSeconds: 600, sizeMax: 10, staleSeconds: 0 }, clock);
  let asked = 0;
  const { authenticate } = authenticator({
    cache,
    lookup: {
      resolve(_tenantId, _deviceId, _siteId, done) {
        asked++;
        done(cache.put(aDevice({ deviceId: "d1", tokenHash: hashOf("new") })));
      },
    },
    owners: { of: () => Promise.resolve([]) },
    clock,
    outdated() {},
  });
  cache.put(aDevice({ deviceId: "d1", tokenHash: hashOf("old") }));
  expect([await authenticate("acme", "d1", "old"), asked]).toEqual([true, 0]);
  expect([await authenticate("acme", "d1", "new"), asked]).toEqual([true, 1]);
  expect([await authenticate("acme", "d1", "wrong"), asked]).toEqual([false, 1]);
});

describe("whose a token is", () => {
  /** Devices of a registry that answers unless it is away, and what it was asked. */
  function registryOf(...devices: string[]) {
    const clock = simulatedClock();
    const cache = new DeviceAuthCache({ ttlSeconds: 600, sizeMax: 10, staleSeconds: 3_600 }, clock);
    const rows = new Map(
      devices.map((deviceId) => [deviceId, aDevice({ deviceId, tokenHash: hashOf("t") })]),
    );
    const asked: string[] = [];
    let isAway = false;
    const checks = authenticator({
      cache,
      lookup: {
        resolve(_tenantId, deviceId, _siteId, done) {
          asked.push(deviceId);
          const row = rows.get(deviceId);
          done(isAway ? "unavailable" : row === undefined ? null : cache.put(row));
        },
      },
      owners: {
        of(tokenHash) {
          asked.push("owners");
          if (isAway) return Promise.reject(new Error("away"));
          return Promise.resolve([...rows.values()].filter((row) => row.tokenHash === tokenHash));
        },
      },
      clock,
      outdated() {},
    });
    const leave = () => {
      isAway = true;
      cache.setAvailable(false);
    };
    const whose = async () => {
      const owner = await checks.ownerOf("t").catch(String);
      return typeof owner === "object" ? (owner?.deviceId ?? null) : owner;
    };
    return { cache, rows, asked, leave, whose };
  }
  test("is asked of the registry once, and then of the cache, which knows it to be nobody else's", async () => {
    const { asked, whose } = registryOf("d1");
    expect([await whose(), await whose()]).toEqual(["d1", "d1"]);
    expect(asked).toEqual(["owners", "d1"]);
  });

  test("is asked of the registry although the cache knows one who has it: others may, too", async () => {
    const { cache, rows, whose } = registryOf("d1", "d2");
    cache.put(rows.get("d1") ?? aDevice());
    expect(await whose()).toBe("several");
    rows.delete("d2");
    expect(await whose()).toBe("d1");
  });

  test("is nobody's if none has it, or who has it may not send", async () => {
    expect(await registryOf().whose()).toBeNull();
    const { cache, rows, whose } = registryOf("d1");
    cache.put(aDevice({ deviceId: "d1", tokenHash: hashOf("t"), status: "REVOKED" }));
    rows.set("d1", aDevice({ deviceId: "d1", tokenHash: hashOf("t"), status: "REVOKED" }));
    expect(await whose()).toBeNull();
  });

  test("is known of the cache while the registry is away, and else cannot be told", async () => {
    const known = registryOf("d1");
    known.cache.put(known.rows.get("d1") ?? aDevice());
    known.leave();
    expect(await known.whose()).toBe("d1");
    const unknown = registryOf("d1");
    unknown.leave();
    expect(await unknown.whose()).toBe("Error: away");
  });
});
