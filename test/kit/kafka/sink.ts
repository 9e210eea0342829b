/** A Kafka sink on topics of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTable } from "../../../src/config/read.ts";
import { thisHost } from "../../../src/config/host.ts";
import { systemClock, type Clock } from "../../../src/core/clock.ts";
import { silentLog, type Log } from "../../../src/core/log/log.ts";
import { nothingKept } from "../sink.ts";
import type { Sink } from "../../../src/core/sink.ts";
import { kafkaSettings, type KafkaSettings } from "../../../src/kafka/kafka-settings.ts";
import { openKafkaSink } from "../../../src/sink/kafka/sink.ts";
import { newTopic, readTopic, type Read, type TopicOptions } from "./client.ts";

export interface OpenKafka {
  readonly validated: string;
  readonly rejected: string;
  readonly dataDir: string;
  /** Another sink of the same gateway, or of another. */
  open(more?: OpenMore): Sink;
  /** Values of the topic of events, as kcat reads them. */
  events(): Promise<(Read & { readonly json: Validated })[]>;
  rejects(): Promise<Read[]>;
  close(): Promise<void>;
}

interface Validated {
  readonly values: readonly unknown[];
  readonly label: readonly string[];
}

export interface OpenMore {
  readonly gatewayId?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly dataDir?: string;
}

let gateways = 0;

/** @param via where the sink connects, if not to the broker itself */
export async function openKafka(
  bootstrap: string,
  options: TopicOptions = {},
  via = bootstrap,
): Promise<OpenKafka> {
  const [validated, rejected] = await Promise.all([
    newTopic(bootstrap, options),
    newTopic(bootstrap, options),
  ]);
  const dataDir = mkdtempSync(join(tmpdir(), "sluice-kafka-sink-"));
  const own = `gw-${process.pid}-${++gateways}`;
  const sinks: Sink[] = [];
  return {
    validated,
    rejected,
    dataDir,
    open({ gatewayId = own, env = {}, clock = systemClock, log = silentLog, dataDir: dir = dataDir } = {}) {
      const names = {
        KAFKA_BOOTSTRAP_SERVERS: via,
        KAFKA_VALIDATED_DATA_TOPIC: validated,
        KAFKA_ERROR_TOPIC: rejected,
      };
      const sink = openKafkaSink({
        settings: settingsOf({ ...names, ...env }),
        gatewayId,
        dataDir: dir,
        ...nothingKept,
        clock,
        log,
      });
      sinks.push(sink);
      return sink;
    },
    async events() {
      const read = await readTopic(bootstrap, validated);
      return read.map((record) => ({ ...record, json: JSON.parse(record.value) as Validated }));
    },
    rejects: () => readTopic(bootstrap, rejected),
    async close() {
      for (const sink of sinks) await sink.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function settingsOf(env: Readonly<Record<string, string>>): KafkaSettings {
  const { values, mistakes } = readTable(kafkaSettings, env, thisHost);
  if (mistakes.length > 0) throw new Error(mistakes.map(({ text }) => text).join("; "));
  return values as KafkaSettings;
}

/** The metric `n` of each. */
export function numbersOf(events: readonly { readonly json: Validated }[]): number[] {
  return events.map(({ json }) => Number(json.values[json.label.indexOf("n")])).sort((a, b) => a - b);
}
