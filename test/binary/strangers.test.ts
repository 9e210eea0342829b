/** Tens of thousands of made-up devices through an open broker, and a PostgreSQL that is slower than they are. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { createFleet } from "../../src/simulator/fleet.ts";
import { registrySql } from "../../src/simulator/registration.ts";
import { executable, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { postgresAvailable, startPostgres } from "../kit/postgres.ts";
import { startProxy } from "../kit/proxy.ts";
import { connectPacket, publishPacket, wireClient } from "../kit/wire.ts";
import { postgresTables } from "../fault/tables.ts";

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  mosquittoAvailable() ? "" : "no mosquitto",
  postgresAvailable(),
].filter(Boolean);

let ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
});

const devices = 20;
const strangersMax = 300_000;

describe.skipIf(absent.length > 0)(`strangers (skipped where absent: ${absent.join(", ")})`, () => {
  test("are not deferred while the registry answers, and registered devices that are not cached pass meanwhile", async () => {
    const server = await startPostgres();
    ends.push(() => server.stop());
    const url = await server.createDatabase();
    const line = await startProxy({ port: server.port });
    ends.push(() => line.stop());
    const broker = await startMosquitto({ lines: ["max_queued_messages 0"] });
    ends.push(() => broker.dispose());
    const fleet = createFleet({ seed: 5, devices, tenants: ["acme"], faults: {} });
    expect((await sluice({ DATABASE_URL: url }, "migrate")).code).toBe(0);
    await postgresTables(url).run(registrySql(fleet.devices));
    const slow = new URL(url);
    slow.port = String(line.port);
    const gateway = await startGateway({
      MQTT_URL: `mqtt://127.0.0.1:${broker.port}`,
      DATABASE_URL: slow.href,
    });
    ends.push(() => gateway.kill9());
    await statsWhen(gateway, ({ source }) => (source as { connected: boolean }).connected);
    line.delay(100);

    const flooder = await wireClient(broker.port);
    const honest = await wireClient(broker.port);
    ends.push(
      () => flooder.socket.destroy(),
      () => honest.socket.destroy(),
    );
    flooder.send(connectPacket("flooder"));
    honest.send(connectPacket("honest"));
    let isOver = false;
    const flood = floodThrough(flooder, () => isOver);
    await statsWhen(gateway, ({ ingest }) => ingest.received > 10_000);
    for (let n = 1; n <= devices; n++) {
      const { topic, payload } = fleet.next(Date.now());
      honest.send(publishPacket(n, payload.toString(), { topic }));
    }
    const deferred: unknown[] = [];
    const stats = await statsWhen(gateway, ({ ingest }) => {
      deferred.push(ingest["deferred"]);
      return ingest.accepted === devices;
    });
    isOver = true;
    await flood;
    expect(
      deferred.filter((n) => n !== 0),
      gateway.log().slice(-3000),
    ).toEqual([]);
    expect(Object.keys(stats.ingest.rejected)).toEqual(["UNREGISTERED_DEVICE"]);
  }, 90_000);
});

/** As fast as the broker takes them, each with its own name, until the test is over. */
async function floodThrough(
  { socket, send }: Awaited<ReturnType<typeof wireClient>>,
  isOver: () => boolean,
): Promise<void> {
  const body = '{"site_id":"lab-1","provision_token":"tok-x","metrics":{"a":1}}';
  for (let from = 0; from < strangersMax && !isOver(); from += 1_000) {
    const packets = Array.from({ length: 1_000 }, (_, i) =>
      publishPacket(0, body, { qos: 0, topic: `tenant/acme/device/made-up-${from + i}/telemetry` }),
    );
    send(...packets);
    if (socket.writableNeedDrain) await new Promise((resolve) => socket.once("drain", resolve));
    else await Bun.sleep(1);
  }
}
