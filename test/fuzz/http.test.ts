/** Malformed bytes at the HTTP port: they cost at most their own connection, and /healthz answers meanwhile. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { type HttpServer, startHttpServer } from "../../src/http/server.ts";
import { type Random, seededRandom } from "../../src/simulator/random.ts";
import { fakeView } from "../kit/view.ts";

const runs = Math.min(Number(process.env["FUZZ_RUNS"] ?? 2_000), 20_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 1);
/** Connections at the same time. */
const side = 20;
const patienceMs = 20;

const dir = mkdtempSync(join(tmpdir(), "sluice-http-fuzz-"));
const uncaught: unknown[] = [];
const keep = (error: unknown) => void uncaught.push(error);
let server: HttpServer;

beforeAll(() => {
  process.on("uncaughtException", keep).on("unhandledRejection", keep);
  server = startHttpServer({
    settings: { listen: "127.0.0.1:0", adminToken: undefined, readToken: undefined },
    view: fakeView().view,
    auditFile: join(dir, "audit.ndjson"),
    clock: systemClock,
    log: silentLog,
  });
});
afterAll(async () => {
  await server.stop();
  process.off("uncaughtException", keep).off("unhandledRejection", keep);
  rmSync(dir, { recursive: true });
});

const methods = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "PATCH",
  "HEAD",
  "OPTIONS",
  "CONNECT",
  "TRACE",
  "get",
  "G\0T",
  "",
] as const;
const paths: readonly [string, ...string[]] = [
  "/healthz",
  ..."/readyz /stats /metrics /admin/devices /admin/devices/import /admin/cache/clear /admin/settings /docs * //".split(
    " ",
  ),
  "/admin/devices/a/b?limit=-1",
  "/admin/devices/%00/%ff",
  "/stats?%",
  "/../../etc/passwd",
  `/${"a".repeat(20_000)}`,
  "http://other.example/stats",
  "/\u0001",
];
const headers = [
  "Content-Length: 10",
  "Content-Length: -1",
  "Content-Length: 99999999999999999999",
  "Content-Length: 3\r\nContent-Length: 4",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked, gzip",
  "Content-Encoding: gzip",
  "Content-Type: application/json",
  "Content-Type: text/csv",
  "Content-Type: ",
  "Expect: 100-continue",
  "Connection: close",
  "Upgrade: websocket\r\nConnection: Upgrade",
  `X-Large: ${"x".repeat(40_000)}`,
  "Authorization: Bearer \u00ff",
  'If-Match: "',
  " folded",
  "no colon",
  ": no name",
] as const;
const bodies = [
  "",
  "{}",
  "[",
  "null",
  '{"a":',
  "ffffffff\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "-1\r\n",
  "\0\0\0",
  `"${"b".repeat(100_000)}"`,
] as const;

/** One or several requests in one stream, spoilt here and there, perhaps cut off. */
function conversation(chance: Random): Buffer {
  const requests = Array.from({ length: chance.whole(1, 4) }, () => {
    const lines = [
      `${chance.pick(methods)} ${chance.pick(paths)} ${chance.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", ""])}`,
    ];
    if (chance.next() < 0.8)
      lines.push(`Host: ${chance.pick(["127.0.0.1", "localhost:1", "evil.example", ""])}`);
    while (chance.next() < 0.5) lines.push(chance.pick(headers));
    return `${lines.join(chance.pick(["\r\n", "\r\n", "\r\n", "\n"]))}\r\n\r\n${chance.pick(bodies)}`;
  });
  let bytes = Buffer.from(requests.join(""), "latin1");
  while (chance.next() < 0.3) bytes[chance.whole(0, bytes.length - 1)] = chance.whole(0, 255);
  if (chance.next() < 0.3) bytes = bytes.subarray(0, chance.whole(0, bytes.length));
  return bytes;
}

/** Sends the bytes, in one piece or two; ends when the server closes, or after it had a moment to act on them. @returns what it answered */
function say(port: number, bytes: Buffer, cut: number): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.on("data", (piece) => void (answer += piece.toString("latin1")));
    socket.on("close", () => resolve(answer));
    socket.write(bytes.subarray(0, cut), () =>
      setImmediate(() =>
        socket.write(bytes.subarray(cut), () => setTimeout(() => socket.destroy(), patienceMs)),
      ),
    );
  });
}

test(`${runs} malformed conversations of seed ${seed} never throw, and health is answered beside them`, async () => {
  const chance = seededRandom(seed);
  const port = Number(server.address.split(":").at(-1));
  const statuses = new Set<string>();
  for (let done = 0; done < runs; done += side) {
    const talks = Array.from({ length: side }, () => {
      const bytes = conversation(chance);
      return say(port, bytes, chance.next() < 0.5 ? bytes.length : chance.whole(0, bytes.length));
    });
    const health = await fetch(`http://${server.address}/healthz`);
    expect([health.status, uncaught]).toEqual([200, []]);
    for (const answer of await Promise.all(talks)) {
      for (const [, status = ""] of answer.matchAll(/HTTP\/1\.1 (\d{3})/g)) statuses.add(status);
    }
  }
  // Enough got past the parser for a meaningful run, and nothing of ours broke on it.
  expect([...statuses]).toEqual(expect.arrayContaining(["200", "400", "403", "404", "405"]));
  expect(statuses).not.toContain("500");
});
