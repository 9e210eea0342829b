/**
 * What an idle gateway holds of its own. Its other resident memory is the executable's pages: those the kernel shares between gateways,
 * and takes back when it wants memory.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "bun:test";
import { executable, startGateway, statsWhen } from "../kit/gateway.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";

/** 26 MB were measured; 32 with the table of numbers that MQTT.js keeps if nobody forbids it. */
const ownBytesMax = 29_000_000;

test.skipIf(!mosquittoAvailable() || !existsSync(executable))(
  "a gateway at a broker holds little of its own while nothing comes (skipped if mosquitto or the executable is missing)",
  async () => {
    const broker = await startMosquitto();
    const gateway = await startGateway({ MQTT_URL: `mqtt://127.0.0.1:${broker.port}` });
    try {
      await statsWhen(gateway, ({ source }) => (source as { connected: boolean }).connected);
      const [, kilobytes] =
        /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8")) ?? [];
      expect(Number(kilobytes) * 1024).toBeLessThan(ownBytesMax);
    } finally {
      await gateway.kill9();
      await broker.dispose();
    }
  },
);
