/** The MQTT client at a real Mosquitto, in the contract suite. */
import { connectAsync } from "mqtt";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { mqtt } from "../../../src/source/mqtt/source.ts";
import { mosquittoAvailable, startMosquitto } from "../../kit/mosquitto.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { settingsOf } from "../../kit/source.ts";
import type { SourceFixture } from "../sources.test.ts";

export const fixture: SourceFixture = {
  name: "mqtt",
  unavailable: mosquittoAvailable() ? "" : "mosquitto is not installed",
  async open() {
    const broker = await startMosquitto();
    const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}` };
    const source = mqttSource(env);
    const device = await connectAsync({ host: "127.0.0.1", port: broker.port, protocolVersion: 4 });
    device.on("error", () => {});
    return {
      source,
      probe: () => mqtt.probe(settingsOf(mqttSettings, env)),
      async send(texts) {
        for (const text of texts)
          await device.publishAsync("tenant/acme/device/d1/telemetry", text, { qos: 1 });
      },
      // The broker keeps our session.
      sendAgain: () => Promise.resolve(),
      async stop() {
        await source.close();
        await device.endAsync(true);
        await broker.dispose();
      },
    };
  },
};
