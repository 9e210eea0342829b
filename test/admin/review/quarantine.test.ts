/**
 * Quarantined messages replayed by a compiled gateway: judged again, with their own times, stored exactly once even
 * if the gateway is killed in the middle; over the command line and over HTTP; in PostgreSQL and in the local file.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";
import postgres from "postgres";
import { executable, type GatewayProcess, sluice, startGateway, statsWhen } from "../../kit/gateway.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";

const missing = existsSync(executable) ? "" : "dist/sluice is missing: bun run build";
const devices = 4;
const perDevice = 150;
const sentAt = Date.UTC(2026, 10, 1);

interface Stored {
  readonly seq: number;
  readonly event: number;
}

const stores = [
  { name: "local", absent: missing },
  { name: "postgres", absent: missing || postgresAvailable() },
] as const;

for (const { name, absent } of stores) {
  describe.skipIf(absent !== "")(absent === "" ? name : `${name} (skipped: ${absent})`, () => {
    let env: Record<string, string>;
    let gateway: GatewayProcess;

    beforeAll(async () => {
      env = {
        MODE: "DEV",
        STORE_REJECTS: "1",
        BROKER_LISTEN: "127.0.0.1:0",
        ADMIN_TOKEN: "a-token-of-some-length",
        ...(name === "postgres" && { DATABASE_URL: await (await sharedPostgres()).createDatabase() }),
      };
      gateway = await startGateway(env);
      env["DATA_DIR"] = gateway.dataDir;
      await publish(gateway);
      const all = devices * perDevice;
      await statsWhen(gateway, ({ sinks }) => sinks[name]?.delivered === all);
    });

    afterAll(async () => {
      await gateway?.kill9();
    });

    const cli = (...words: string[]) =>
      sluice({ ...env, GATEWAY_ID: "test-gateway" }, "quarantine", ...words, "--gateway", gateway.url);
    const json = async (...words: string[]) =>
      JSON.parse((await cli(...words, "--json")).out) as Record<string, unknown>;

    async function stored(): Promise<{ events: Stored[]; left: number }> {
      if (name === "local") {
        const db = new Database(join(gateway.dataDir, "local.db"), { readonly: true });
        const rows = db
          .query<{ payload: string; at: string }, []>("SELECT payload, event_ts AS at FROM raw_events")
          .all();
        const left =
          db.query<{ n: number }, []>("SELECT count(*) AS n FROM quarantine_events").get()?.n ?? -1;
        db.close();
        return { events: rows.map(({ payload, at }) => eventOf(payload, Date.parse(at))), left };
      }
      const sql = postgres(env["DATABASE_URL"] ?? "", { max: 1 });
      const rows = await sql<{ payload: string; at: Date }[]>`
        select payload::text as payload, event_ts as at from raw_events`;
      const [count] = await sql<{ n: number }[]>`select count(*)::int as n from quarantine_events`;
      await sql.end();
      return { events: rows.map(({ payload, at }) => eventOf(payload, at.getTime())), left: count?.n ?? -1 };
    }

    test("lists and shows what is kept, and says over HTTP what is wrong with a request", async () => {
      const { out } = await cli("list", "--device", "d1", "--limit", "2");
      expect(out.split("\n")[1]).toMatch(/^\d+ +UNREGISTERED_DEVICE/);
      const [row] = JSON.parse((await cli("list", "--limit", "1", "--json")).out) as { id: number }[];
      expect(JSON.parse((await cli("show", String(row?.id), "--json")).out)).toMatchObject({
        topic: expect.any(String),
      });
      expect((await cli("show", "999999999")).code).toBe(1);
      const headers = { authorization: "Bearer a-token-of-some-length" };
      const ask = (path: string, body?: object) =>
        fetch(`${gateway.url}/admin/quarantine${path}`, {
          headers,
          ...(body && { method: "POST", body: JSON.stringify(body) }),
        });
      expect((await ask("?since=yesterday")).status).toBe(400);
      expect((await ask("/replay", {})).status).toBe(422);
      expect((await ask("/replay", { all: true, dry_run: true, after: -1 })).status).toBe(422);
      expect((await ask("/999999999")).status).toBe(404);
      expect((await fetch(`${gateway.url}/admin/quarantine`)).status).toBe(401);
      const page = (await (await ask("?limit=3")).json()) as { rows: { id: number }[]; next: number };
      expect(page.rows.length).toBe(3);
      expect(page.next).toBe(page.rows[2]?.id ?? 0);
    });

    test("what would still be rejected stays, with the reason of now", async () => {
      expect(await json("replay", "--all", "--dry-run")).toMatchObject({
        done: 0,
        kept_count: 600,
        dry_run: true,
      });
      const { code, out } = await cli("replay", "--device", "d0");
      expect(code).toBe(1);
      expect(out).toContain("0 of 150 quarantined messages replayed, 150 stay");
      expect(out).toContain("UNREGISTERED_DEVICE");
    });

    test("what is accepted now is stored once with its own times, even if the gateway is killed meanwhile", async () => {
      for (let d = 0; d < devices - 1; d++) {
        const added = await sluice(
          { ...env, GATEWAY_ID: "g" },
          "devices",
          "add",
          "acme",
          `d${d}`,
          "--site",
          "lab-1",
        );
        expect(added.code).toBe(0);
      }
      for (const ms of [5, 20, 40, 80]) {
        const asked = cli("replay", "--all", "--json");
        await Bun.sleep(60 + ms);
        await gateway.kill9();
        await asked;
        gateway = await startGateway(env, gateway.dataDir);
        await statsWhen(gateway, ({ sinks }) => sinks[name]?.waiting === 0);
      }
      await Promise.all([cli("replay", "--all"), cli("replay", "--all")]);
      const stats = await statsWhen(gateway, ({ sinks }) => sinks[name]?.waiting === 0);
      const { events, left } = await stored();
      expect(events.sort((a, b) => a.seq - b.seq)).toEqual(
        Array.from({ length: (devices - 1) * perDevice }, (_, seq) => ({ seq, event: sentAt + seq * 1_000 })),
      );
      expect(left).toBe(perDevice);
      expect(stats.balanced).toBe(true);
      expect(stats.ingest.accepted).toBe((devices - 1) * perDevice);
      expect(await json("replay", "--all")).toMatchObject({
        matched: perDevice,
        done: 0,
        kept_count: perDevice,
      });
    });

    if (name === "postgres")
      test("what was replayed before a kill is not replayed again or discarded while the table takes nothing", async () => {
        await publish(gateway, "d9", 3);
        await statsWhen(gateway, ({ sinks, ingest }) => sinks[name]?.waiting === 0 && ingest.judging === 0);
        const before = (await gateway.stats()).ingest.accepted;
        const add = ["devices", "add", "acme", "d9", "--site", "lab-1"];
        expect((await sluice({ ...env, GATEWAY_ID: "g" }, ...add)).code).toBe(0);
        const sql = postgres(env["DATABASE_URL"] ?? "", { max: 1 });
        await sql.begin(async (lock) => {
          await lock`lock table raw_events in access exclusive mode`;
          expect(await json("replay", "--device", "d9")).toMatchObject({ done: 3 });
          await gateway.kill9();
          gateway = await startGateway(env, gateway.dataDir);
          for (const verb of ["replay", "discard"]) {
            const { code, err } = await cli(verb, "--device", "d9");
            expect([code, err]).toEqual([1, expect.stringContaining("the tables still lack some")]);
          }
        });
        await sql.end();
        const { ingest } = await statsWhen(gateway, ({ sinks }) => sinks[name]?.waiting === 0);
        expect(ingest.accepted).toBe(before + 3);
        expect(await json("replay", "--device", "d9")).toMatchObject({ matched: 0 });
      });

    test("what is discarded is gone", async () => {
      expect((await cli("discard")).code).toBe(2);
      expect(await json("discard", "--reason", "BAD_SEQ", "--dry-run")).toMatchObject({ matched: 0 });
      expect((await cli("discard", "--device", "d3", "--since", "7d")).out).toContain("150 of 150");
      expect((await stored()).left).toBe(0);
    });

    test("without a gateway the command says that it needs one", async () => {
      await gateway.stop();
      const { code, err } = await cli("list");
      expect(code).toBe(1);
      expect(err).toContain("no gateway answers at");
    });
  });
}

function eventOf(payload: string, event: number): Stored {
  return { seq: (JSON.parse(payload) as { seq: number }).seq, event };
}

/** @param only whose they are; absent: `perDevice` of each device */
async function publish(gateway: GatewayProcess, only?: string, count = devices * perDevice): Promise<void> {
  const [, port] = /"broker":\{[^}]*"port":(\d+)/.exec(gateway.log()) ?? [];
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "publisher" });
  const sends: Promise<unknown>[] = [];
  for (let seq = 0; seq < count; seq++) {
    const device = only ?? `d${Math.floor(seq / perDevice)}`;
    const ts = new Date(sentAt + seq * 1_000).toISOString();
    const body = { ts, site_id: "lab-1", seq, provision_token: "tok-nobody-knows-it", metrics: { n: seq } };
    sends.push(
      client.publishAsync(`tenant/acme/device/${device}/telemetry`, JSON.stringify(body), { qos: 1 }),
    );
  }
  await Promise.all(sends);
  await client.endAsync();
}
