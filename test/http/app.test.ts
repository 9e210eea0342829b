/** Every route of the HTTP surface, and who has access. */
import { beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createApp } from "../../src/http/app.ts";
import { fakeView, someCacheStats, noStats } from "../kit/view.ts";
import type { CacheStats } from "../../src/admin/cache-stats.ts";
import type { PartReadiness } from "../../src/admin/readiness.ts";
import type { GatewayView } from "../../src/admin/views.ts";
import type { Stats } from "../../src/admin/measurements.ts";

const token = "a-token-of-some-length";
const sink = { delivered: 5, ignored: 1, refused: 0, skipped: 0, spooled: 8, waiting: 2 };
const stats: Stats = {
  version: "1.2.3",
  gateway_id: 'gate"way',
  uptime_seconds: 12.5,
  balanced: true,
  attention: { level: "working", text: "Working", since: null, detail: null, remedy: null },
  parts: [],
  clock: { believed: true, time_known: true, detail: null },
  ingest: { received: 9, accepted: 5, rejected: { TOKEN_INVALID: 3 }, duplicate: 1, judging: 0, held: 4 },
  log: { lines_lost: 0 },
  auth_cache: someCacheStats,
  spool: { ...noStats.spool, entries: 8, bytes: 4096, oldest_age_seconds: 0.5 },
  certificates: [],
  watchdog: noStats.watchdog,
  sources: [],
  sinks: { postgres: sink, influx: { ...sink, writes_ok: 7, last_error: "words are no metric" } },
};

let parts: PartReadiness[];
let forgotten: string[];
let view: GatewayView;

beforeEach(() => {
  parts = [{ part: "source", ok: true, detail: "connected" }];
  ({ view, forgotten } = fakeView({ stats: () => stats, ready: () => parts }));
});

type Ask = {
  method?: string;
  headers?: Record<string, string>;
  token?: string;
  from?: string;
  body?: string;
};

function client(adminToken?: string, clock = systemClock) {
  const app = createApp({ view, adminToken, audit: () => {}, clock, log: silentLog });
  return async (path: string, { method = "GET", headers = {}, token: bearer, from, body }: Ask = {}) => {
    const request = new Request(`http://localhost:8080${path}`, {
      method,
      headers: {
        host: "localhost:8080",
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
    return app.fetch(request, { clientAddress: from ?? "127.0.0.1" });
  };
}

async function expectProblem(response: Response, status: number): Promise<Record<string, unknown>> {
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const body = (await response.json()) as Record<string, unknown>;
  expect(body).toMatchObject({ type: "about:blank", status });
  expect(body["title"]).toBeString();
  expect(body["detail"]).toBeString();
  return body;
}

describe("status", () => {
  test("/healthz answers as long as the process does", async () => {
    const response = await client()("/healthz");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ok" });
  });

  test("/readyz is 200 when every part is ready", async () => {
    const response = await client()("/readyz");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ready", parts });
  });

  test("/readyz is 503 and names each part that is not ready", async () => {
    parts.push({ part: "postgres", ok: false, detail: "connection refused" });
    const body = await expectProblem(await client()("/readyz"), 503);
    expect(body["detail"]).toBe("postgres: connection refused");
    expect(body["parts"]).toEqual(parts);
  });

  test("/stats is the stats of the view as they are", async () => {
    const response = await client()("/stats");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(stats);
  });

  test("an answer ends with a newline, and is indented if asked", async () => {
    expect(await (await client()("/stats")).text()).toEndWith("}\n");
    const pretty = await (await client()("/stats?pretty")).text();
    expect(pretty).toStartWith('{\n  "version"');
    expect(JSON.parse(pretty)).toEqual(stats);
  });
});

describe("/admin/cache", () => {
  test("stats, with a band per share", async () => {
    const bands = async (changes: Partial<CacheStats>, queries = 0) => {
      const cache = {
        ...view.cache,
        stats: () => ({ ...someCacheStats, ...changes }),
        queries: () => queries,
      };
      ({ view } = fakeView({ cache }));
      return ((await (await client()("/admin/cache/stats")).json()) as { bands: unknown }).bands;
    };
    expect(await (await client()("/admin/cache/stats")).json()).toEqual({
      ...someCacheStats,
      ttl: someCacheStats.ttl_seconds,
      bands: { hit_rate: null, size: "good", errors: null },
    });
    expect(await bands({ hit_rate: null, size: 0 })).toEqual({
      hit_rate: null,
      size: "good",
      errors: null,
    });
    for (const [rate, band] of [
      [0.91, "good"],
      [0.9, "warning"],
      [0.7, "warning"],
      [0.69, "critical"],
    ] as const)
      expect(await bands({ hit_rate: rate, hits: 75, misses: 25 })).toMatchObject({ hit_rate: band });
    for (const [looked, size, band] of [
      [99, 1, null],
      [999, 100, null],
      [1_000, 100, "critical"],
    ] as const)
      expect(await bands({ hit_rate: 0.1, hits: 0, misses: looked, size })).toMatchObject({ hit_rate: band });
    for (const [size, band] of [
      [79, "good"],
      [80, "warning"],
      [94, "warning"],
      [95, "critical"],
    ] as const)
      expect(await bands({ size, max_size: 100 })).toMatchObject({ size: band });
    for (const [errors, band] of [
      [0, "good"],
      [1, "warning"],
      [9, "warning"],
      [10, "critical"],
    ] as const)
      expect(await bands({ errors }, 100)).toMatchObject({ errors: band });
  });

  test("clear", async () => {
    const response = await client()("/admin/cache/clear", { method: "POST" });
    expect(await response.json()).toEqual({ status: "cache cleared" });
    expect(forgotten).toEqual(["*"]);
  });

  test("one device, percent-encoded; a list; a tenant", async () => {
    const ask = client();
    const first = await ask("/admin/cache/devices/acme%20inc/dev%25-1", { method: "DELETE" });
    expect(await first.json()).toEqual({ status: "device forgotten", cached: true });
    const devices = [
      { tenant_id: "t", device_id: "d1" },
      { tenant_id: "t", device_id: "d2" },
    ];
    const list = await ask("/admin/cache/invalidate", { method: "POST", body: JSON.stringify({ devices }) });
    expect(await list.json()).toEqual({ status: "devices forgotten", forgotten: 2 });
    expect((await ask("/admin/cache/tenants/t", { method: "DELETE" })).status).toBe(200);
    expect(forgotten).toEqual(["acme inc/dev%-1", "t/d1", "t/d2", "t/*"]);
  });

  test("a list of a thousand, named by UUIDs", async () => {
    const tenant_id = crypto.randomUUID();
    const devices = Array.from({ length: 1_000 }, () => ({ tenant_id, device_id: crypto.randomUUID() }));
    const body = JSON.stringify({ devices });
    const headers = { "content-length": String(body.length) };
    expect((await client()("/admin/cache/invalidate", { method: "POST", body, headers })).status).toBe(200);
  });

  test.each(["t%2Fx/d", "t/d%23", "t/%ZZ", "t/%2B"])("malformed: %s", async (path) => {
    await expectProblem(await client()(`/admin/cache/devices/${path}`, { method: "DELETE" }), 400);
    expect(forgotten).toEqual([]);
  });
});

test("the page's script goes out compressed to those who take that", async () => {
  const script = async (accepted: string) =>
    client()("/page.js", { headers: { "accept-encoding": accepted } });
  const [plain, packed] = [await script("identity"), await script("gzip, br")];
  expect(plain.headers.get("content-encoding")).toBeNull();
  expect(packed.headers.get("content-encoding")).toBe("gzip");
  const unpacked = new TextDecoder().decode(Bun.gunzipSync(await packed.arrayBuffer()));
  expect(unpacked).toBe(await plain.text());
});

describe("errors are problem details", () => {
  test("404", async () => {
    await expectProblem(await client()("/nowhere"), 404);
  });

  test("405 with Allow", async () => {
    const things = ["dead-letters/replay", "dead-letters/set-aside", "quarantine/discard"];
    for (const path of ["cache/clear", ...things]) {
      const response = await client()(`/admin/${path}`);
      expect(response.headers.get("allow")).toBe("POST");
      await expectProblem(response, 405);
    }
  });

  test("415: a body that was compressed is told so, not called malformed", async () => {
    const packed = { method: "POST", body: "packed", headers: { "content-encoding": "gzip" } };
    for (const path of ["/admin/devices", "/admin/devices/import", "/admin/quarantine/replay"])
      await expectProblem(await client()(path, packed), 415);
    const plain = { method: "POST", body: "{}", headers: { "content-encoding": "identity" } };
    await expectProblem(await client()("/admin/devices", plain), 422);
  });

  test("413", async () => {
    const body = "x".repeat(100_000);
    const headers = { "content-length": String(body.length) };
    await expectProblem(await client()("/admin/cache/clear", { method: "POST", body, headers }), 413);
    expect(forgotten).toEqual([]);
  });

  test("500 reveals nothing internal", async () => {
    view = {
      ...view,
      stats: () => {
        throw new Error("postgres://me:secret@db");
      },
    };
    const body = await expectProblem(await client()("/stats"), 500);
    expect(JSON.stringify(body)).not.toContain("secret");
  });

  test("every answer carries the security headers", async () => {
    for (const path of ["/healthz", "/nowhere"]) {
      const { headers } = await client()(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toBe("default-src 'none'");
      expect(headers.get("cache-control")).toBe("no-store");
    }
  });
});

describe("without a token", () => {
  const paths = ["/healthz", "/stats", "/admin/cache/stats"];

  test.each(["localhost:8080", "127.0.0.1", "127.1.2.3:1", "[::1]:8080", "LOCALHOST"])(
    "Host %s is answered",
    async (host) => {
      for (const path of paths) expect((await client()(path, { headers: { host } })).status).toBe(200);
    },
  );

  test.each([
    "attacker.example",
    "attacker.example:8080",
    "127.0.0.1.attacker.example",
    "10.0.0.1",
    "localhost.evil",
    "",
  ])("Host %p is refused: a name that resolves to loopback", async (host) => {
    for (const path of paths) await expectProblem(await client()(path, { headers: { host } }), 403);
  });

  test.each(["http://attacker.example", "null", "http://localhost:3000", "https://localhost:8080"])(
    "Origin %s is refused: another page",
    async (origin) => {
      const response = await client()("/admin/cache/clear", { method: "POST", headers: { origin } });
      await expectProblem(response, 403);
      expect(forgotten).toEqual([]);
    },
  );

  test("its own page is answered", async () => {
    const headers = { origin: "http://localhost:8080", "sec-fetch-site": "same-origin" };
    expect((await client()("/admin/cache/clear", { method: "POST", headers })).status).toBe(200);
  });

  test("a cross-site request without Origin is refused", async () => {
    await expectProblem(await client()("/stats", { headers: { "sec-fetch-site": "cross-site" } }), 403);
  });
});

describe("with a token", () => {
  test("/admin requires it, the rest does not", async () => {
    const ask = client(token);
    expect((await ask("/stats", { headers: { host: "gateway.lan" } })).status).toBe(200);
    expect((await ask("/admin/cache/stats", { token })).status).toBe(200);
    const response = await ask("/admin/cache/stats");
    expect(response.headers.get("www-authenticate")).toStartWith("Bearer");
    await expectProblem(response, 401);
  });

  test.each(["wrong", `${token}x`, token.slice(1), ""])("%p does not open it", async (wrong) => {
    await expectProblem(await client(token)("/admin/cache/clear", { method: "POST", token: wrong }), 401);
    expect(forgotten).toEqual([]);
  });

  test("an address with ten wrong tokens waits a minute for another try, and the right one is let in all the same", async () => {
    let nowMs = 0;
    const ask = client(token, { ...systemClock, monoMs: () => nowMs });
    for (let i = 0; i < 10; i += 1) {
      await expectProblem(await ask("/admin/cache/stats", { token: "wrong", from: `2001:db8::${i}` }), 401);
    }
    const held = await ask("/admin/cache/stats", { token: "wrong", from: "2001:db8::ffff" });
    expect(held.headers.get("retry-after")).toBe("60");
    await expectProblem(held, 429);
    const wrongFrom = async (from: string) =>
      (await ask("/admin/cache/stats", { token: "wrong", from })).status;
    expect(await wrongFrom("2001:db8:0:1::1")).toBe(401);
    expect(await wrongFrom("::ffff:10.0.0.1")).toBe(401);
    expect((await ask("/admin/cache/stats", { token, from: "2001:db8::1" })).status).toBe(200);
    nowMs = 60_000;
    expect(await wrongFrom("2001:db8::1")).toBe(401);
  });

  test("a request without a token does not count as an attempt", async () => {
    const ask = client(token);
    for (let i = 0; i < 20; i += 1) await ask("/admin/cache/stats");
    expect((await ask("/admin/cache/stats", { token })).status).toBe(200);
  });
});

test("what a stranger names at length is not quoted at length, for to mask it takes the thread", async () => {
  const app = createApp({
    ...{ view: fakeView().view, adminToken: "a-token-of-some-length", audit: () => {} },
    ...{ clock: systemClock, log: silentLog },
  });
  const long = "a://".repeat(15_000);
  const asked = [
    new Request(`http://gateway:8080/${long}`),
    new Request("http://gateway:8080/login", { method: "POST", body: JSON.stringify({ [long]: 1 }) }),
  ];
  for (const request of asked) {
    const answer = await app.fetch(request, { clientAddress: "10.0.0.7" });
    expect(answer.status).toBeGreaterThanOrEqual(404);
    expect((await answer.text()).length).toBeLessThan(1_000);
  }
});
