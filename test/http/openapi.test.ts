/** The document describes what the app does: every route, and answers of the promised shape. */
import { beforeEach, expect, test } from "bun:test";
import { z } from "zod";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createApp } from "../../src/http/app.ts";
import { referred } from "../../src/http/docs.ts";
import type { JsonSchema, OpenApi } from "../../src/http/openapi.ts";
import { version } from "../../src/version.ts";
import { type FakeView, fakeView } from "../kit/view.ts";
import { asker, type Reply } from "./client.ts";

let fake: FakeView;
let ask: ReturnType<typeof asker>;
let document: OpenApi;

beforeEach(async () => {
  const reject = {
    accepted: false,
    reason: "TOKEN_INVALID",
    tenant_id: "acme",
    device_id: null,
    count: 2,
    first_at: "a",
    last_at: "b",
    topic: "a/b",
    detail: null,
  };
  fake = fakeView({ rejects: { list: () => [reject] } });
  ask = asker(fake.view);
  document = (await ask("GET", "/openapi.json")).json as OpenApi;
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  );

test("every route of the app is in the document, and nothing else is", () => {
  const app = createApp({
    view: fake.view,
    adminToken: undefined,
    audit: () => {},
    clock: systemClock,
    log: silentLog,
  });
  const routes = app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(?:\{[^}]+\})?/g, "{$1}")}`);
  expect(routes.sort()).toEqual(
    operations()
      .map(({ route }) => route)
      .sort(),
  );
  for (const route of [
    "GET /healthz",
    "GET /readyz",
    "GET /stats",
    "GET /metrics",
    "GET /openapi.json",
    "GET /docs",
  ])
    expect(routes).toContain(route);
});

test("it is OpenAPI 3.1: ids are unique, path parameters declared, references found, /admin secured", () => {
  expect(document).toMatchObject({ openapi: "3.1.0", info: { title: "Sluice", version: "0" } });
  expect(version).toBeString();
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { route, operation } of operations()) {
    const named = [...route.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const declared = operation.parameters.filter((it) => it.in === "path").map(({ name }) => name);
    expect([route, declared]).toEqual([route, named as string[]]);
    expect([route, operation.security !== undefined]).toEqual([route, / \/(admin|devices)\b/.test(route)]);
    expect(Object.keys(operation.responses)).toContain("500");
  }
  for (const [, name = ""] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    expect(Object.keys(document.components["schemas"] as object)).toContain(name);
});

/** What the document promises for this request's answer; with problems as in components. */
function promised(method: string, path: string, status: number): { media: string; schema: JsonSchema } {
  const asPattern = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, "[^/]+")}$`);
  const found = Object.entries(document.paths).filter(([template]) =>
    asPattern(template).test(path.split("?")[0] ?? ""),
  );
  const [, methods] = found.find(([template]) => !template.includes("{")) ?? found[0] ?? [];
  const [media, content] =
    Object.entries(methods?.[method.toLowerCase()]?.responses[String(status)]?.content ?? {})[0] ?? [];
  if (media === undefined || content === undefined)
    throw new Error(`${method} ${path} promises no ${status}`);
  const schemas = document.components["schemas"] as Record<string, JsonSchema>;
  return { media, schema: schemas[referred(content.schema)] ?? content.schema };
}

const device = { tenant_id: "acme", device_id: "d1", site_id: "s" };
type Asked = [method: string, path: string, status: number, body?: unknown, type?: string];
const asked: Asked[] = [
  ["GET", "/healthz", 200],
  ["GET", "/readyz", 200],
  ["GET", "/stats", 200],
  ["GET", "/", 200],
  ["GET", "/page.js", 200],
  ["GET", "/page.css", 200],
  ["POST", "/login", 403, { token: "x" }],
  ["POST", "/login", 422],
  ["POST", "/login", 400, "{"],
  ["GET", "/login", 200],
  ["POST", "/logout", 200],
  ["GET", "/reasons", 200],
  ["GET", "/history", 200],
  ["GET", "/metrics", 200],
  ["GET", "/openapi.json", 200],
  ["GET", "/docs", 200],
  ["GET", "/admin/cache/stats", 200],
  ["POST", "/admin/cache/clear", 200],
  ["POST", "/admin/cache/invalidate", 200, { devices: [{ tenant_id: "t", device_id: "d" }] }],
  ["POST", "/admin/cache/invalidate", 422, { devices: [] }],
  ["DELETE", "/admin/cache/devices/t/d", 200],
  ["DELETE", "/admin/cache/devices/t/%23", 400],
  ["DELETE", "/admin/cache/tenants/t", 200],
  ["POST", "/admin/devices", 201, { ...device, make_token: true }],
  ["POST", "/admin/devices", 409, device],
  ["POST", "/admin/devices", 413, "x".repeat(70_000)],
  ["GET", "/admin/devices?limit=1", 200],
  ["GET", "/admin/devices?limit=none", 400],
  ...["devices?match=%00", "devices?after=a%00/b", "quarantine?tenant=%00", "quarantine?reason=%00"].map(
    (asking): Asked => ["GET", `/admin/${asking}`, 400],
  ),
  ["GET", "/admin/devices/activity?limit=1", 200],
  ["GET", "/admin/devices/activity?after=none", 400],
  ["GET", "/admin/devices/acme/d1", 200],
  ["GET", "/admin/devices/acme/d2", 404],
  ["PATCH", "/admin/devices/acme/d1", 200, { metadata: { a: 1 } }],
  ["POST", "/admin/devices/acme/d1/revoke", 200],
  ["POST", "/admin/devices/acme/d1/activate", 200],
  ["POST", "/admin/devices/acme/d1/rotate-token", 200, {}],
  [
    "POST",
    "/admin/devices/import",
    200,
    JSON.stringify({ ...device, device_id: "d3" }),
    "application/x-ndjson",
  ],
  ["POST", "/admin/devices/import", 415, "{}"],
  ["GET", "/admin/devices/export?format=csv", 200],
  ["DELETE", "/admin/devices/acme/d1", 200],
  ["GET", "/admin/settings", 200],
  ["PUT", "/admin/settings/MODE", 200, { value: "DEV" }],
  ["PUT", "/admin/settings/MODE", 422, { value: "TEST" }],
  ["PUT", "/admin/settings/NONE", 404, { value: "x" }],
  ...["dead-letters", "quarantine"].flatMap((queue): Asked[] => [
    ["GET", `/admin/${queue}?limit=5`, 200],
    ["GET", `/admin/${queue}/7`, 404],
    ["POST", `/admin/${queue}/replay`, 200, { all: true }],
    ["POST", `/admin/${queue}/discard`, 422, {}],
  ]),
  ["GET", "/admin/rejects?reason=TOKEN_INVALID", 200],
  ["GET", "/devices/acme/d1/latest", 404],
  ["GET", "/devices?limit=1", 200],
  ["GET", "/devices?cursor=none", 400],
  ["POST", "/devices/latest", 200, { devices: [{ tenant_id: "t", device_id: "d" }] }],
  ["POST", "/devices/latest", 422, { devices: [] }],
];

test("real answers, of every route, are of the promised status, type and shape", async () => {
  for (const [method, path, status, body, type] of asked) {
    const reply: Reply = await ask(method, path, body, type);
    expect([method, path, reply.status]).toEqual([method, path, status]);
    const { media, schema } = promised(method, path, status);
    expect(reply.type).toStartWith(path.includes("export") ? "text/csv" : media);
    if (reply.json === undefined) continue;
    const parsed = z.fromJSONSchema(schema).safeParse(reply.json);
    expect([method, path, parsed.error?.issues ?? []]).toEqual([method, path, []]);
  }
  const covered = new Set(
    asked.map(([method, path]) => `${method} ${path.split("?")[0]?.split("/").slice(0, 3).join("/")}`),
  );
  // Streams have no end to wait for; sessions.test.ts reads them.
  const ending = operations().filter(
    ({ operation }) => !("text/event-stream" in (operation.responses["200"]?.content ?? {})),
  );
  const routes = new Set(ending.map(({ route }) => route.split("/").slice(0, 3).join("/")));
  const pattern = (route: string) => new RegExp(`^${route.replaceAll(/\{\w+\}/g, "[^/]+")}$`);
  const isCovered = (route: string) => [...covered].some((each) => pattern(route).test(each));
  expect([...routes].filter((route) => !isCovered(route))).toEqual([]);
});

test("a shape that is not the promised one would be found", () => {
  const { schema } = promised("GET", "/admin/devices", 200);
  expect(
    z.fromJSONSchema(schema).safeParse({ devices: [{ ...device, token_set: "yes" }], next: null }).success,
  ).toBe(false);
});

test("/docs names every route, loads nothing from elsewhere and runs nothing", async () => {
  const { text } = await ask("GET", "/docs");
  for (const { route } of operations()) {
    const [method = "", path = ""] = route.split(" ");
    expect(text).toContain(`<span class="method">${method}</span> ${path}</code>`);
  }
  expect(text).toContain("curl -sS &quot;http://localhost:8080/stats?pretty&quot;");
  // The curl lines name the place that was asked, the example answers this host; nothing loads from there.
  const withoutLines = text.replaceAll(/http:\/\/(127\.0\.0\.1|localhost):\d+/g, "");
  expect(withoutLines).not.toMatch(/<script|https?:\/\/|<link|<img| on\w+=| style=/);
});

test("/docs names the place at which it is asked for, whoever asked before", async () => {
  const app = createApp({
    view: fake.view,
    adminToken: "an-admin-token-of-ours",
    audit: () => {},
    clock: systemClock,
    log: silentLog,
  });
  for (const origin of ["http://one.example:81", "https://other.example"]) {
    const response = await app.fetch(new Request(`${origin}/docs`), { clientAddress: "10.0.0.1" });
    const places = (await response.text()).match(/curl -sS[^\n]*https?:[^/]*\/\/[^/]*/g) ?? [];
    expect(places.length).toBeGreaterThan(20);
    expect(places.filter((place) => !place.endsWith(origin))).toEqual([]);
  }
});

test("/docs may use its own style sheet, and nothing else", async () => {
  const app = createApp({
    view: fake.view,
    adminToken: undefined,
    audit: () => {},
    clock: systemClock,
    log: silentLog,
  });
  const response = await app.fetch(new Request("http://localhost/docs", { headers: { host: "localhost" } }), {
    clientAddress: "::1",
  });
  const style = /<style>(.*?)<\/style>/s.exec(await response.text())?.[1] ?? "";
  const digest = new Bun.CryptoHasher("sha256").update(style).digest("base64");
  expect(response.headers.get("content-security-policy")).toBe(
    `default-src 'none'; style-src 'sha256-${digest}'`,
  );
});
