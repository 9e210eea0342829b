/**
 * The sources there are. A further one is a file and a line in `SOURCES`: settings, help, `check`, `/stats`, `/metrics`, `/readyz` and
 * the contract suite walk that list. Several may be at work beside one another. Their order counts: the embedded broker is at work
 * if none before it is, and whatever stands behind it does not take its place.
 */
import mqttPacket from "mqtt-packet";
import { valuesOf, type ValuesOf } from "../core/kind.ts";
import type { Source, SourceKind, SourceParts } from "../core/source.ts";
import { broker } from "./broker/source.ts";
import { httpIngest } from "./http/source.ts";
import { kafka } from "./kafka/source.ts";
import { mqtt } from "./mqtt/source.ts";

/** MQTT.js and aedes would keep the two bytes of each of 65,536 numbers as a Buffer of its own, from their first packet on: 9 MB. */
mqttPacket.writeToStream.cacheNumbers = false;

export const SOURCES = [mqtt, kafka, broker, httpIngest] as const;

/** What a configuration says of all of them. */
export type SourceSettings = ValuesOf<(typeof SOURCES)[number]>;

/**
 * Those that the settings ask for, in the order of the list.
 * @param isMeant besides, as what it says cannot be understood
 */
export function askedSources(
  config: SourceSettings,
  isMeant: (kind: SourceKind) => boolean = () => false,
): readonly SourceKind[] {
  const kinds: readonly SourceKind[] = SOURCES;
  const asked: SourceKind[] = [];
  for (const kind of kinds) {
    const earlier = asked.map(({ name }) => name);
    if (kind.isAsked(valuesOf(config, kind), earlier) || isMeant(kind)) asked.push(kind);
  }
  return asked;
}

export function openSources(
  config: SourceSettings,
  parts: Omit<SourceParts<unknown>, "settings" | "isAlone">,
): Source[] {
  const kinds = askedSources(config);
  const isAlone = kinds.length === 1;
  return kinds.map((kind) => kind.open({ ...parts, isAlone, settings: valuesOf(config, kind) }));
}
