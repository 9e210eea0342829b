/** /devices over HTTP: who may read, what the answers hold, and that an outage is no empty list. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { type LatestDevice, LatestUnavailable, type LatestView } from "../../src/core/latest-view.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { SeenDevice } from "../../src/core/recent.ts";
import { createApp } from "../../src/http/app.ts";
import { fakeView } from "../kit/view.ts";

const nowMs = Date.UTC(2026, 10, 26, 4);
const ttlMs = 86_400_000;
const seenMs = nowMs - 1_500;

const device: LatestDevice = {
  tenantId: "acme",
  deviceId: "d1",
  seenMs,
  expiresMs: seenMs + ttlMs,
  metadata: { site_id: "lab-1" },
  values: [
    { metric: "big", json: "1152921504606846977", timeMs: nowMs - 2_000 },
    { metric: "__proto__", json: '"x"', timeMs: nowMs - 3_000 },
  ],
};
const view: LatestView = {
  get: (ids) => Promise.resolve(ids.map(({ deviceId }) => (deviceId === "d1" ? device : null))),
  seen: ({ after, limit }) => {
    const all = Array.from({ length: 5 }, (_, i): SeenDevice => ({
      tenantId: "acme",
      deviceId: `d/${i}`,
      seenMs: seenMs - i,
    }));
    const rest = all.slice(
      after === undefined ? 0 : all.findIndex(({ deviceId }) => deviceId === after.deviceId) + 1,
    );
    return Promise.resolve({
      devices: rest.slice(0, limit),
      next: rest.length > limit ? rest[limit - 1]! : null,
    });
  },
  close() {},
};
const away: LatestView = {
  get: () => Promise.reject(new LatestUnavailable("Redis at h:1: cannot connect")),
  seen: () => Promise.reject(new LatestUnavailable("Redis at h:1: cannot connect")),
  close() {},
};

interface Tokens {
  readonly adminToken?: string;
  readonly readToken?: string;
}

function asker(of: LatestView = view, { adminToken, readToken }: Tokens = {}) {
  const audited: unknown[] = [];
  const app = createApp({
    view: fakeView({ latest: { view: of, ttlMs, nowMs: () => nowMs } }).view,
    adminToken,
    readToken,
    audit: (line) => audited.push(line),
    clock: systemClock,
    log: silentLog,
  });
  const ask = async (path: string, { token, body }: { token?: string | undefined; body?: unknown } = {}) => {
    const request = new Request(`http://localhost:8080${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { host: "localhost:8080", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const response = await app.fetch(request, { clientAddress: "10.0.0.9" });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { ask, audited };
}

test("one device: values with times and ages, expiry, and every digit that it sent", async () => {
  const { status, text } = await asker().ask("/devices/acme/d1/latest");
  expect(status).toBe(200);
  expect(text).toContain(
    '"big":{"value":1152921504606846977,"time":"2026-11-26T03:59:58.000Z","age_ms":2000}',
  );
  expect(text).toContain('"__proto__":{"value":"x"');
  expect(JSON.parse(text)).toMatchObject({
    tenant_id: "acme",
    device_id: "d1",
    last_seen: "2026-11-26T03:59:58.500Z",
    age_ms: 1_500,
    expires_in_ms: ttlMs - 1_500,
    metadata: { site_id: "lab-1" },
  });
  expect((await asker().ask("/devices/acme/nobody/latest")).status).toBe(404);
});

test("many devices in the requested order, null for an unknown one; more than 1,000 are an error", async () => {
  const { ask, audited } = asker();
  const ids = (n: number) =>
    Array.from({ length: n }, (_, i) => ({
      tenant_id: "a-tenant-with-a-long-name-".repeat(4),
      device_id: `a-device-with-a-long-name-${i}-`.repeat(4),
    }));
  const devices = [...ids(999), { tenant_id: "acme", device_id: "d1" }];
  const { status, text } = await ask("/devices/latest", { body: { devices } });
  expect(status).toBe(200);
  const answered = (JSON.parse(text) as { devices: unknown[] }).devices;
  expect(answered.length).toBe(1_000);
  expect(answered.slice(0, 999).every((each) => each === null)).toBe(true);
  expect(answered[999]).toMatchObject({ device_id: "d1" });
  expect((await ask("/devices/latest", { body: { devices: ids(1_001) } })).status).toBe(422);
  expect((await ask("/devices/latest", { body: {} })).status).toBe(422);
  // A read is not written to the audit log.
  expect(audited).toEqual([]);
});

test("a list continues by its cursor to its end; an invalid cursor is an error", async () => {
  const { ask } = asker();
  const found: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const { status, text } = await ask(`/devices?limit=2${cursor && `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    const page = JSON.parse(text) as { devices: { device_id: string }[]; cursor: string | null };
    found.push(...page.devices.map(({ device_id }) => device_id));
    cursor = page.cursor;
  }
  expect(found).toEqual(["d/0", "d/1", "d/2", "d/3", "d/4"]);
  for (const wrong of ["cursor=x", "cursor=W10", "seen_since=yesterday", "limit=0", "limit=1001", "prefix=a"])
    expect([wrong, (await ask(`/devices?${wrong}`)).status]).toEqual([wrong, 400]);
  expect((await ask("/devices?tenant=acme&seen_since=2026-11-26T03:00:00Z")).status).toBe(200);
});

test("an outage is 503 with a problem and when to try again", async () => {
  const { ask } = asker(away);
  for (const answer of [
    await ask("/devices/acme/d1/latest"),
    await ask("/devices"),
    await ask("/devices/latest", { body: { devices: [{ tenant_id: "acme", device_id: "d1" }] } }),
  ]) {
    expect(answer.status).toBe(503);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((JSON.parse(answer.text) as { detail: string }).detail).toContain("cannot connect");
  }
});

describe("who may read", () => {
  const [adminToken, readToken] = ["the-admin-token-1", "the-read-token-12"];
  const paths = ["/devices", "/devices/acme/d1/latest", "/devices/latest", "/admin/rejects"];
  const statuses = async (tokens: Tokens, token: string | undefined) => {
    const { ask } = asker(view, tokens);
    return Promise.all(
      paths.map(
        async (path) =>
          (
            await ask(
              path,
              path === "/devices/latest"
                ? { token, body: { devices: [{ tenant_id: "acme", device_id: "d1" }] } }
                : { token },
            )
          ).status,
      ),
    );
  };
  const cases: [string, Tokens, string | undefined, number[]][] = [
    ["no token at all: whoever is on this host", {}, undefined, [200, 200, 200, 200]],
    ["with READ_TOKEN not without it", { readToken }, undefined, [401, 401, 401, 200]],
    ["with READ_TOKEN who has it", { readToken }, readToken, [200, 200, 200, 200]],
    [
      "with both, a reader reads and administers nothing",
      { adminToken, readToken },
      readToken,
      [200, 200, 200, 401],
    ],
    ["with both, the administrator may all", { adminToken, readToken }, adminToken, [200, 200, 200, 200]],
    ["with ADMIN_TOKEN alone nobody without it", { adminToken }, undefined, [401, 401, 401, 401]],
    ["with ADMIN_TOKEN alone the administrator", { adminToken }, adminToken, [200, 200, 200, 200]],
    ["not who guesses", { adminToken, readToken }, "the-wrong-token-1", [401, 401, 401, 401]],
  ];
  for (const [what, tokens, token, wanted] of cases)
    test(what, async () => expect(await statuses(tokens, token)).toEqual(wanted));
});
