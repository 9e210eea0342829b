/**
 * Every ready mapping of `sluice help mappings` and every worked example of docs/mappings.md, as a site has them: a message at its native
 * topic through a real Mosquitto (or the embedded broker, if the proof is the connection), a row in the tables, a line out.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { ready } from "../../src/cli/mappings/ready.ts";
import { jsonOf } from "../../src/judge/mapping/envelope.ts";
import { readMappingFile } from "../../src/judge/mapping/file.ts";
import { sha256 } from "../kit/builders.ts";
import { type GatewayProcess, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { parseLine } from "../kit/lineparser.ts";
import { type Mosquitto, mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { type ReadyExample, readyExamples } from "../kit/ready-examples.ts";
import { workedExamples, type WorkedExample } from "../kit/worked-examples.ts";

interface Status {
  readonly connected: boolean;
  readonly detail: string;
}

interface Case {
  readonly name: string;
  readonly mapping: string;
  readonly example: ReadyExample;
}

const tokens: Readonly<Record<string, string>> = {
  "press-3": "tok-of-press-3-long-enough",
  "old-1": "tok-of-old-1-long-enough",
};

const cases: readonly Case[] = [
  ...ready.flatMap(({ source, toml }) => {
    const examples = readyExamples.filter((example) => example.source === source);
    return examples.map((example) => ({
      name: `ready: ${source}: ${example.topic}`,
      mapping: toml,
      example,
    }));
  }),
  ...workedExamples.map((worked) => ({
    name: `worked: ${worked.name}`,
    mapping: worked.mapping,
    example: asExample(worked),
  })),
];

function asExample({ name, topic, payload, events }: WorkedExample): ReadyExample {
  const says = events.map(({ event, metrics }) => {
    const [, device = "", site = "", type = "", time = "", seq] = event.split(" / ");
    const own = time.includes("T02:07:03") ? {} : { at: time };
    const number = seq === undefined ? {} : { seq: Number(seq.replace("seq ", "")) };
    return {
      device,
      site: site.replace(" (registry)", ""),
      type,
      ...own,
      ...number,
      metrics: JSON.parse(metrics) as object,
    };
  });
  return { source: name, topic, payload, says: says as unknown as ReadyExample["says"] };
}

/** Mappings that may stand in one file. */
interface Site {
  readonly cases: Case[];
  readonly mappings: string[];
}

const isOfConnection = ({ mapping }: Case) => mapping.includes('"connection"');

function sitesFor(all: readonly Case[]): Site[] {
  const sites: Site[] = [];
  for (const one of all) {
    const fits = ({ cases: others, mappings }: Site) =>
      isOfConnection(others[0]!) === isOfConnection(one) &&
      (mappings.includes(one.mapping) ||
        readMappingFile(fileOf([...mappings, one.mapping])).mistakes.length === 0);
    const site = sites.find(fits);
    if (site === undefined) sites.push({ cases: [one], mappings: [one.mapping] });
    else {
      site.cases.push(one);
      if (!site.mappings.includes(one.mapping)) site.mappings.push(one.mapping);
    }
  }
  return sites;
}

const fileOf = (mappings: readonly string[]) => `tenant = "acme"\n\n${mappings.join("\n\n")}\n`;

test("each ready mapping has an example, and the language takes 27 sources or more", () => {
  const shown = new Set(readyExamples.map(({ source }) => source));
  expect(ready.filter(({ source }) => !shown.has(source))).toEqual([]);
  expect(ready.length).toBeGreaterThan(27);
});

const isThere = mosquittoAvailable();
const sites = sitesFor(cases);

describe.skipIf(!isThere)(isThere ? "at the native topic" : "(skipped: mosquitto is not installed)", () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-mapped-"));
  let mosquitto: Mosquitto;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(async () => {
    await mosquitto.dispose();
    rmSync(dir, { recursive: true, force: true });
  });

  describe.each(sites.map((site, i) => [i, site] as const))("site %i", (i, site) => {
    const home = join(dir, `site-${i}`);
    let gateway: GatewayProcess;
    let rows: Record<string, string>[];
    let lines: ReturnType<typeof parseLine>[];

    beforeAll(async () => {
      mkdirSync(home);
      gateway = await start(home, site, mosquitto.port);
      const expected = site.cases.reduce((sum, { example }) => sum + example.says.length, 0);
      await publish(gateway, site, mosquitto.port);
      const stats = await statsWhen(gateway, ({ ingest, sinks }) => {
        const stored = Object.values(sinks).every(({ waiting }) => waiting === 0);
        return stored && ingest.accepted + sum(ingest.rejected) >= expected;
      });
      expect(stats.ingest).toMatchObject({ rejected: {}, accepted: expected, received: expected });
      expect(stats.balanced).toBe(true);
      await gateway.stop();
      rows = rowsIn(home);
      lines = linesIn(home);
    });

    test.each(site.cases.map((one) => [one.name, one] as const))("%s", (_, { example }) => {
      for (const says of example.says) {
        const { device, type = "telemetry", site: where = "hall-7", at, seq, metrics } = says;
        const mine = rows.filter(
          (row) => row["topic"] === example.topic && row["device_id"] === device && row["msg_type"] === type,
        );
        const row = mine.find(({ payload = "" }) => payload.includes(`"metrics":${jsonOf(metrics)}`));
        if (row === undefined) throw new Error(`no such row: ${jsonOf(says)} among ${JSON.stringify(mine)}`);
        expect(row).toMatchObject({ tenant_id: "acme", site_id: where });
        expect(row["event_ts"]?.slice(0, 23)).toBe((at ?? row["ingested_at"] ?? "").slice(0, 23));
        if (seq !== undefined) expect(row["payload"]).toContain(`"seq":${seq},"metrics"`);
        expect(JSON.parse(row["payload"] ?? "")).toHaveProperty("raw");
        expect(row["payload"]).not.toContain("tok-of-");
        if (type === "telemetry" || type === "heartbeat")
          expect(lines.some((line) => isLineOf(line, says, where))).toBe(true);
        else expect(lines.some(({ measurement }) => measurement === type)).toBe(false);
      }
    });
  });
});

async function start(home: string, site: Site, port: number): Promise<GatewayProcess> {
  const env = { DATA_DIR: join(home, "data") };
  const ids = new Set(site.cases.flatMap(({ example }) => example.says.map(({ device }) => device)));
  const devices = [...ids].map((id) =>
    JSON.stringify({
      ...{ tenant_id: "acme", device_id: id, site_id: "hall-7" },
      ...(tokens[id] !== undefined && { provision_token_hash: sha256(tokens[id]) }),
    }),
  );
  const list = join(home, "devices.ndjson");
  writeFileSync(list, `${devices.join("\n")}\n`);
  expect(await sluice(env, "devices", "import", list)).toMatchObject({ code: 0 });
  const file = join(home, "mappings.toml");
  writeFileSync(file, fileOf(site.mappings));
  const how = isOfConnection(site.cases[0]!)
    ? { BROKER_LISTEN: "127.0.0.1:0" }
    : { MQTT_URL: `mqtt://127.0.0.1:${port}` };
  const gateway = await startGateway(
    {
      ...how,
      GATEWAY_ID: home.slice(-6).replace("/", "-"),
      MAPPINGS_FILE: file,
      INFLUXDB_URL: `file://${home}/lines`,
      INFLUX_INTEGER_FIELDS: "seq,rssi_dbm,8",
    },
    env.DATA_DIR,
  );
  await statsWhen(gateway, (stats) => (stats["source"] as Status).connected);
  return gateway;
}

async function publish(gateway: GatewayProcess, site: Site, port: number): Promise<void> {
  const own = /127\.0\.0\.1:(\d+)/.exec(((await gateway.stats())["source"] as Status).detail)?.[1];
  const isOwn = isOfConnection(site.cases[0]!);
  const client = await connectAsync(`mqtt://127.0.0.1:${isOwn ? own : port}`, {
    protocolVersion: 4,
    ...(isOwn && { username: "acme/press-3", password: tokens["press-3"] ?? "" }),
  });
  for (const { example } of site.cases) {
    const { topic, payload } = example;
    await client.publishAsync(topic, typeof payload === "string" ? payload : jsonOf(payload), { qos: 1 });
  }
  await client.endAsync();
}

function rowsIn(home: string): Record<string, string>[] {
  const db = new Database(join(home, "data", "local.db"), { readonly: true });
  const rows = db.query("select * from raw_events where accepted = 1").all() as Record<string, string>[];
  db.close();
  return rows;
}

function linesIn(home: string): ReturnType<typeof parseLine>[] {
  const files = readdirSync(join(home, "lines"), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const text = files.map(({ parentPath, name }) => textOf(join(parentPath, name))).join("\n");
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => parseLine(line));
}

function textOf(path: string): string {
  const bytes = readFileSync(path);
  const plain = path.endsWith(".gz")
    ? Bun.gunzipSync(bytes)
    : path.endsWith(".zst")
      ? Bun.zstdDecompressSync(bytes)
      : bytes;
  return new TextDecoder().decode(plain);
}

function isLineOf(
  point: ReturnType<typeof parseLine>,
  { device, seq, metrics, at }: ReadyExample["says"][number],
  where: string,
) {
  const fields = Object.entries({ ...metrics, ...(seq !== undefined && { seq }) });
  return (
    point.tags.get("device_id") === device &&
    point.tags.get("site_id") === where &&
    point.fields.size === fields.length &&
    (at === undefined || String(point.time).startsWith(String(Date.parse(at)))) &&
    fields.every(([name, value]) => String(point.fields.get(name)?.value) === String(value))
  );
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, n) => total + n, 0);
