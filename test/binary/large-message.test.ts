/**
 * One message of 100 MB at an external broker costs the gateway only its bytes on the line: it is acknowledged and
 * forgotten.
 */
import { existsSync } from "node:fs";
import { describe, expect, test } from "bun:test";
import { connectAsync } from "mqtt";
import { endsAfterEach } from "../kit/ends.ts";
import { executable, startGateway, statsWhen } from "../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";

const ends = endsAfterEach();

const TOPIC = "tenant/acme/device/d1/telemetry";
const LARGE_BYTES = 100_000_000;
/** The process itself takes about 110 MB; holding the message once would take as much again. */
const PEAK_BYTES_MAX = 190_000_000;

describe.skipIf(!mosquittoAvailable() || !existsSync(executable))(
  "the executable at a mosquitto (skipped if one of them is missing)",
  () => {
    test("MQTT 3.1.1, where the broker knows no bound: it is rejected by its size, and what follows it arrives", async () => {
      const broker = await startMosquitto();
      ends.push(() => broker.dispose());
      const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: "3.1.1" };
      const gateway = await startGateway(env);
      ends.push(() => gateway.kill9());
      await statsWhen(gateway, ({ source }) => (source as { connected: boolean }).connected);
      const client = await connectAsync({ port: broker.port, protocolVersion: 4, reconnectPeriod: 0 });
      ends.push(() => client.endAsync(true));
      await client.publishAsync(TOPIC, Buffer.alloc(LARGE_BYTES, 65), { qos: 1 });
      await client.publishAsync(TOPIC, "{}", { qos: 1 });
      const { ingest } = await statsWhen(
        gateway,
        (stats) => stats.ingest.received === 2 && stats.ingest.judging === 0,
      );
      expect(ingest.rejected).toEqual({ PAYLOAD_TOO_LARGE: 1, MISSING_SITE_ID: 1 });
      const found = await fetch(`${gateway.url}/admin/rejects`);
      expect(await found.text()).toContain(`${LARGE_BYTES} bytes, 8192 are allowed`);
      await statsWhen(gateway, ({ source }) => (source as { unacknowledged: number }).unacknowledged === 0);
      expect(gateway.peakBytes()).toBeLessThan(PEAK_BYTES_MAX);
    }, 60_000);
  },
);
