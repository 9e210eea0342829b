/** An MQTT source for tests: the default settings except what `env` says, and as little wait between two tries as may be. */
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { type MqttOptions, mqttSettings } from "../../src/source/mqtt/options.ts";
import { openMqttSource } from "../../src/source/mqtt/source.ts";
import { settingsOf } from "./source.ts";

export function mqttSource(env: Readonly<Record<string, string>>, more: Partial<MqttOptions> = {}) {
  const settings = settingsOf(mqttSettings, env);
  const waiting = { clock: systemClock, log: silentLog, random: () => 0 };
  return openMqttSource({ settings, gatewayId: "g1", ...waiting, ...more });
}
