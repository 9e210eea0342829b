/**
 * Answers that are not InfluxDB's, and files that are not ours: they are reported as such, stop nothing else and end
 * no process.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { goPastProxies } from "../../src/core/net/proxies.ts";
import { Outage } from "../../src/core/outage.ts";
import { suspicionIn } from "../../src/sink/influx/suspects.ts";
import { event, events } from "../contract/entries.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { startInflux3 } from "../kit/influx3.ts";
import { openInflux } from "../kit/influxsink.ts";

const ends = endsAfterEach();

const all = { delivered: 2, ignored: 0, refused: 0 };

/** Takes every write and answers everything else with one body, as a portal in front of a server does. */
function portal(api: string, body: string) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url, method }) {
      const headers = { "x-influxdb-version": `v${api[1]}.7.0` };
      if (url.endsWith("/ping")) return new Response(null, { status: 204, headers });
      return url.includes("write") && method === "POST"
        ? new Response(null, { status: 204 })
        : new Response(body);
    },
  });
  ends.push(() => server.stop(true));
  return server.url.href;
}

const noLists = [
  "<html>log in</html>",
  "null",
  "7",
  "[null]",
  "{}",
  '{"results":[{"series":[{"values":[null]}]}]}',
  '{"orgs":[null]}',
  '{"orgs":[{"id":"a"}],"buckets":null}',
  '{"orgs":[{"id":"a"}],"buckets":[null]}',
];

describe.each(["v3", "v2", "v1"] as const)("a list of databases that is not one, %s", (api) => {
  test.each(noLists)("%s", async (body) => {
    const influx = openInflux({ url: portal(api, body), org: "o", retention: "30d" });
    ends.push(() => influx.dispose());
    const error: unknown = await influx.sink.probe?.().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Outage);
    expect(String(error)).toContain("check INFLUXDB_URL");
    const outcome: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
    if (outcome instanceof Outage) expect(outcome.message).toContain("check INFLUXDB_URL");
    else expect(outcome).toEqual(all);
  });
});

test.each([
  [200, "check INFLUXDB_URL"],
  [302, "check INFLUXDB_URL"],
  [503, "HTTP 503: down"],
  [403, "HTTP 403: down (not InfluxDB's words"],
])("the check believes no %i that an empty write is answered with", async (status, words) => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url }) {
      if (url.includes("write")) return new Response("down", { status });
      if (url.endsWith("/ping"))
        return new Response(null, { status: 204, headers: { "x-influxdb-version": "1.8.10" } });
      return Response.json({ results: [{ series: [{ columns: ["name"], values: [["telemetry_acme"]] }] }] });
    },
  });
  ends.push(() => server.stop(true));
  const influx = openInflux({ url: server.url.href });
  ends.push(() => influx.dispose());
  const error: unknown = await influx.sink.probe?.().catch((reason: unknown) => reason);
  expect(String(error)).toContain(`takes no write to telemetry_acme: HTTP ${status}`);
  expect(String(error)).toContain(words);
});

test.each(["auto", "v3", "v2", "v1", "victoriametrics"] as const)(
  "a proxy that redirects to TLS is said by the check and by a delivery, %s",
  async (api) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch({ url }) {
        const { pathname, search } = new URL(url);
        return Response.redirect(`https://influx.example${pathname}${search}`, 308);
      },
    });
    ends.push(() => server.stop(true));
    const influx = openInflux({ url: server.url.href, api, org: "o" });
    ends.push(() => influx.dispose());
    for (const work of [influx.sink.probe?.(), influx.deliver(events(1, 2))]) {
      const error = await Promise.resolve(work).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ alarm: true });
      expect(String(error)).toMatch(
        /HTTP 308: it redirects to https:\/\/influx\.example\/[\w/]+, where .*set INFLUXDB_URL/,
      );
    }
  },
);

test.each(["v3", "v2", "v1"] as const)(
  "the check is content with a proxy that takes writes and nothing else, if it can try one, %s",
  async (api) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch({ url }) {
        if (!url.includes("write")) return new Response("404 page not found", { status: 404 });
        return new Response(null, { status: api === "v3" ? 400 : 204 });
      },
    });
    ends.push(() => server.stop(true));
    const check = async (more: object) => {
      const influx = openInflux({ url: server.url.href, api, org: "o", ...more });
      ends.push(() => influx.dispose());
      return String(await influx.sink.probe?.().catch((reason: unknown) => reason));
    };
    expect(await check({ database: "telemetry" })).toContain("lists no databases; may write to telemetry");
    expect(await check({})).toContain("HTTP 404");
  },
);

test("a proxy whose InfluxDB 2 is away blames no organization, and needs no operator", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) =>
      url.endsWith("/ping")
        ? new Response(null, { status: 204, headers: { "x-influxdb-version": "v2.7.12" } })
        : new Response(null, { status: url.includes("/orgs") ? 502 : 404 }),
  });
  ends.push(() => server.stop(true));
  const influx = openInflux({ url: server.url.href, org: "o", retention: "30d" });
  ends.push(() => influx.dispose());
  const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ alarm: false, message: 'organization "o": HTTP 502' });
});

/** Refuses in a proxy's words until it lets through what a server of version 1 says. */
function gate(refusal: (body: string) => Response | null) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const isPacked = request.headers.has("content-encoding");
      const body = new TextDecoder().decode(isPacked ? Bun.gunzipSync(bytes) : bytes);
      const status = request.url.includes("/api/v3/") ? 404 : 204;
      return refusal(body) ?? new Response(null, { status, headers: { "x-influxdb-version": "1.8.10" } });
    },
  });
  ends.push(() => server.stop(true));
  return server.url.href;
}

test.each([
  ["", {}],
  ["<html><title>401 Authorization Required</title></html>", {}],
  ['{"message":"Missing authorization in request"}', {}],
  ['{"error":"unable to parse authentication credentials"}', { "x-influxdb-version": "1.8.10" }],
])("a 401 at /ping that is not version 3's is not taken for it: %s", async (body, headers) => {
  let isShut = true;
  const url = gate(() => (isShut ? new Response(body, { status: 401, headers }) : null));
  const influx = openInflux({ url });
  ends.push(() => influx.dispose());
  const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ alarm: true, scope: "sink" });
  expect(String(error)).toMatch(/HTTP 401.*(credentials|INFLUXDB_TOKEN)/);
  isShut = false;
  expect(await influx.deliver(events(1, 2))).toEqual(all);
  expect(influx.sink.stats?.()).toMatchObject({ target: `v1 ${url.slice(0, -1)}` });
});

const ofTwoLines = [event(1), event(2, { payload: '{"metrics":{"note":"first\\nsecond"}}' })];

test.each(["auto", "v1"] as const)(
  "a proxy whose InfluxDB is away at the start is not what all else is judged by, %s",
  async (api) => {
    let isAway = true;
    const page = "<html><title>503 Service Unavailable</title></html>";
    const influx = openInflux({
      api,
      url: gate(() => (isAway ? new Response(page, { status: 503 }) : null)),
    });
    ends.push(() => influx.dispose());
    const error: unknown = await influx.deliver(ofTwoLines).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ alarm: false, scope: "sink" });
    expect(String(error)).toMatch(/HTTP 503: a page, .* to \/ping: .*see that InfluxDB behind it runs/);
    isAway = false;
    expect(await influx.deliver(ofTwoLines)).toEqual(all);
  },
);

test("a proxy that says 503 to all but writes is no obstacle if INFLUXDB_API is set", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => new Response(null, { status: url.includes("/write?") ? 204 : 503 }),
  });
  ends.push(() => server.stop(true));
  const influx = openInflux({ url: server.url.href, api: "v1" });
  ends.push(() => influx.dispose());
  expect(await influx.deliver(events(1, 2))).toEqual(all);
});

test("a token that version 3 refuses at first makes no dead letter of a text with a line feed", async () => {
  const server = await startInflux3({ token: "right" });
  ends.push(() => server.stop());
  const influx = openInflux({ url: server.url, token: "wrong" });
  ends.push(() => influx.dispose());
  await influx.deliver(ofTwoLines).catch(() => {});
  server.set({ token: "wrong" });
  expect(await influx.deliver(ofTwoLines)).toEqual(all);
});

test("of a proxy that the environment names it is said that InfluxDB is asked through it", async () => {
  const refuse = () => Promise.reject(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }));
  const wantsLogin = () => Promise.resolve(new Response(null, { status: 407 }));
  goPastProxies({ HTTP_PROXY: "http://proxy.example:3128" });
  ends.push(() => goPastProxies({}));
  for (const [answer, words] of [
    [refuse, "InfluxDB at http://influx.example:8086 through the proxy that HTTP_PROXY names: refused"],
    [wantsLogin, "HTTP 407 (a proxy wants a login: HTTP_PROXY"],
  ] as const) {
    const influx = openInflux({ url: "http://influx.example:8086" }, systemClock, answer);
    ends.push(() => influx.dispose());
    const error: unknown = await influx.deliver(events(1, 2)).catch((reason: unknown) => reason);
    expect(String(error)).toContain(words);
  }
});

test("a proxy's 403 is not laid on the token", async () => {
  let isShut = false;
  const influx = openInflux({ url: gate(() => (isShut ? new Response("blocked", { status: 403 }) : null)) });
  ends.push(() => influx.dispose());
  await influx.deliver(events(1, 2));
  isShut = true;
  const error: unknown = await influx.deliver(events(3, 4)).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ alarm: true, scope: "lane" });
  expect(String(error)).toContain("HTTP 403: blocked (not InfluxDB's words");
  expect(influx.refused.size).toBe(0);
});

test.each([
  [403, "<html><title>Request blocked</title></html>"],
  [406, "Not Acceptable!"],
])("what a firewall refuses for its content (%i) stands alone, and holds up nobody", async (status, page) => {
  const url = gate((body) => (body.includes("<script>") ? new Response(page, { status }) : null));
  const influx = openInflux({ url });
  ends.push(() => influx.dispose());
  const entries = events(1, 40).map((entry) =>
    entry.seq === 17 ? { ...entry, payload: '{"metrics":{"name":"<script>alert(1)</script>"}}' } : entry,
  );
  expect(await influx.deliver(entries)).toEqual({ delivered: 39, ignored: 0, refused: 1 });
  expect([...influx.refused.keys()]).toEqual([17]);
  expect(influx.refused.get(17)).toContain(`HTTP ${status}`);
});

test("a proxy that takes no gzip is sent lines as they are, and from then on at once", async () => {
  const encodings: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url, headers }) {
      if (url.endsWith("/ping"))
        return new Response(null, { status: 204, headers: { "x-influxdb-version": "1.8.10" } });
      encodings.push(headers.get("content-encoding"));
      return new Response(null, { status: headers.has("content-encoding") ? 415 : 204 });
    },
  });
  ends.push(() => server.stop(true));
  const influx = openInflux({ url: server.url.href });
  ends.push(() => influx.dispose());
  expect(await influx.deliver(events(1, 50))).toMatchObject({ delivered: 50 });
  expect(await influx.deliver(events(51, 100))).toMatchObject({ delivered: 50 });
  expect(encodings).toEqual(["gzip", null, null]);
});

const damaged = [
  "",
  "{",
  "\0\0",
  "null",
  "[1]",
  '{"telemetry_acme":null}',
  '{"telemetry_acme":{"telemetry":null}}',
  '{"telemetry_acme":{"telemetry":{"n":7}}}',
];

test.each(damaged)("a damaged file of types is no obstacle: %j", async (text) => {
  const server = await startInflux3();
  ends.push(() => server.stop());
  const influx = openInflux({ url: server.url });
  ends.push(() => influx.dispose());
  await Bun.write(join(influx.dataDir, "influx-types.json"), text);
  await influx.restart();
  expect(await influx.deliver(events(1, 2))).toEqual(all);
  expect(server.stored()).toBe(2);
});

test("a long message that quotes devices is not searched for a conflict, which would take seconds to minutes", () => {
  const words = `unable to parse 'telemetry s="${"column: ".repeat(30_000)}; cast error from protocol type: STRING to column type: DOUBLE`;
  expect(suspicionIn(words, null)?.kind).toBe("quoted");
});
