/**
 * Walks the requests of /docs at a real gateway, as somebody would who pastes its curl lines. `bun run test/http-examples.ts` keeps the
 * answers in src/http/examples.json, which /docs and /openapi.json show.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenApi } from "../src/http/openapi.ts";
import { exampleRequests } from "../src/http/requests.ts";
import { type GatewayProcess, startGateway, statsWhen } from "./kit/gateway.ts";

export interface Walked {
  readonly id: string;
  readonly line: string;
  readonly status: number;
  readonly text: string;
}

const ADMIN_TOKEN = "a-token-for-the-examples";
/** Streams have no end; whatever answers on time has one long before. */
const streamSeconds = 2;
const patienceSeconds = 50;
/** Of a list in an example. */
const itemsMax = 2;

export async function walk(): Promise<{ document: OpenApi; walked: readonly Walked[] }> {
  const gateway = await startGateway({
    ADMIN_TOKEN,
    STORE_REJECTS: "1",
    BROKER_LISTEN: "127.0.0.1:0",
    INGEST_LISTEN: "127.0.0.1:0",
    GATEWAY_ID: "hall-7",
    // Nothing listens there, so that this sink is in trouble and has an entry to be set aside.
    INFLUXDB_URL: "http://127.0.0.1:1",
  });
  try {
    const document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as OpenApi;
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const walked: Walked[] = [];
    for (const id of Object.keys(exampleRequests)) {
      const operation = operations.find(({ operationId }) => operationId === id);
      const line = operation?.["x-codeSamples"][0]?.source ?? "";
      const isStream = JSON.stringify(operation?.responses ?? {}).includes("text/event-stream");
      let answer = await paste(line, gateway, isStream ? streamSeconds : patienceSeconds);
      if (isStream && answer.status === 0) answer = await paste(line, gateway, patienceSeconds / 5);
      walked.push({ id, line, ...answer });
      if (id === tokenMaker) await speak(gateway, (JSON.parse(answer.text) as { token: string }).token);
    }
    return { document, walked };
  } finally {
    await gateway.stop();
  }
}

/** The request after whose answer the device is heard. */
const tokenMaker = "devices.rotate_token";

/** Of the device: a reading and, with another token, one that is rejected. Resolves once both are where the requests look for them. */
async function speak(gateway: GatewayProcess, token: string): Promise<void> {
  const { sources } = await gateway.stats();
  const ingest = sources.find(({ kind }) => kind === "http_ingest");
  const address = /127\.0\.0\.1:\d+/.exec(String(ingest?.["detail"]))?.[0] ?? "";
  for (const each of [token, "tok-of-another-device"])
    await fetch(`http://${address}/ingest/v1/tenant/acme/device/press-3/telemetry`, {
      method: "POST",
      headers: { authorization: `Bearer ${each}` },
      body: JSON.stringify({ site_id: "hall-8", metrics: { temperature: 21.5 } }),
    });
  await statsWhen(
    gateway,
    ({ sinks }) =>
      sinks["local"]?.waiting === 0 &&
      sinks["local"].delivered === 2 &&
      typeof sinks["influx"]?.["trouble"] === "string",
  );
}

async function paste(line: string, gateway: GatewayProcess, seconds: number) {
  const output = join(mkdtempSync(join(tmpdir(), "sluice-curl-")), "answer");
  const here = line.replace("http://127.0.0.1:8080", gateway.url);
  const shell = Bun.spawn(["sh", "-c", `${here} --max-time ${seconds} -o ${output} -w '%{http_code}'`], {
    env: { PATH: process.env["PATH"], ADMIN_TOKEN },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const status = Number(await new Response(shell.stdout).text());
  const file = Bun.file(output);
  return { status, text: (await file.exists()) ? await file.text() : "" };
}

/** Lists are cut, tokens left out, and what is of this machine and moment stays: it is an example. */
function shortened(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, itemsMax).map(shortened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, name === "token" ? "tok-…" : shortened(each)]),
  );
}

if (import.meta.main) {
  const { walked } = await walk();
  const json = walked.filter(
    ({ id, text, status }) => status < 300 && id !== "docs.openapi" && text.startsWith("{"),
  );
  const examples = json.map(({ id, text }) => [id, shortened(JSON.parse(text))]);
  const path = `${import.meta.dir}/../src/http/examples.json`;
  await Bun.write(path, `${JSON.stringify(Object.fromEntries(examples), null, 2)}\n`);
}
