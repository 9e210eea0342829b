/**
 * Routes: from a topic to its mapping. A topic is matched once; after that it costs one look-up, because a site has
 * as many topics as readings and uses them again and again.
 */
import { topicCharsMax } from "../../core/address.ts";
import { unfit } from "../topic.ts";
import type { Mapping } from "./compile.ts";
import type { Who } from "./identity.ts";
import { match } from "./topic-pattern.ts";

export interface Route {
  readonly mapping: Mapping;
  /** The values of the names in its topic. */
  readonly names: readonly string[];
  /** The sender, as far as the topic names it. */
  readonly who: Who;
}

/** undefined if no mapping takes this topic. */
export type Router = (topic: string) => Route | undefined;

/** Beyond this many, all are forgotten and matched again, and longer ones always: a flood of made-up topics takes no memory. */
const topicsMax = 16_384;

export function router(mappings: readonly Mapping[]): Router {
  const known = new Map<string, Route | undefined>();
  return (topic) => {
    const route = known.get(topic);
    if (route !== undefined || known.has(topic)) return route;
    const fresh = find(mappings, topic);
    if (known.size >= topicsMax) known.clear();
    if (topic.length <= topicCharsMax) known.set(topic, fresh);
    return fresh;
  };
}

function find(mappings: readonly Mapping[], topic: string): Route | undefined {
  if (unfit(topic, 0) !== null) return undefined;
  for (const mapping of mappings) {
    const names = match(mapping.topic, topic);
    if (names !== null) return { mapping, names, who: mapping.whoOf(names) };
  }
  return undefined;
}
