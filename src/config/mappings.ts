/**
 * The file of mappings as a part of the configuration: read with it, so that its mistakes are reported with the
 * others, and checked against what the sources need.
 */
import { explain, type Log } from "../core/log/log.ts";
import { clashes, levelsOf, meets, subscribed } from "../core/topic-filter.ts";
import type { Mapping } from "../judge/mapping/compile.ts";
import { ownTopics, readMappingFile } from "../judge/mapping/file.ts";
import { filtersOf, type MqttSettings } from "../source/mqtt/options.ts";
import type { Host } from "./host.ts";

export interface MappingsRead {
  readonly mappings: readonly Mapping[];
  /** The file's own text. */
  readonly text: string;
  /** Each mistake names the file, and the place in it. */
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
}

export function readMappings(file: string | undefined, mqtt: MqttSettings, host: Host): MappingsRead {
  if (file === undefined) return { mappings: [], text: "", mistakes: [], warnings: inVain(mqtt, []) };
  let text: string;
  try {
    text = host.readText(file);
  } catch (error) {
    const why = `cannot be read (${explain(error)}); see that it exists and Sluice's user may read it`;
    return { mappings: [], text: "", mistakes: [`MAPPINGS_FILE=${file}: ${why}`], warnings: [] };
  }
  const { mappings, mistakes } = readMappingFile(text);
  const all = [...mistakes, ...mappings.flatMap((mapping) => besides(mapping, mqtt))];
  return {
    mappings: all.length === 0 ? mappings : [],
    text,
    mistakes: all.map((mistake) => `MAPPINGS_FILE=${file}, ${mistake}`),
    warnings: all.length === 0 ? inVain(mqtt, mappings) : [],
  };
}

/** No mistake: who does not know yet what devices publish finds examples in the quarantine. */
function inVain(mqtt: MqttSettings, mappings: readonly Mapping[]): string[] {
  if (mqtt.url === undefined) return [];
  const taken = [ownTopics, ...mappings.map(({ topic }) => topic.levels)];
  return filtersOf({ ...mqtt, shareGroup: undefined })
    .filter((filter) => !taken.some((levels) => meets(levelsOf(filter), levels)))
    .map((filter) => `MQTT_TOPIC=${filter}: ${inVainText}`);
}

const inVainText =
  "no topic in it is tenant/{tenant}/device/{device}/{type} or one of MAPPINGS_FILE, so whatever comes is rejected (BAD_TOPIC_FORMAT); correct it, or say in MAPPINGS_FILE how its topics are read (sluice help mappings)";

/** The topics on which it is enough that a device is registered. */
export function byBroker(mappings: readonly Mapping[]): readonly string[] {
  return mappings.flatMap(({ proof, topic }) => (proof === "broker" ? [topic.text] : []));
}

/** The warning at the start, and by `check`. */
export const byBrokerWarning =
  'proof = "broker": whoever may publish under these topics speaks for every registered device of the tenant; the site\'s broker must keep others out';

/** Logs at the start which mappings are in force. */
export function sayMappings(mappings: readonly Mapping[], log: Log): void {
  if (mappings.length > 0) log.info({ mappings: mappings.length }, "mappings are in force");
  const open = byBroker(mappings);
  if (open.length > 0) log.warn({ topics: open }, byBrokerWarning);
}

function besides({ topic, line, column, proof }: Mapping, mqtt: MqttSettings): string[] {
  const at = `line ${line}, column ${column}: topic "${topic.text}"`;
  const levels = subscribed(topic.levels);
  const clash = filtersOf({ ...mqtt, shareGroup: undefined }).find((filter) =>
    clashes(levelsOf(filter), levels),
  );
  return [
    ...(mqtt.url !== undefined && proof === "connection"
      ? [
          `${at}: proof = "connection" is for the embedded broker, and MQTT_URL names another: use "broker" or "token"`,
        ]
      : []),
    ...(mqtt.url !== undefined && clash !== undefined
      ? [`${at} and MQTT_TOPIC=${clash} share some topics, and neither contains the other: make one narrower`]
      : []),
  ];
}
