/** The main path at its full size, and a search for tokens in everything that a run leaves behind. */
import { afterAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable } from "../kit/gateway.ts";
import { mosquittoAvailable } from "../kit/mosquitto.ts";
import { postgresAvailable } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";
import type { Fault } from "./fault.ts";
import { createRunner } from "./runner.ts";
import type { Site } from "./site.ts";

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  mosquittoAvailable() ? "" : "no mosquitto",
  postgresAvailable(),
].filter(Boolean);

const wholeFleet: Fault = {
  name: "whole-fleet",
  says: "100,000 QoS 1 messages of 1,000 devices, the gateway killed twice meanwhile",
  site: { rate: 0, devices: 1000, faults: {} },
  few: 2,
  many: 2,
  async run(site, times) {
    const published = site.publish({ count: 100_000 });
    for (let i = 1; i <= times; i++) {
      await until(async () => (await site.gateway.stats()).ingest.received > 15_000 * i, 120_000);
      await site.killAndStart();
    }
    await published;
    return times;
  },
  also: (_, [stats]) =>
    stats?.ingest.accepted === 100_000 && stats.sinks["postgres"]?.delivered === 100_000
      ? []
      : [`not 100,000: ${JSON.stringify(stats)}`],
};

/** In the form that the registry issues; the gateway replaces them with "***". */
const token = /tok-[\w-]{8,}/g;

/** Messages of every kind, good, bad and unjudged, some still in the spool when the gateway is gone. */
const tokenSearch: Fault = {
  name: "token-search",
  says: "no token anywhere after a run",
  site: {
    faults: { "bad-token": 0.1, "wrong-site": 0.1, "unknown-device": 0.1, "revoked-device": 0.1 },
    influx: true,
    env: { LOG_LEVEL: "debug", LOG_STATS_EVERY_SECONDS: "1" },
  },
  few: 2,
  many: 2,
  async run(site, times) {
    for (let i = 0; i < times; i++) {
      await Bun.sleep(500);
      site.databaseLine.mode("refuse");
      await until(async () => (await site.gateway.stats()).spool.entries > 200, 60_000);
      await site.gateway.kill9();
      leftovers.push(...(await tokensIn(site)));
      site.databaseLine.mode("pass");
      await site.start();
    }
    leftovers.push(...(await tokensIn(site)));
    return times;
  },
};

const leftovers: string[] = [];
let blanked = 0;

/** Where a token is found: each file of the data directory, the groups of the spool unpacked, the log, the tables, InfluxDB. */
async function tokensIn(site: Site): Promise<string[]> {
  const texts = new Map<string, string>([["the log", site.gateway.log()]]);
  for (const name of readdirSync(site.dataDir)) {
    texts.set(name, readFileSync(join(site.dataDir, name), "latin1"));
  }
  for (const [table, text] of await tables(site)) texts.set(table, text);
  texts.set("influx", JSON.stringify(site.influx?.server.writes));
  const unpacked = groups(site.dataDir);
  blanked += unpacked.match(/"\*\*\*"/g)?.length ?? 0;
  texts.set("the spool, unpacked", unpacked);
  return [...texts].flatMap(([place, text]) =>
    (text.match(token) ?? []).map((found) => `${place}: ${found}`),
  );
}

function tables(site: Site): Promise<[string, string][]> {
  return site.sql(async (sql) => {
    const names = await sql<
      { tablename: string }[]
    >`select tablename from pg_tables where schemaname = 'public'`;
    const dumps: [string, string][] = [];
    for (const { tablename } of names) {
      dumps.push([tablename, JSON.stringify(await sql.unsafe(`select t::text as row from ${tablename} t`))]);
    }
    return dumps;
  });
}

/** Searches a copy, because opening the original would change it. */
function groups(dataDir: string): string {
  const copy = mkdtempSync(join(tmpdir(), "sluice-fault-"));
  cpSync(dataDir, copy, { recursive: true });
  const db = new Database(join(copy, "spool.db"));
  try {
    const rows = db
      .query<{ codec: number; body: Uint8Array<ArrayBuffer> }, []>("SELECT codec, body FROM groups")
      .all();
    const plain = rows.map(({ codec, body }) => (codec === 1 ? Bun.zstdDecompressSync(body) : body));
    return plain.map((bytes) => Buffer.from(bytes).toString("latin1")).join("\n");
  } finally {
    db.close();
    rmSync(copy, { recursive: true });
  }
}

describe.skipIf(absent.length > 0)(`the main path (skipped where absent: ${absent.join(", ")})`, () => {
  const runner = createRunner();
  afterAll(runner.close);

  test(
    wholeFleet.says,
    async () => {
      const row = await runner.run(wholeFleet, 2, 1);
      expect(row.problems).toEqual([]);
      expect(row).toMatchObject({
        acknowledged: 100_000,
        stored: 100_000,
        quarantined: 0,
        lost: 0,
        duplicate: 0,
      });
    },
    240_000,
  );

  test(
    tokenSearch.says,
    async () => {
      const row = await runner.run(tokenSearch, 2, 1);
      expect(row.problems).toEqual([]);
      expect(row.quarantined).toBeGreaterThan(100);
      expect(blanked).toBeGreaterThan(100);
      expect(leftovers).toEqual([]);
    },
    240_000,
  );
});
