/** A list of servers as clients of Kafka and of Redis' sentinels read it: "a:9092,b:9092", an IPv6 address in brackets. */

export interface Server {
  readonly host: string;
  readonly port: number;
}

/** undefined if it is not such a list. */
export function parseServers(text: string): readonly Server[] | undefined {
  const servers = text.split(",").map((each) => parseServer(each.trim()));
  return servers.every((server) => server !== undefined) ? servers : undefined;
}

function parseServer(text: string): Server | undefined {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port === 0 || port > 65_535) return undefined;
  return { host: found[1] ?? found[2] ?? "", port };
}
