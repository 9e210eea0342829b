/** The listener itself: addresses, and the part of the guards that needs a real connection. */
import { mkdtempSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { isLoopback, parseListen } from "../../src/core/net/listen.ts";
import { type HttpServer, startHttpServer } from "../../src/http/server.ts";
import type { DeviceFilter } from "../../src/core/device.ts";
import { RegistryError } from "../../src/admin/registry-error.ts";
import type { GatewayView } from "../../src/admin/views.ts";
import { recordingLog, until } from "../kit/source.ts";
import { fakeView } from "../kit/view.ts";

const { view } = fakeView();
const auditFile = join(mkdtempSync(join(tmpdir(), "sluice-http-")), "audit.ndjson");

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function start(listen: string, adminToken?: string, shown: GatewayView = view, log = silentLog): HttpServer {
  const server = startHttpServer({
    settings: { listen, adminToken, readToken: undefined },
    view: shown,
    auditFile,
    clock: systemClock,
    log,
  });
  servers.push(server);
  return server;
}

describe("HTTP_LISTEN", () => {
  test.each([
    ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["[::1]:0", { host: "::1", port: 0 }],
    [":9000", { host: "0.0.0.0", port: 9000 }],
    ["gateway.lan:80", { host: "gateway.lan", port: 80 }],
  ])("%s", (text, address) => expect(parseListen(text)).toEqual(address));

  test.each(["8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "::1:80", "http://a:80", "a b:80", ""])(
    "%p is not an address",
    (text) => expect(parseListen(text)).toBeUndefined(),
  );

  test.each(["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]", "LocalHost"])("%s is loopback", (host) =>
    expect(isLoopback(host)).toBe(true),
  );
  test.each(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.nip.io", "localhost.example", "1270.0.0.1", ""])(
    "%p is not loopback",
    (host) => expect(isLoopback(host)).toBe(false),
  );
});

test.each(["127.0.0.1:0", "[::1]:0"])("%s: the address has the port that was bound", async (listen) => {
  const { address } = start(listen);
  expect(address).not.toEndWith(":0");
  expect((await fetch(`http://${address}/healthz`)).status).toBe(200);
  expect((await fetch(`http://${address}/stats`, { method: "HEAD" })).status).toBe(200);
});

test("of requests that come together each is answered in a turn of its own, between which devices have theirs", async () => {
  const order: string[] = [];
  const history = () => {
    order.push("answer");
    return [];
  };
  const { address } = start("127.0.0.1:0", undefined, { ...view, history });
  const turn = () => {
    if (order.at(-1) !== "turn") order.push("turn");
    if (order.filter((it) => it === "answer").length < 50) setImmediate(turn);
  };
  setImmediate(turn);
  await Promise.all(
    Array.from({ length: 50 }, async () => (await fetch(`http://${address}/history`)).text()),
  );
  expect(order.join(" ")).not.toContain("answer answer");
});

test("requests whose senders have left are not answered, and keep nobody waiting", async () => {
  let answers = 0;
  const history = () => {
    answers++;
    return [];
  };
  const { address } = start("127.0.0.1:0", undefined, { ...view, history });
  const left = Array.from({ length: 50 }, async () => {
    const socket = connect(parseListen(address)?.port ?? 0, "127.0.0.1");
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write("GET /history HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    socket.destroy();
  });
  await Promise.all(left);
  await (await fetch(`http://${address}/history`)).text();
  expect(answers).toBeLessThan(50);
});

test("a connection that does not wait for its answers ends, and holds nobody up", async () => {
  const { port = 0 } = parseListen(start("127.0.0.1:0").address) ?? {};
  let [answer, isClosed] = ["", false];
  const request = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  const socket = connect(port, "127.0.0.1", () => socket.write(request.repeat(1_000)));
  socket.on("data", (chunk) => (answer += chunk.toString())).on("error", () => {});
  socket.on("close", () => (isClosed = true));
  await until("closed", () => isClosed || answer.split("HTTP/1.1 200 ").length > 1_000);
  expect(isClosed).toBe(true);
});

test("an address that cannot be had is reported with its setting and the remedy", () => {
  const { address } = start("127.0.0.1:0");
  const toldOf = (listen: string, remedy: string) =>
    expect(() => start(listen)).toThrow(`HTTP_LISTEN: cannot listen on ${listen}: ${remedy} (`);
  toldOf(address, "another program listens there: stop it, or choose another port");
  // An address of RFC 5737, which no host has, and a name of RFC 6761.
  toldOf("192.0.2.1:80", "no network interface of this host has that address (yet)");
  toldOf("none.invalid:80", "the host name does not resolve to an address of this host (yet)");
});

test("over a real connection a foreign Host is refused and wrong tokens are counted by address", async () => {
  const open = start("127.0.0.1:0");
  const headers = { host: "attacker.example" };
  expect((await fetch(`http://${open.address}/stats`, { headers })).status).toBe(403);

  const closed = start("127.0.0.1:0", "a-token-of-some-length");
  const status = async (token: string) => {
    const url = `http://${closed.address}/admin/cache/stats`;
    return (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  expect(await status("a-token-of-some-length")).toBe(200);
  for (let i = 0; i < 10; i += 1) expect(await status("wrong")).toBe(401);
  expect(await status("wrong")).toBe(429);
  expect(await status("a-token-of-some-length")).toBe(200);
});

test("a registry that is away is not logged for each thing that a page asks for", async () => {
  const away = () => Promise.reject(new RegistryError("unread", new Error("refused")));
  const shown = {
    ...view,
    devices: { ...view.devices, list: away },
    settings: { ...view.settings, list: away },
  };
  const { log, lines } = recordingLog();
  const { address } = start("127.0.0.1:0", undefined, shown, log);
  for (const path of ["devices", "settings", "devices"])
    expect((await fetch(`http://${address}/admin/${path}`)).status).toBe(503);
  expect(lines.map(({ msg, path, error }) => ({ msg, path, error }))).toEqual([
    {
      msg: "the registry did not carry out a request made over HTTP",
      path: "/admin/devices",
      error: expect.stringContaining("refused"),
    },
  ]);
});

test("an export that cannot be finished is cut off, so that it does not look whole", async () => {
  const { view: whole, registry } = fakeView();
  const ids = Array.from({ length: 1_500 }, (_, n) => ({ tenantId: "acme", deviceId: `d${n}`, siteId: "s" }));
  await registry.add(ids);
  let pages = 0;
  const list = (filter: DeviceFilter) =>
    ++pages > 1 ? Promise.reject(new RegistryError("unread", new Error("gone"))) : whole.devices.list(filter);
  const { address } = start("127.0.0.1:0", undefined, { ...whole, devices: { ...whole.devices, list } });
  const response = await fetch(`http://${address}/admin/devices/export`);
  expect(response.status).toBe(200);
  expect(
    await response.text().then(
      () => "whole",
      () => "cut off",
    ),
  ).toBe("cut off");
});

test.each([
  ["import?make_tokens=true", "application/x-ndjson", {}],
  ["", "application/json", { make_token: true }],
])(
  "a device whose token was made for a client that left before the answer is removed again: devices/%s",
  async (path, media, more) => {
    const { view: whole, registry } = fakeView();
    let isReached = () => {};
    const reached = new Promise<void>((resolve) => (isReached = resolve));
    let goOn = () => {};
    const add: typeof whole.devices.add = async (some) => {
      isReached();
      await new Promise<void>((resolve) => (goOn = resolve));
      return whole.devices.add(some);
    };
    let removed = 0;
    const remove: typeof whole.devices.remove = (id) =>
      whole.devices.remove(id).finally(() => (removed += 1));
    const { address } = start("127.0.0.1:0", undefined, {
      ...whole,
      devices: { ...whole.devices, add, remove },
    });
    const leaving = new AbortController();
    const answer = fetch(`http://${address}/admin/devices${path && `/${path}`}`, {
      method: "POST",
      headers: { "content-type": media },
      body: JSON.stringify({ tenant_id: "acme", device_id: "d1", site_id: "s", ...more }),
      signal: leaving.signal,
    }).catch(() => "left");
    await reached;
    leaving.abort();
    expect(await answer).toBe("left");
    await Bun.sleep(50);
    goOn();
    await until("it is removed", () => removed === 1);
    expect(await registry.list({ limit: 10 })).toEqual([]);
  },
);

test("a body without a length that is too large is refused", async () => {
  const { address } = start("127.0.0.1:0");
  const body = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i += 1) controller.enqueue(new Uint8Array(10_000));
      controller.close();
    },
  });
  expect((await fetch(`http://${address}/admin/cache/clear`, { method: "POST", body })).status).toBe(413);
});

test("a request of HTTP/1.0 without Host is answered", async () => {
  const { address } = start("127.0.0.1:0");
  const said = await raw(address, "GET /healthz HTTP/1.0\r\n\r\n");
  expect(said).toContain("200 OK");
  expect(said).toContain('{"status":"ok"}');
});

test.each([
  ["/admin/devices", "Content-Length: 500\r\n\r\n{"],
  ["/admin/devices", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
  ["/admin/devices/import", "Content-Length: 500\r\n\r\n{"],
  ["/admin/devices/import", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
])("requests to %s that are cut off (%p) leave no errors in the log", async (path, rest) => {
  const { log, lines } = recordingLog();
  const { address } = start("127.0.0.1:0", undefined, undefined, log);
  const type = path.endsWith("import") ? "application/x-ndjson" : "application/json";
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n${rest}`;
  for (let i = 0; i < 30; i += 1) await raw(address, head, true);
  expect((await fetch(`http://${address}/healthz`)).status).toBe(200);
  expect(lines.filter(({ audit }) => audit === undefined)).toEqual([]);
});

/** The answer to these bytes; "" if they are `cut` off instead. */
function raw(address: string, text: string, cut = false): Promise<string> {
  const [host = "", port] = address.split(":");
  const socket = connect({ host, port: Number(port) });
  let said = "";
  socket.on("error", () => {});
  socket.on("data", (piece: Buffer) => void (said += piece.toString()));
  socket.write(text, () => cut && setTimeout(() => socket.destroy(), 5));
  return new Promise((resolve) => socket.once("close", () => resolve(said)));
}
