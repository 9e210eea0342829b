/** Who proves himself at the embedded broker's CONNECT by a token that was replaced. */
import { expect, test } from "bun:test";
import type { DeviceAuth, DeviceId } from "../../src/core/device.ts";
import { hashOf } from "../../src/core/token.ts";
import { authenticator } from "../../src/intake/authenticate.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
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
