/** The server of HTTP ingest: where it listens, in plain text or HTTPS, and how long a connection may take for what. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { connectionsWithin } from "../../core/memory/descriptors.ts";
import { cannotListen } from "../../core/net/cannot-listen.ts";
import { parseListen, type ListenAddress } from "../../core/net/listen.ts";
import type { IngestSettings, ingestTls } from "./settings.ts";

/** How long the head of a request may take, and then the whole of it. */
const headMs = 10_000;
const requestMs = 60_000;
/** How long a connection without a request is kept. */
const keepAliveMs = 15_000;
/** Of the connections for which there are descriptors; the embedded broker may listen besides. */
const descriptorsPart = 0.5;
export const lookEveryMs = 1_000;

export type IngestServer = Server | TlsServer;
/** `ask`: the sender waits to be told that its body is wanted (Expect: 100-continue). */
type Serve = (request: IncomingMessage, response: ServerResponse, ask?: () => void) => Promise<void>;
type TlsTexts = ReturnType<typeof ingestTls>;

/**
 * @param turnedAway there was no room for a connection from this address
 * @throws if the port cannot be bound; the message names the setting and the cure
 */
export async function listening(
  serve: Serve,
  where: ListenAddress,
  maxConnections: number,
  tls: TlsTexts,
  turnedAway: (remote: string | undefined) => void,
): Promise<IngestServer> {
  const bounds = {
    headersTimeout: headMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: lookEveryMs,
  };
  const respond = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  const server =
    tls === undefined ? createServer(bounds, respond) : createTlsServer({ ...bounds, ...tls }, respond);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    void serve(request, response, () => response.writeContinue());
  });
  server.maxConnections = connectionsWithin(maxConnections, descriptorsPart);
  server.on("drop", (from) => turnedAway(from?.remoteAddress));
  // A sender that does not read its answers would else keep its place for ever; an answer comes within half of this.
  server.timeout = requestMs;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(cannotListen("INGEST_LISTEN", where, cause)));
    server.listen(where.port, where.host, resolve);
  });
  return server;
}

export function placeOf({ listen }: IngestSettings): ListenAddress {
  return parseListen(listen ?? "") ?? { host: "127.0.0.1", port: 0 };
}

export function addressOf(server: IngestServer | undefined): ListenAddress {
  const { address: host, port } = (server?.address() ?? { address: "", port: 0 }) as AddressInfo;
  return { host, port };
}
