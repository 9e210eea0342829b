/** A backlog in the broker: what comes in goes out while more comes in, not once all is in. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { createFleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { type Mosquitto, mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

setDefaultTimeout(60_000);

const messages = 40_000;
const unavailable = mosquittoAvailable() ? postgresAvailable() : "no mosquitto";

describe.skipIf(unavailable !== "")(`a gateway that finds a backlog in the broker ${unavailable}`, () => {
  let mosquitto: Mosquitto;
  beforeAll(async () => {
    mosquitto = await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] });
  });
  afterAll(() => mosquitto.dispose());

  test("has rows in PostgreSQL before it has received the last message", async () => {
    const server = await sharedPostgres();
    const env = {
      MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`,
      DATABASE_URL: await server.createDatabase(),
    };
    expect(await sluice({ DATABASE_URL: env.DATABASE_URL }, "migrate")).toMatchObject({ code: 0 });
    const before = await startGateway(env);
    await statsWhen(before, ({ source }) => Object(source)["connected"] === true);
    await before.stop();
    const fleet = createFleet({ seed: 7, devices: 1_000, tenants: ["acme"], faults: {} });
    const sql = postgres(env.DATABASE_URL, { max: 1, onnotice() {} });
    for (const statement of registrySql(fleet.devices)) await sql.unsafe(statement);
    await sql`alter table raw_events add column stored_at timestamptz default clock_timestamp()`;
    await publishFleet({
      ...{
        brokerUrl: `mqtt://127.0.0.1:${mosquitto.port}`,
        clientIdPrefix: "backlog",
        protocolVersion: 5,
        qos: 1,
      },
      ...{ fleet, count: messages, rate: 0, connections: 4, window: 2_000, drainMs: 60_000 },
    });
    const gateway = await startGateway(env, before.dataDir);
    const { balanced } = await statsWhen(gateway, (now) => now.sinks["postgres"]?.delivered === messages);
    expect(balanced).toBe(true);
    // By the server's clock and the gateway's, which are one: whoever asks in between may be late on a busy machine.
    const [row] = await sql`select min(stored_at) < max(ingested_at) as is_early from raw_events`;
    expect(row?.["is_early"]).toBe(true);
    await sql.end();
    await gateway.stop();
  });
});
