/** Who proves himself at the embedded broker's CONNECT by a token that was replaced. */
import { expect, test } from "bun:test";
import type { DeviceAuth, DeviceId } from "../../src/core/device.ts";
import { hashOf } from "../../src/core/token.ts";
import { authenticator } from "../../src/intake/authenticate.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import { simulatedClock } from "../kit/clock.ts";

test("is looked at again when its grace is over, which nobody tells of, and then does not", async () => {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache({ ttlSeconds: 600, sizeMax: 10, staleSeconds: 0 }, clock);
  const row: DeviceAuth = {
    tenantId: "acme",
    deviceId: "d1",
    siteId: "s1",
    status: "ACTIVE",
    tokenHash: hashOf("new"),
    previousTokenHash: hashOf("old"),
    previousTokenUntilMs: clock.wallMs() + 60_000,
  };
  cache.put(row);
  const outdated: DeviceId[] = [];
  const { authenticate, stillProves } = authenticator({
    cache,
    lookup: { resolve: (_tenantId, _deviceId, _siteId, done) => done(row) },
    owners: { of: () => Promise.resolve([]) },
    clock,
    outdated: (device) => void outdated.push(device),
  });
  const proof = { tenantId: "acme", deviceId: "d1", tokenHash: hashOf("old") };
  expect(await authenticate("acme", "d1", "old")).toBe(true);
  clock.advance(59_000);
  expect([outdated, await stillProves(proof)]).toEqual([[], true]);
  clock.advance(1_000);
  expect(outdated).toEqual([{ tenantId: "acme", deviceId: "d1" }]);
  expect(await stillProves(proof)).toBe(false);
});
