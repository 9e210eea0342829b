/** What is wrong with STATUS_TOPIC beside the other settings: nobody to publish it, or we would take our own status for a message. */
import { levelsOf, meets } from "../core/topic-filter.ts";
import { filtersOf } from "../source/mqtt/options.ts";
import type { Config } from "./tables.ts";

/** @param sources the kinds that the settings ask for */
export function statusMistakes({ general, mqtt, mappings }: Config, sources: readonly string[]): string[] {
  const { statusTopic: topic } = general;
  if (topic === undefined) return [];
  if (!sources.includes("mqtt") && !sources.includes("broker"))
    return [
      `STATUS_TOPIC=${topic}: there is no broker to publish it at; set MQTT_URL, or leave STATUS_TOPIC out`,
    ];
  const mapped = mappings.map((mapping) => mapping.topic.filter);
  const taken = filtersOf({ ...mqtt, shareGroup: undefined }, mapped).find((filter) =>
    meets(levelsOf(filter), levelsOf(topic)),
  );
  if (taken === undefined) return [];
  return [
    `STATUS_TOPIC=${topic}: messages of devices come on ${taken}, and the gateway would take its own status for one; choose another topic, or make that filter narrower`,
  ];
}
