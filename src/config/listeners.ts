/** What is wrong with the places where the gateway listens, taken together: each part knows its own alone. */
import { isLoopback, parseListen } from "../core/net/listen.ts";
import type { Config } from "./tables.ts";

/** @param sources names of those that are asked for */
export function listenMistakes(config: Config, sources: readonly string[]): string[] {
  const { http, broker, http_ingest: ingest, judge } = config;
  const hasBroker = sources.includes("broker");
  const places = [
    { name: "HTTP_LISTEN", said: http.listen },
    ...(hasBroker ? [{ name: "BROKER_LISTEN", said: broker.listen }] : []),
    ...(hasBroker ? [{ name: "BROKER_TLS_LISTEN", said: broker.tlsListen }] : []),
    { name: "INGEST_LISTEN", said: ingest.listen },
  ].flatMap(({ name, said }) => {
    const where = said === undefined ? undefined : parseListen(said);
    return where === undefined ? [] : [{ name, said, ...where }];
  });
  const twice = places.flatMap((later, i) => {
    const earlier = places.slice(0, i).find((place) => isSame(place, later));
    return earlier === undefined
      ? []
      : [`${later.name}=${later.said} is taken by ${earlier.name}=${earlier.said}: give each its own port`];
  });
  const { host = "localhost" } = places.find(({ name }) => name === "INGEST_LISTEN") ?? {};
  if (isLoopback(host) || judge.requireToken) return twice;
  return [
    ...twice,
    `INGEST_LISTEN=${ingest.listen} can be reached from other hosts, and REQUIRE_TOKEN=0 would let every one of them send for any device: set REQUIRE_TOKEN=1, or listen on 127.0.0.1`,
  ];
}

interface Place {
  readonly host: string;
  readonly port: number;
}

function isSame(a: Place, b: Place): boolean {
  return a.port === b.port && a.port !== 0 && (a.host === b.host || covers(a, b) || covers(b, a));
}

/** Every interface; 0.0.0.0 is none of IPv6. */
function covers({ host }: Place, other: Place): boolean {
  return host === "::" || (host === "0.0.0.0" && !other.host.includes(":"));
}
