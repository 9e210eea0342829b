/** A Kafka source on topics of its own. */
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import type { Source } from "../../../src/core/source.ts";
import { kafkaSettings, type KafkaSettings } from "../../../src/kafka/kafka-settings.ts";
import { openKafkaSource } from "../../../src/source/kafka/source.ts";
import { settingsOf } from "../source.ts";

export function kafkaSettingsOf(env: Readonly<Record<string, string>>): KafkaSettings {
  return settingsOf(kafkaSettings, env);
}

export function openSource(
  env: Readonly<Record<string, string>>,
  marks: ReadonlyMap<string, string> = new Map(),
  gatewayId = "g",
  clock = systemClock,
): Source {
  return openKafkaSource({
    settings: kafkaSettingsOf(env),
    gatewayId,
    clock,
    log: silentLog,
    marks,
  });
}
