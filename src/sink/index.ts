/**
 * The sinks there are. A further one is a file and a line in `SINKS`: settings, help, `check`, `/stats`, `/metrics`, `/readyz` and
 * the contract suite walk that list. The tables are no line in it: they are the store, which every gateway has (core/store.ts).
 */
import { valuesOf, type ValuesOf } from "../core/kind.ts";
import type { Sink, SinkKind, SinkParts } from "../core/sink.ts";
import { influx } from "./influx/sink.ts";
import { kafka } from "./kafka/sink.ts";
import { redis } from "./redis/sink.ts";

export const SINKS = [influx, redis, kafka] as const;

/** What a configuration says of all of them. */
export type SinkSettings = ValuesOf<(typeof SINKS)[number]>;

/** Those that the settings ask for, in the order of the list. */
export function askedSinks(config: SinkSettings): readonly SinkKind[] {
  const kinds: readonly SinkKind[] = SINKS;
  return kinds.filter((kind) => kind.isAsked(valuesOf(config, kind)));
}

export function openSinks(config: SinkSettings, parts: Omit<SinkParts<unknown>, "settings">): Sink[] {
  return askedSinks(config).map((kind) => kind.open({ ...parts, settings: valuesOf(config, kind) }));
}
