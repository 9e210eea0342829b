/**
 * A site without servers gets a PostgreSQL: everything moves once, whatever interrupts the move, and the gateway
 * continues.
 */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import postgres from "postgres";
import { executable, sluice, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(120_000);

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  postgresAvailable(),
].filter(Boolean);
const before = 30_000;

describe.skipIf(absent.length > 0)(
  `a move from the local store (skipped where: ${absent.join(", ")})`,
  () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-move-"));
    let gateway: GatewayProcess | undefined;
    afterEach(async () => {
      await gateway?.kill9();
      rmSync(directory, { recursive: true, force: true });
    });

    const data = join(directory, "data");
    const local = { DATA_DIR: data, BROKER_LISTEN: "127.0.0.1:0" };

    async function publish(token: string, from: number, count: number): Promise<void> {
      const port = /"broker":\{[^}]*"port":(\d+)/.exec(gateway?.log() ?? "")?.[1] ?? "";
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
      for (let n = from; n < from + count; n++) {
        const payload = { site_id: "s", provision_token: token, seq: n, metrics: { n } };
        await client.publishAsync("tenant/acme/device/d/telemetry", JSON.stringify(payload), { qos: 1 });
      }
      await client.endAsync();
    }

    /** Old rows, enough to take a while to move. */
    function fillBehind(): void {
      const db = new Database(join(data, "local.db"));
      const insert = db.query(
        `INSERT INTO raw_events (ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, payload)
       VALUES ('2026-01-01T00:00:00.000000Z', NULL, 't', 'acme', 's', 'd', 'telemetry', ?)`,
      );
      db.transaction(() => {
        for (let n = 0; n < before; n++) insert.run(JSON.stringify({ old: n, text: "ü".repeat(50) }));
      })();
      db.run(
        "INSERT INTO quarantine_counters_minute VALUES ('2026-01-01T00:00:00.000000Z', 'acme', 'TOKEN_INVALID', 7)",
      );
      db.close();
    }

    test("loses and doubles nothing despite kill -9, and the gateway continues after the last row", async () => {
      const url = await (await sharedPostgres()).createDatabase();
      const token = (await sluice(local, "devices", "add", "acme", "d", "--site", "s")).out.trim();
      gateway = await startGateway(local, data);
      await publish(token, 0, 20);
      await until(async () => (await gateway?.stats())?.sinks["local"]?.waiting === 0);
      await gateway.kill9();
      fillBehind();

      const remote = { ...local, DATABASE_URL: url };
      await expect(startGateway(remote, data)).rejects.toThrow("sluice migrate --from-local");

      const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
      const count = async () => {
        const [row] = await sql<{ n: number }[]>`select count(*)::int as n from raw_events`.catch(() => [
          { n: 0 },
        ]);
        return row?.n ?? 0;
      };
      // A lock on the table that is moved last: a move that nobody kills in time would be over.
      expect((await sluice(remote, "migrate")).code).toBe(0);
      const holder = postgres(url, { max: 1, fetch_types: false });
      await holder`begin`;
      await holder`lock table quarantine_counters_minute in share mode`;
      for (const part of [2_000, 15_000]) {
        const moving = Bun.spawn([executable, "migrate", "--from-local"], {
          env: remote,
          stdio: ["ignore", "ignore", "ignore"],
        });
        await until(async () => (await count()) >= part);
        moving.kill("SIGKILL");
        await moving.exited;
      }
      await holder.end({ timeout: 5 });
      const done = await sluice(remote, "migrate", "--from-local", "--json");
      expect([done.code, JSON.parse(done.out).refused]).toEqual([0, []]);
      expect(await count()).toBe(before + 20);
      const again = await sluice(remote, "migrate", "--from-local");
      expect([again.code, again.err.includes("there is no local store")]).toEqual([1, true]);
      expect(readdirSync(data).some((name) => name.startsWith("local.db.moved-"))).toBe(true);

      gateway = await startGateway(remote, data);
      await publish(token, 20, 20);
      await until(async () => (await gateway?.stats())?.sinks["postgres"]?.waiting === 0);
      const stats = await gateway.stats();
      expect([stats.balanced, stats.ingest.accepted]).toEqual([true, 40]);
      const [rows] = await sql<{ seqs: number; olds: number; counted: string }[]>`
      select count(distinct payload ->> 'seq')::int as seqs, count(distinct payload ->> 'old')::int as olds,
        (select sum(cnt) from quarantine_counters_minute) as counted from raw_events`;
      expect([await count(), rows?.seqs, rows?.olds, Number(rows?.counted)]).toEqual([
        before + 40,
        40,
        before,
        7,
      ]);
      await sql.end({ timeout: 5 });
    });
  },
);
