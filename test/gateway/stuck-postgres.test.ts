/**
 * The compiled gateway at a PostgreSQL that accepts no entry: it lives on, says what to do, and does what the
 * operator decides.
 */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";
import postgres from "postgres";
import { sluice, startGateway, statsWhen, type GatewayProcess } from "../kit/gateway.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

describe.skipIf(unavailable !== "")(`a gateway at a PostgreSQL that accepts no entry ${unavailable}`, () => {
  let gateway: GatewayProcess | undefined;
  let sql: postgres.Sql | undefined;
  afterEach(async () => {
    await gateway?.kill9();
    await sql?.end({ timeout: 5 });
  });

  async function start(): Promise<{ gateway: GatewayProcess; sql: postgres.Sql }> {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    sql = postgres(url, { max: 1, fetch_types: false, onnotice() {} });
    gateway = await startGateway({
      DATABASE_URL: url,
      BROKER_LISTEN: "127.0.0.1:0",
      MODE: "DEV",
      STORE_REJECTS: "1",
    });
    return { gateway, sql };
  }

  /** Of devices that nobody registered: rejects, which are kept in quarantine_events. */
  async function publish(running: GatewayProcess, ...devices: string[]): Promise<void> {
    const port = /"broker":\{[^}]*"port":(\d+)/.exec(running.log())?.[1];
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
    for (const device of devices)
      await client.publishAsync(`tenant/acme/device/${device}/telemetry`, '{"metrics":{"a":1}}', { qos: 1 });
    await client.endAsync();
  }

  test.each([
    [
      "a statement trigger that raises",
      `create function never() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
       create trigger t before insert on quarantine_events for each statement execute function never()`,
    ],
    [
      "a view that takes no rows",
      `alter table quarantine_events rename to base; create view quarantine_events as select distinct * from base`,
    ],
    [
      "a read-only foreign table",
      `alter table quarantine_events rename to base; create extension file_fdw;
       create server files foreign data wrapper file_fdw;
       create foreign table quarantine_events (ingested_at timestamptz, event_ts timestamptz, topic text, tenant_id text,
         site_id text, device_id text, msg_type text, reason text, payload jsonb) server files options (filename '/dev/null')`,
    ],
  ])("%s ends no process", async (_, harm) => {
    const site = await start();
    await publish(site.gateway, "d1");
    await statsWhen(site.gateway, ({ sinks }) => sinks["postgres"]?.delivered === 1);
    await site.sql.unsafe(harm);
    await publish(site.gateway, "d2", "d3");
    const stats = await statsWhen(site.gateway, ({ sinks }) => sinks["postgres"]?.["trouble"] !== null);
    expect(stats).toMatchObject({ balanced: true, sinks: { postgres: { refused: 0, waiting: 2 } } });
    // It tries again, and that ends no process either.
    await Bun.sleep(500);
    expect((await site.gateway.stats()).sinks["postgres"]?.["trouble"]).not.toBeNull();
    expect(site.gateway.exitCode()).toBeNull();
    expect(site.gateway.log()).not.toContain("unexpected error");
  });

  test("an entry that waits for a proof is set aside by command, audited, and replayed once the table is fixed", async () => {
    const site = await start();
    await publish(site.gateway, "d1");
    await statsWhen(site.gateway, ({ sinks }) => sinks["postgres"]?.delivered === 1);
    await site.sql.unsafe("alter table quarantine_events add check (device_id not like 'odd%')");
    await publish(site.gateway, "odd1", "odd2");
    const stuck = await statsWhen(site.gateway, ({ sinks }) => alarmsOf(sinks["postgres"]).length > 0);
    const [alarm = { why: "" }] = alarmsOf(stuck.sinks["postgres"]);
    expect(alarm.why).toContain("sluice dead-letters set-aside --sink postgres");
    // PostgreSQL's DETAIL holds the row; what everybody may read does not hold it.
    expect(JSON.stringify(stuck)).not.toContain("Failing row");

    const command = ["dead-letters", "set-aside", "--sink", "postgres", "--gateway", site.gateway.url];
    const looked = await sluice({}, ...command, "--dry-run", "--json");
    expect(looked.code).toBe(0);
    expect(JSON.parse(looked.out)).toMatchObject({ entries: [{ seq: 2, device_id: "odd1" }], done: false });
    const done = await sluice({}, ...command, "--count", "2");
    expect(done).toMatchObject({ code: 0, err: expect.stringContaining("2 entries set aside") });
    await statsWhen(site.gateway, ({ sinks }) => sinks["postgres"]?.["trouble"] === null);
    expect(await sluice({}, ...command)).toMatchObject({ code: 1, out: "" });

    const listed = await sluice({}, "dead-letters", "list", "--json", "--gateway", site.gateway.url);
    expect(JSON.parse(listed.out)).toMatchObject([
      {
        sink: "postgres",
        device_id: "odd1",
        why: expect.stringMatching(/^set aside by an operator: .*23514/),
      },
      { sink: "postgres", device_id: "odd2" },
    ]);
    expect(listed.out + site.gateway.log()).not.toContain("Failing row");
    const audit = readFileSync(join(site.gateway.dataDir, "audit.ndjson"), "utf8");
    expect(audit).toMatch(/"dead_letters.set_aside".*"sink":"postgres".*"from_seq":2,"to_seq":3/);

    await site.sql.unsafe("alter table quarantine_events drop constraint quarantine_events_device_id_check");
    await sluice({}, "dead-letters", "replay", "--all", "--gateway", site.gateway.url);
    await statsWhen(site.gateway, ({ sinks }) => sinks["postgres"]?.waiting === 0);
    const rows = await site.sql`select device_id from quarantine_events order by id`;
    expect(rows.map((row) => row["device_id"])).toEqual(["d1", "odd1", "odd2"]);
  });
});

function alarmsOf(sink: { readonly [more: string]: unknown } | undefined): readonly { why: string }[] {
  return (sink?.["alarms"] ?? []) as readonly { why: string }[];
}
