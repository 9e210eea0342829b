/** Messages that a real broker retains and sends at every connect: stored once, and never as a reading of now. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { localRegistry } from "../kit/stores.ts";
import {
  endLater,
  fleet,
  registered,
  scratch,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { mosquittoAvailable, startMosquitto, type Mosquitto } from "../kit/mosquitto.ts";
import { freePort } from "../kit/port.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

const ts = "2026-08-01T00:00:00Z";
const [timed = "", timeless = "", live = "", liveTimeless = "", quiet = ""] = fleet(5);

async function publish(broker: Mosquitto, deviceId: string, seq: number, changes: Record<string, unknown>) {
  const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`);
  const { topic, payload } = telemetry(deviceId, seq, changes);
  await client.publishAsync(topic, Buffer.from(payload), { qos: 1, retain: deviceId !== quiet });
  await client.endAsync();
}

function rows(dataDir: string): string[] {
  const db = new Database(join(dataDir, "local.db"));
  const found = db
    .query<{ device_id: string; seq: number; event_ts: string }, []>(
      "SELECT device_id, payload ->> 'seq' AS seq, event_ts FROM raw_events ORDER BY 1, 2",
    )
    .all();
  db.close();
  return found.map((row) => `${row.device_id} ${row.seq}`);
}

/** @param bridge lines of Mosquitto's, which then is a client of our own broker */
async function site(env: Record<string, string>, bridge: readonly string[] = []) {
  const broker = await startMosquitto({ lines: bridge });
  endLater(() => broker.dispose());
  const dataDir = scratch();
  const registry = localRegistry({ path: join(dataDir, "local.db") });
  await registry.add(registered(fleet(5)));
  await registry.close();
  const start = (more: Record<string, string> = {}) =>
    startInProcess(
      {
        DATA_DIR: dataDir,
        ...(bridge.length === 0 && { MQTT_URL: `mqtt://127.0.0.1:${broker.port}` }),
        ...env,
        ...more,
      },
      { withBroker: true },
    );
  return { broker, dataDir, start };
}

describe.skipIf(!mosquittoAvailable())("retained messages (skipped without mosquitto)", () => {
  test.each(["3.1.1", "5"])("MQTT %s", async (version) => {
    const { broker, dataDir, start } = await site({ MQTT_VERSION: version });
    await publish(broker, timed, 1, { ts });
    await publish(broker, timeless, 2, {});
    const first = await start();
    await until(() => first.stats().ingest.received === 2);
    await publish(broker, live, 3, { ts });
    await publish(broker, liveTimeless, 4, {});
    await until(() => first.stats().sinks["local"]?.delivered === 4);
    expect(first.stats().ingest).toMatchObject({ accepted: 3, rejected: { RETAINED_WITHOUT_TIME: 1 } });
    await first.gateway.stop();
    const wanted = [`${timed} 1`, `${live} 3`, `${liveTimeless} 4`];
    expect(rows(dataDir)).toEqual(wanted);

    /** Without what is known of former sessions, which would be taken over (former.ts), and with 3.1.1 get all of them once more. */
    const startAnew = (env: Record<string, string> = {}) => {
      rmSync(join(dataDir, "mqtt-session.json"));
      return start(env);
    };
    for (let n = 0; n < 2; n++) {
      // A new session gets all of them, whatever the version.
      const again = await startAnew({ MQTT_CLIENT_ID: `other-${n}` });
      await until(() => again.stats().ingest.duplicate === 4 * (n + 1));
      await again.gateway.stop();
      expect(rows(dataDir)).toEqual(wanted);
    }
    // A new reading on a topic that is known to be retained comes live, and its copy at the next start.
    const last = await startAnew();
    await publish(broker, live, 5, { ts });
    await until(() => last.stats().ingest.accepted === 4);
    await last.gateway.stop();
    const before = last.stats().ingest.duplicate;
    const { stats, gateway } = await startAnew({ MQTT_CLIENT_ID: "another" });
    await until(() => stats().ingest.duplicate === before + 4);
    expect(stats()).toMatchObject({ balanced: true, ingest: { accepted: 4 } });
    await gateway.stop();
  });

  test("are recognised by topic after the window forgot their packets", async () => {
    const { broker, dataDir, start } = await site({ MQTT_VERSION: "3.1.1", REDELIVERY_WINDOW: "1" });
    await publish(broker, timed, 1, { ts });
    const first = await start();
    await until(() => first.stats().ingest.accepted === 1);
    await publish(broker, timed, 2, { ts });
    for (let seq = 3; seq < 8; seq++) await publish(broker, quiet, seq, { ts });
    await until(() => first.stats().ingest.accepted === 7);
    await first.gateway.stop();
    const again = await start();
    await until(() => again.stats().ingest.received === 8);
    expect(again.stats().ingest).toMatchObject({ accepted: 7, duplicate: 1 });
    await again.gateway.stop();
    expect(rows(dataDir)).toHaveLength(7);
  });

  test("that a bridge sends to our own broker are stored once by their own time, however often it connects", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const bridge = [`connection up`, `address ${address}`, "topic tenant/# out 1", "restart_timeout 1 1"];
    const { broker, dataDir, start } = await site({ BROKER_LISTEN: address }, bridge);
    let running = await start();
    await publish(broker, timed, 1, { ts });
    await until(() => running.stats().ingest.accepted === 1);
    for (let n = 0; n < 2; n++) {
      await running.gateway.stop();
      const before = running.stats().ingest.duplicate;
      running = await start();
      await until(() => running.stats().ingest.duplicate > before);
    }
    await publish(broker, timed, 2, { ts });
    await until(() => running.stats().ingest.accepted === 2);
    await running.gateway.stop();
    expect(rows(dataDir)).toEqual([`${timed} 1`, `${timed} 2`]);
  });
});
