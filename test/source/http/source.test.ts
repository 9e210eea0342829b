/** HTTP ingest at a whole gateway: the answers, what is stored once, and what strangers cannot do. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { reasons } from "../../../src/judge/reasons.ts";
import { statusOfReason } from "../../../src/source/http/answers.ts";
import { aBody } from "../../kit/builders.ts";
import {
  endLater,
  type InProcess,
  registered,
  scratch,
  startInProcess,
  stopAll,
  tokenFor,
} from "../../kit/inprocess.ts";
import { startIngest } from "../../kit/ingest-source.ts";
import { makeCertificates } from "../../kit/tls.ts";
import { until } from "../../kit/until.ts";

let running: InProcess;
let dataDir: string;
let scheme = "http";
afterEach(stopAll);

async function start(env: Record<string, string> = {}): Promise<void> {
  dataDir = scratch();
  await startAgain(env);
  await running.gateway.view.devices.add(registered(["d1", "d2"]));
}

async function startAgain(env: Record<string, string> = {}): Promise<void> {
  const settings = { INGEST_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0", DATA_DIR: dataDir, ...env };
  running = await startInProcess(settings, { withBroker: true });
}

const port = () => running.gateway.sourceAddress("http_ingest")?.port ?? 0;
const envelope = (changes: Record<string, unknown> = {}) =>
  aBody({ device_id: "d1", ts: undefined, provision_token: tokenFor("d1"), ...changes });
const d1 = "/ingest/v1/tenant/acme/device/d1/telemetry";

async function post(path: string, body: string | Uint8Array | object, headers: Record<string, string> = {}) {
  const sent = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  const url = `${scheme}://127.0.0.1:${port()}${path}`;
  const response = await fetch(url, {
    method: "POST",
    body: sent,
    headers,
    tls: { rejectUnauthorized: false },
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer };
}
interface Answer {
  readonly status?: string | number;
  readonly reason?: string;
  readonly detail?: string;
  readonly accepted?: number;
  readonly rejected?: number;
  readonly results?: readonly { readonly status: string; readonly reason?: string }[];
}

/** What is in the local store, oldest first, once everything is there. */
async function rows(): Promise<{ topic: string; device_id: string; payload: string }[]> {
  await until(() => Object.values(running.stats().sinks).every(({ waiting }) => waiting === 0));
  const db = new Database(join(dataDir, "local.db"), { readonly: true });
  try {
    return db
      .query<{ topic: string; device_id: string; payload: string }, []>(
        "SELECT topic, device_id, payload FROM raw_events ORDER BY rowid",
      )
      .all();
  } finally {
    db.close();
  }
}

describe("one message", () => {
  test("202 once it is on disk, and it is stored like the same message over MQTT", async () => {
    await start();
    expect(await post(d1, envelope())).toMatchObject({ status: 202, body: { status: "accepted" } });
    expect(running.stats().ingest).toMatchObject({ received: 1, accepted: 1 });
    expect(await rows()).toMatchObject([{ topic: "tenant/acme/device/d1/telemetry", device_id: "d1" }]);
    expect(running.stats().balanced).toBe(true);
  });

  test("the token may be in a header, and is stored nowhere", async () => {
    await start();
    const body = envelope({ provision_token: undefined });
    expect((await post(d1, body, { authorization: `Bearer ${tokenFor("d1")}` })).status).toBe(202);
    expect((await post(d1, body, { "x-provision-token": tokenFor("d1") })).status).toBe(202);
    expect((await post(d1, body, { authorization: "Bearer tok-wrong" })).body.reason).toBe("TOKEN_INVALID");
    expect((await post(d1, body)).body.reason).toBe("TOKEN_MISSING");
    expect(JSON.stringify(await rows())).not.toContain(tokenFor("d1"));
  });

  test("each kind of reject has its status; a sender learns the reason and no more", async () => {
    await start();
    const cases: [number, string, unknown, string?][] = [
      [401, "TOKEN_INVALID", envelope({ provision_token: "x" })],
      [401, "TOKEN_MISSING", envelope({ provision_token: undefined })],
      [403, "SITE_MISMATCH_REGISTRY_VS_PAYLOAD", envelope({ site_id: "elsewhere" })],
      [403, "UNREGISTERED_DEVICE", envelope({ device_id: "d9" }), d1.replace("d1", "d9")],
      [400, "MALFORMED_JSON", "{"],
      [400, "BAD_TOPIC_FORMAT", envelope(), "/ingest/v1/topic/some/where/else"],
      [400, "BAD_TOPIC_FORMAT", envelope(), d1.replace("d1", "a%2Fb")],
      [413, "PAYLOAD_TOO_LARGE", envelope({ text: "x".repeat(300_000) })],
    ];
    for (const [status, reason, body, path = d1] of cases) {
      const answer = await post(path, body as object);
      expect(answer).toMatchObject({ status, body: { status, reason } });
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect(JSON.stringify(answer.body)).not.toContain("lab-1");
    }
    expect(running.stats().ingest.received).toBe(cases.length);
    expect(running.stats().balanced).toBe(true);
  });

  test("a revoked device is rejected, one that sends too much learns when to retry", async () => {
    await start({ RATE_LIMIT_RPS: "0.01", RATE_LIMIT_BURST: "1", RATE_LIMIT_BACKLOG_SECONDS: "0" });
    expect((await post(d1, envelope())).status).toBe(202);
    const limited = await post(d1, envelope());
    expect(limited).toMatchObject({ status: 429, body: { reason: "RATE_LIMITED" } });
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
    await running.gateway.view.devices.update({ tenantId: "acme", deviceId: "d2" }, { status: "REVOKED" });
    const revoked = envelope({ device_id: "d2", provision_token: tokenFor("d2") });
    expect(await post(d1.replace("d1", "d2"), revoked)).toMatchObject({
      status: 403,
      body: { reason: "DEVICE_REVOKED" },
    });
  });

  test("the topic of another system is treated as over MQTT", async () => {
    await start();
    expect((await post("/ingest/v1/topic/tenant/acme/device/d1/telemetry", envelope())).status).toBe(202);
    expect(await rows()).toMatchObject([{ topic: "tenant/acme/device/d1/telemetry" }]);
  });
});

describe("a mapping's topic", () => {
  const file = `tenant = "acme"
[[mapping]]
topic = "me/telemetry"
proof = "connection"
[[mapping]]
topic = "gateway/telemetry"
each = "/{device}/*"
proof = "broker"
[[mapping]]
topic = "own/{device}"
token = "/key"
metrics = "/m"
`;
  const startMapped = async () => {
    const path = join(scratch(), "mappings.toml");
    writeFileSync(path, file);
    await start({ MAPPINGS_FILE: path });
  };
  const bearer = (device: string) => ({ authorization: `Bearer ${tokenFor(device)}` });
  const me = "/ingest/v1/topic/me/telemetry";
  const gateway = "/ingest/v1/topic/gateway/telemetry";

  test("the token in the header proves its sender as CONNECT does, whatever the mapping wants for proof", async () => {
    await startMapped();
    expect((await post(me, { t: 1 }, bearer("d1"))).body.status).toBe("accepted");
    expect((await post(me, { t: 2 }, { "x-provision-token": tokenFor("d2") })).body.status).toBe("accepted");
    const two = { d1: [{ t: 3 }], d2: [{ t: 4 }] };
    expect((await post(gateway, two, bearer("d1"))).body.status).toBe("accepted");
    const shown = { key: tokenFor("d2"), m: { t: 5 } };
    expect((await post("/ingest/v1/topic/own/d2", shown)).body.status).toBe("accepted");
    expect((await rows()).map(({ device_id }) => device_id)).toEqual(["d1", "d2", "d1", "d2", "d2"]);
    expect(running.stats().balanced).toBe(true);
  });

  test("without a token, with a wrong one or a revoked device's it is not taken", async () => {
    await startMapped();
    const reasonOf = async (path: string, body: object, headers = {}) =>
      (await post(path, body, headers)).body.reason;
    const wrong = { authorization: "Bearer tok-wrong" };
    expect(await reasonOf(me, { t: 1 })).toBe("TOKEN_MISSING");
    expect(await reasonOf(me, { t: 1 }, wrong)).toBe("TOKEN_INVALID");
    expect(await reasonOf(gateway, { d1: [{ t: 1 }] })).toBe("TOKEN_MISSING");
    expect(await reasonOf(gateway, { d1: [{ t: 1 }] }, wrong)).toBe("TOKEN_INVALID");
    expect(await reasonOf("/ingest/v1/topic/own/d2", { m: { t: 5 } }, bearer("d1"))).toBe("TOKEN_INVALID");
    await running.gateway.view.devices.update({ tenantId: "acme", deviceId: "d1" }, { status: "REVOKED" });
    await until(async () => (await reasonOf(me, { t: 1 }, bearer("d1"))) === "TOKEN_INVALID");
    expect(await rows()).toHaveLength(0);
  });
});

test("every status in the table belongs to a reason of the judge", () => {
  const codes = new Set(reasons.map(({ code }) => code));
  for (const code of Object.keys(statusOfReason)) expect(codes).toContain(code);
});

describe("a batch", () => {
  test.each([
    ["a JSON array", (items: string[]) => ` [ ${items.join(" ,\n ")} ] \n`],
    ["lines of JSON", (items: string[]) => `${items.join("\r\n")}\n\n`],
  ])(
    "%s: an outcome per message, one reject affects no other message, numbers keep their digits",
    async (_, joined) => {
      await start();
      const good = JSON.stringify(envelope({ metrics: { note: 'a "]," b\\\\' } }));
      const items = [
        good,
        JSON.stringify(envelope({ provision_token: "x" })),
        good.replace('"seq":120', '"seq":120,"big":12345678901234567890,"one":1.0'),
        JSON.stringify(envelope({ msg_type: undefined })),
      ];
      const { status, body } = await post("/ingest/v1/batch", joined(items));
      expect(status).toBe(202);
      expect(body).toMatchObject({ accepted: 2, rejected: 2 });
      expect(body.results?.map((result) => result.reason ?? result.status)).toEqual([
        "accepted",
        "TOKEN_INVALID",
        "accepted",
        "BAD_TOPIC_FORMAT",
      ]);
      const stored = await rows();
      expect(stored).toHaveLength(2);
      expect(stored[1]?.payload).toContain('"big":12345678901234567890,"one":1.0');
    },
  );

  test("a line that is not JSON, and an item that is no object, are rejected by themselves and by the names that they show", async () => {
    await start();
    const good = JSON.stringify(envelope());
    const lines = [good, good.replace(/}$/, ",}"), "17", '{"a":NaN}', good.slice(0, -9), good];
    const array = `[${good},17,[],${good}]`;
    const outcomes = async (body: string) =>
      (await post("/ingest/v1/batch", body)).body.results?.map(({ reason, status }) => reason ?? status);
    const broken = ["MALFORMED_JSON", "NOT_AN_OBJECT", "MALFORMED_JSON", "MALFORMED_JSON"];
    expect(await outcomes(lines.join("\n"))).toEqual(["accepted", ...broken, "accepted"]);
    expect(await outcomes(array)).toEqual(["accepted", "NOT_AN_OBJECT", "NOT_AN_OBJECT", "accepted"]);
    expect(await rows()).toHaveLength(4);
    expect(running.stats()).toMatchObject({ balanced: true, ingest: { received: 10 } });
    const listed = running.gateway.view.rejects.list({ limit: 10 });
    expect(listed).toContainEqual(
      expect.objectContaining({ reason: "MALFORMED_JSON", tenant_id: "acme", device_id: "d1", count: 2 }),
    );
  });

  test.each([
    ["not JSON", "[{}, {]", 400],
    ["lines of which none is an object", '{\n"device_id": "d1"\n}\n', 400],
    ["no object", "[1]", 400],
    ["an item that is not JSON", '[{"a":1},{"b":}]', 400],
    ["cut off", '[{"a":1},', 400],
    ["a comma too many", '[{"a":1},]', 400],
    ["something behind it", '[{"a":1}] x', 400],
    ["empty", "[]", 400],
    ["nothing", "", 400],
    ["too many", `[${"{},".repeat(10_000)}{}]`, 413],
    ["far too many", `[${"{},".repeat(2_500_000)}{}]`, 413],
    ["far too many blank lines", `{}${"\n".repeat(8_000_000)}`, 413],
    ["far too many lines", "{}\n".repeat(2_500_000), 413],
  ])("%s: a clear answer, and none of it is taken", async (_, body, status) => {
    await start();
    const answer = await post("/ingest/v1/batch", body);
    expect(answer.status).toBe(status);
    expect(answer.body.detail).toMatch(/batch/);
    expect(running.stats().ingest.received).toBe(0);
  });
});

test("of a batch, a message that is too large is rejected by its size and by its name, without being parsed", async () => {
  await start();
  const large = `{"device_id":"d2","tenant_id":"acme","msg_type":"telemetry","metrics":[${"{},".repeat(100_000)}no JSON`;
  const { body } = await post("/ingest/v1/batch", `${JSON.stringify(envelope())}\n${large}\n`);
  expect(body.results).toEqual([{ status: "accepted" }, { status: "rejected", reason: "PAYLOAD_TOO_LARGE" }]);
  const listed = () => running.gateway.view.rejects.list({ limit: 10 });
  await until(() => listed().length > 0);
  expect(listed()).toMatchObject([{ reason: "PAYLOAD_TOO_LARGE", tenant_id: "acme", device_id: "d2" }]);
});

test("while a large batch is taken in, others are heard", async () => {
  await start();
  const lines = Array.from({ length: 10_000 }, (_, n) => JSON.stringify(envelope({ device_id: `x${n}` })));
  const answered: string[] = [];
  const batch = post("/ingest/v1/batch", lines.join("\n")).then(() => answered.push("batch"));
  // Once it has been read, and is being judged.
  await until(() => running.stats().ingest.received > 0);
  await post(d1, envelope()).then(() => answered.push("single"));
  await batch;
  expect(answered).toEqual(["single", "batch"]);
});

describe("packed bodies", () => {
  test("gzip and zstd are unpacked", async () => {
    await start();
    const body = Buffer.from(JSON.stringify(envelope()));
    expect((await post(d1, gzipSync(body), { "content-encoding": "gzip" })).status).toBe(202);
    expect((await post(d1, zstdCompressSync(body), { "content-encoding": "zstd" })).status).toBe(202);
    for (const word of ["GZIP", "x-gzip"])
      expect((await post(d1, gzipSync(body), { "content-encoding": word })).status).toBe(202);
    expect(await rows()).toHaveLength(4);
  });

  test("a body that unpacks to more than is allowed, is not what it claims, or is packed otherwise is an error", async () => {
    await start();
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    expect((await post(d1, bomb, { "content-encoding": "gzip" })).status).toBe(413);
    expect((await post(d1, "plain", { "content-encoding": "gzip" })).status).toBe(400);
    for (const packing of ["br", "constructor", "toString", "__proto__"])
      expect((await post(d1, "plain", { "content-encoding": packing })).status).toBe(415);
    expect((await post(d1, Buffer.alloc(9 * 1024 * 1024, " "))).status).toBe(413);
    const wide = zstdCompressSync(Buffer.alloc(50_000_000), { params: { [constants.ZSTD_c_windowLog]: 27 } });
    const refused = await post(d1, wide, { "content-encoding": "zstd" });
    expect(refused).toMatchObject({ status: 413, body: { detail: expect.stringContaining("window") } });
    expect(running.stats().ingest.received).toBe(0);
  });

  const packings = [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const;

  test.each(packings)(
    "of %s that was cut, or has something else behind it, nothing is taken",
    async (word, pack) => {
      await start();
      // More than a block of zstd: the first ones could be unpacked.
      const lines = Array.from({ length: 3_000 }, (_, seq) => JSON.stringify(envelope({ seq }))).join("\n");
      const packed = pack(Buffer.from(lines));
      for (const body of [
        packed.subarray(0, -1),
        packed.subarray(0, -500),
        Buffer.concat([packed, Buffer.from("{}")]),
        Buffer.concat([packed, Buffer.alloc(512), packed]),
      ])
        expect((await post("/ingest/v1/batch", body, { "content-encoding": word })).status).toBe(400);
      expect(running.stats().ingest.received).toBe(0);
    },
  );

  test("gzip that is padded with zeros is taken", async () => {
    await start();
    const padded = Buffer.concat([gzipSync(JSON.stringify(envelope())), Buffer.alloc(512)]);
    expect((await post(d1, padded, { "content-encoding": "gzip" })).status).toBe(202);
  });

  test.each(packings)("%s of several parts is taken whole", async (word, pack) => {
    await start();
    const parts = [1, 2, 3].map((seq) => pack(Buffer.from(`${JSON.stringify(envelope({ seq }))}\n`)));
    const { body } = await post("/ingest/v1/batch", Buffer.concat(parts), { "content-encoding": word });
    expect(body).toMatchObject({ accepted: 3, rejected: 0 });
  });
});

describe("Idempotency-Key", () => {
  const key = { "idempotency-key": "reading-17" };

  test("the same key gets the same answer and is stored once, even after a restart", async () => {
    await start();
    const bad = envelope({ provision_token: "x" });
    const answers = async () => [
      (await post(d1, envelope(), key)).body.status,
      (await post(d1, bad, key)).body.reason,
      (await post("/ingest/v1/batch", [envelope(), bad, envelope({ seq: 121 })], key)).body.results,
    ];
    const first = await answers();
    expect(first).toMatchObject([
      "accepted",
      "TOKEN_INVALID",
      [{ status: "accepted" }, { reason: "TOKEN_INVALID" }, {}],
    ]);
    expect(await answers()).toEqual(first);
    await running.gateway.stop();
    await startAgain();
    expect(await answers()).toEqual(first);
    expect(running.stats().ingest).toMatchObject({
      accepted: 3,
      duplicate: 10,
      rejected: { TOKEN_INVALID: 2 },
    });
    expect(await rows()).toHaveLength(3);
  });

  test("without a key the same message counts twice, and another sender's key makes no difference", async () => {
    await start();
    await post(d1, envelope());
    await post(d1, envelope());
    const stranger = envelope({ provision_token: undefined });
    await post(d1, stranger, { ...key, authorization: "Bearer tok-wrong" });
    await post(d1, stranger, { ...key, authorization: `Bearer ${tokenFor("d1")}` });
    expect(await rows()).toHaveLength(3);
  });

  test("the same key is the same message however the URL is spelled", async () => {
    await start();
    const spellings = [d1, `http://gateway.example${d1}`, `${d1}?via=proxy`, d1.replace("d1", "%641")];
    for (const target of spellings)
      expect((await atOnce([whole(target, envelope(), "Idempotency-Key: reading-17\r\n")])).answers).toBe(1);
    expect(running.stats().ingest).toMatchObject({ accepted: 1, duplicate: 3 });

    const batches = ["/ingest/v1/batch", "/ingest/v1/%62atch"];
    for (const path of batches) expect((await post(path, [envelope()], key)).status).toBe(202);
    expect(await rows()).toHaveLength(2);
  });

  test("a message that is to be sent again later is judged anew then, under the same key", async () => {
    await start({ RATE_LIMIT_RPS: "0.3", RATE_LIMIT_BURST: "1", RATE_LIMIT_BACKLOG_SECONDS: "0" });
    expect((await post(d1, envelope())).status).toBe(202);
    const again = () => post(d1, envelope({ seq: 17 }), key);
    expect(await again()).toMatchObject({ status: 429, body: { reason: "RATE_LIMITED" } });
    await until(async () => (await again()).status === 202);
    expect((await again()).body.status).toBe("accepted");
    expect(await rows()).toHaveLength(2);
  });

  test("an invalid key is an error", async () => {
    await start();
    expect((await post(d1, envelope(), { "idempotency-key": "k".repeat(256) })).status).toBe(400);
  });
});

test("any other request gets an error, and nothing is taken", async () => {
  await start();
  expect((await post("/ingest/v1/elsewhere", "{}")).status).toBe(404);
  expect((await post("/", "{}")).status).toBe(404);
  expect((await post("/ingest/v1/tenant/%ff/device/d/t", "{}")).status).toBe(400);
  const got = await fetch(`http://127.0.0.1:${port()}${d1}`);
  expect([got.status, ((await got.json()) as Answer).detail]).toEqual([405, "messages are sent with POST."]);
  expect(got.headers.get("allow")).toBe("POST");
  expect((await post("/admin/devices", "{}")).status).toBe(404);
  expect(running.stats().sources).toMatchObject([
    { kind: "broker" },
    { kind: "http_ingest", requests_refused: 5 },
  ]);
});

test("while the spool cannot be written senders are asked to retry", async () => {
  await start({
    SPOOL_MAX_BYTES: "1MB",
    MAX_PAYLOAD_BYTES: "262144",
    INFLUXDB_URL: "http://127.0.0.1:9",
  });
  const filler = () => envelope({ text: Array.from({ length: 2_000 }, () => Math.random()).join() });
  let last = await post(d1, filler());
  for (let i = 0; i < 200 && last.status === 202; i++) last = await post(d1, filler());
  expect(last).toMatchObject({ status: 503 });
  expect(Number(last.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await post(d1, envelope())).body.detail).toContain("nothing can be stored now");
}, 60_000);

test("connections beyond the bound are closed, and one that sends its head slowly holds nobody up", async () => {
  await start({ INGEST_MAX_CONNECTIONS: "3" });
  let closed = 0;
  const sockets = Array.from({ length: 8 }, () => {
    const socket = connect(port(), "127.0.0.1", () => socket.write("POST /ingest"));
    socket.on("error", () => {}).on("close", () => closed++);
    endLater(() => socket.destroy());
    return socket;
  });
  await until(() => closed === 5);
  expect(running.stats().sources[1]).toMatchObject({ kind: "http_ingest", refused_connects: 5 });
  for (const socket of sockets) socket.destroy();
  await until(() => closed === 8);
  expect((await post(d1, envelope())).status).toBe(202);
});

test("connections find no room beyond half of what the process may open, whatever the setting says", async () => {
  const kit = join(import.meta.dir, "../../kit/ingest-source.ts");
  const script = `
    import { connect } from "node:net";
    const { port } = await (await import("${kit}")).startIngest([], 1024);
    const sockets = Array.from({ length: 60 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    let closed = 0;
    for (const socket of sockets) socket.on("close", () => closed++);
    for (let i = 0; i < 500 && closed < 24; i++) await Bun.sleep(20);
    process.stdout.write(String(sockets.length - closed));
    process.exit(0);`;
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 200; exec "$0" -e "$1"', process.execPath, script]);
  expect(await new Response(child.stdout).text()).toBe("36");
}, 60_000);

test.each([
  ["", 18],
  ["127.0.0.1:0", 9],
])(
  "the embedded broker leaves that half to it (INGEST_LISTEN=%s)",
  async (listen, kept) => {
    const kit = join(import.meta.dir, "../../kit/inprocess.ts");
    // Of the 72 or 36 that the broker may have, a quarter is for strangers of one address.
    const script = `
    import { connect } from "node:net";
    const { startInProcess } = await import("${kit}");
    const env = { BROKER_LISTEN: "127.0.0.1:0", DATA_DIR: "${scratch()}"${listen && `, INGEST_LISTEN: "${listen}"`} };
    const { gateway } = await startInProcess(env, { withBroker: true });
    const { port } = gateway.sourceAddress("broker");
    const sockets = Array.from({ length: 30 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    let closed = 0;
    for (const socket of sockets) socket.on("close", () => closed++);
    for (let i = 0; i < 1000 && closed < 30 - ${kept}; i++) await Bun.sleep(20);
    await Bun.sleep(300);
    process.stdout.write(String(sockets.length - closed));
    process.exit(0);`;
    const child = Bun.spawn(["sh", "-c", 'ulimit -n 200; exec "$0" -e "$1"', process.execPath, script]);
    expect(await new Response(child.stdout).text()).toBe(String(kept));
  },
  60_000,
);

/** All requests at once, and what is answered to them until the last one is or the connection ends. */
async function atOnce(requests: readonly string[]): Promise<{ answers: number; isClosed: boolean }> {
  let [text, isClosed] = ["", false];
  const socket = connect(port(), "127.0.0.1", () => socket.write(requests.join("")));
  socket.on("data", (chunk) => (text += chunk.toString())).on("error", () => {});
  socket.on("close", () => (isClosed = true));
  endLater(() => socket.destroy());
  const answers = () => text.split("HTTP/1.1 202 ").length - 1;
  await until(() => isClosed || answers() === requests.length);
  return { answers: answers(), isClosed };
}

function whole(target: string, envelopeSent: object, headers = ""): string {
  const body = JSON.stringify(envelopeSent);
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  return `POST ${target} HTTP/1.1\r\nHost: x\r\n${headers}${length}\r\n\r\n${body}`;
}

test("a connection may be some requests ahead of its answers, and no more", async () => {
  await start();
  expect(await atOnce(Array.from({ length: 16 }, () => whole(d1, envelope())))).toEqual({
    answers: 16,
    isClosed: false,
  });
  for (const target of [d1, "/nowhere"]) {
    const many = Array.from({ length: 1_000 }, () => whole(target, envelope()));
    expect(await atOnce(many)).toMatchObject({ isClosed: true });
  }
  await until(() => JSON.stringify(running.stats().sources).includes("; 0 requests"));
  expect(running.stats().ingest.received).toBe(32);
});

test.each([
  ["a zero byte, as behind a text in C", ["\0"]],
  ["what is no HTTP", ["xx"]],
  ["a request, although it said that it was its last", [whole(d1, envelope())]],
  ["a request whose body is no body in chunks", [whole(d1, envelope(), "Transfer-Encoding: chunked\r\n")]],
])("%s, behind messages that came whole, does not keep them from their answers", async (name, behind) => {
  await start();
  const close = name.includes("last") ? "Connection: close\r\n" : "";
  const sent = [whole(d1, envelope()), whole(d1, envelope(), close), ...behind];
  expect(await atOnce(sent)).toEqual({ answers: 2, isClosed: true });
  expect(running.stats().ingest.received).toBe(2);
});

test("behind a request whose answer ends the connection nothing is taken, for it would have no answer", async () => {
  await start();
  const [good, bad] = [() => whole(d1, envelope()), whole("/nowhere", envelope())];
  expect(await atOnce([good(), good(), bad, good()])).toEqual({ answers: 2, isClosed: true });
  expect(running.stats().ingest.received).toBe(2);
});

test("a body in chunks of one byte is taken, and one in a million of them ends its connection", async () => {
  await start();
  const body = [...JSON.stringify(envelope())].map((byte) => `1\r\n${byte}\r\n`).join("");
  const head = `POST ${d1} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
  expect((await atOnce([`${head}${body}0\r\n\r\n`])).answers).toBe(1);
  const crumbs = "1\r\n \r\n".repeat(1_000_000);
  expect(await atOnce([`${head}${crumbs}${body}0\r\n\r\n`])).toEqual({ answers: 0, isClosed: true });
});

test("the target may be absolute, as a proxy is asked", async () => {
  await start();
  expect((await atOnce([whole(`http://gateway.example:8081${d1}`, envelope())])).answers).toBe(1);
});

test.each([
  ["no HTTP", "\u0016\u0003\u0001hello\r\n\r\n", 400],
  [
    "a head that is too long",
    `POST ${d1} HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(100_000)}\r\n\r\n`,
    431,
  ],
  [
    "two lengths",
    `POST ${d1} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`,
    400,
  ],
])("%s: an answer, and the connection is closed", async (_, sent, status) => {
  await start();
  let answer = "";
  let isClosed = false;
  // Of a sender that never closes on his side.
  const socket = connect({ port: port(), host: "127.0.0.1", allowHalfOpen: true }, () => socket.write(sent));
  socket.on("data", (chunk) => (answer += chunk.toString())).on("error", () => (isClosed = true));
  socket.on("end", () => (isClosed = true));
  endLater(() => socket.destroy());
  await until(() => isClosed && answer !== "");
  expect(answer).toStartWith(`HTTP/1.1 ${status} `);
  expect((await post(d1, envelope())).status).toBe(202);
});

describe("TLS", () => {
  test("with a certificate HTTPS is spoken, and the next client sees a renewed one", async () => {
    const [first, second] = [makeCertificates(), makeCertificates()];
    endLater(first.remove);
    endLater(second.remove);
    const [cert, key] = [join(scratch(), "cert.pem"), join(scratch(), "key.pem")];
    const install = async ({ serverCert, serverKey }: typeof first) => {
      await Bun.write(cert, Bun.file(serverCert));
      await Bun.write(key, Bun.file(serverKey));
    };
    await install(first);
    await start({ INGEST_TLS_CERT: cert, INGEST_TLS_KEY: key });
    scheme = "https";
    endLater(() => (scheme = "http"));
    expect((await post(d1, envelope())).status).toBe(202);
    expect(running.stats().sources[1]?.["detail"]).toContain("https://");
    const trusts = (ca: string) =>
      new Promise<boolean>((resolve) => {
        const trusted = { port: port(), host: "localhost", servername: "localhost", ca: readFileSync(ca) };
        const socket = connectTls(trusted, () => {
          resolve(true);
          socket.destroy();
        });
        socket.on("error", () => resolve(false));
      });
    expect([await trusts(first.ca), await trusts(second.ca)]).toEqual([true, false]);
    await install(second);
    await running.gateway.reload({ mistakes: ["of no matter here"], warnings: [] });
    await until(() => trusts(second.ca));
    expect(await trusts(first.ca)).toBe(false);
  });

  test("while it listens anew with a renewed one it is not said to be connected", async () => {
    const [first, second] = [makeCertificates(), makeCertificates()];
    endLater(first.remove);
    endLater(second.remove);
    const [cert, key] = [first.serverCert, first.serverKey];
    const ends: (() => unknown)[] = [];
    endLater(() => Promise.all(ends.map((end) => end())));
    const { source } = await startIngest(ends, 1024, { INGEST_TLS_CERT: cert, INGEST_TLS_KEY: key });
    writeFileSync(cert, readFileSync(second.serverCert));
    writeFileSync(key, readFileSync(second.serverKey));
    source.renewTls?.();
    expect(source.status()).toMatchObject({ connected: false, detail: "HTTP ingest is not running" });
    await until(() => source.status().connected);
  });

  test("a certificate without its key is a mistake of the configuration", async () => {
    const { serverCert, remove } = makeCertificates();
    endLater(remove);
    dataDir = scratch();
    expect(startAgain({ INGEST_TLS_CERT: serverCert })).rejects.toThrow("belong together");
  });
});
