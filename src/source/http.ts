/**
 * The source for devices and gateways without MQTT: a message is POSTed, and 202 is said once it is on the disk.
 *
 * node:http and not Bun.serve: it bounds connections, and the time that a head and a body may take. A listener of its own, so that
 * devices never reach the administration. What a request holds is bounded alone and with all others; while the intake is held or full,
 * requests are turned away before their body is read.
 */
import { connectionBytes } from "../core/memory-bound.ts";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { hostPort, isLoopback, parseListen } from "../core/listen.ts";
import { explain } from "../core/log.ts";
import type { Intake } from "../core/message.ts";
import { lastGood } from "../core/pem.ts";
import { sourceKind, type Source, type SourceParts } from "../core/source.ts";
import { throttledWarn } from "../core/throttled-warn.ts";
import { Refused, refusalReply, type Reply, replyTo } from "./http-answers.ts";
import { createRoom, readBody } from "./http-body.ts";
import { HttpMessage } from "./http-message.ts";
import { idempotencyKeyOf, routeOf, tokenHashOf } from "./http-requests.ts";
import { ingestMistakes, type IngestSettings, ingestSettings, ingestTls } from "./http-settings.ts";

export const httpIngest = sourceKind({
  name: "http_ingest",
  title: "Source: HTTP",
  settings: ingestSettings,
  mistakes: ingestMistakes,
  isAsked: ({ listen }) => listen !== undefined,
  probe: probeListen,
  open: httpSource,
  memory: ({ maxConnections }) => [
    { part: "requests under way", bytes: heldBytesMax },
    { part: "connections (INGEST_MAX_CONNECTIONS)", bytes: maxConnections * connectionBytes },
  ],
});

/** How long the head of a request may take, and then the whole of it. */
const headMs = 10_000;
const requestMs = 60_000;
/** How long a connection without a request is kept. */
const keepAliveMs = 15_000;
const lookEveryMs = 1_000;
/** How long a sender waits for the disk. */
const answerMs = 30_000;
/** What all requests may hold together. */
const heldBytesMax = 64 * 1024 * 1024;
const goodbyeMs = 1_000;

type Parts = Pick<SourceParts<IngestSettings>, "settings" | "clock" | "log" | "payloadBytesMax">;

export function httpSource({ settings, clock, log, payloadBytesMax }: Parts): Source {
  const warn = throttledWarn(log, clock);
  const room = createRoom(heldBytesMax);
  const tls = lastGood(() => ingestTls(settings));
  const underWay = new Set<ServerResponse>();
  let intake: Intake | undefined;
  let server: Server | TlsServer | undefined;
  let unacknowledged = 0;
  let refused = 0;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    underWay.add(response);
    let held = 0;
    const hold = (bytes: number) => {
      if (!room.take(bytes)) return false;
      held += bytes;
      return true;
    };
    try {
      send(response, await answered(request, response, hold));
    } catch (error) {
      refused += 1;
      if (error instanceof Refused) return send(response, refusalReply(error));
      // A sender that left, or sent too slowly, is answered nothing.
      if (!request.aborted && !response.destroyed)
        warn({ remote: request.socket.remoteAddress }, `a request could not be answered: ${explain(error)}`);
      response.destroy();
    } finally {
      room.giveBack(held);
      underWay.delete(response);
    }
  }

  async function answered(
    request: IncomingMessage,
    response: ServerResponse,
    hold: (bytes: number) => boolean,
  ): Promise<Reply> {
    const route = routeOf(request);
    const idempotencyKey = idempotencyKeyOf(request);
    refuseIfShut();
    const body = await readBody(request, settings.maxBodyBytes, hold);
    const sender = {
      response,
      path: request.url ?? "",
      tokenHash: tokenHashOf(request),
      idempotencyKey,
      receivedMs: clock.wallMs(),
    };
    const messages = route.sent(body).map((sent, at) => new HttpMessage(sent, at, sender, payloadBytesMax()));
    await store(messages, refuseIfShut());
    return replyTo(
      messages.map(({ outcome }) => outcome ?? ""),
      route.isBatch,
    );
  }

  /** @throws Refused */
  function refuseIfShut(): Intake {
    if (intake === undefined) throw new Refused(503, "the gateway is stopping", 5);
    if (intake.held !== null)
      throw new Refused(503, "nothing can be stored now; keep the message and try again", 5);
    if (intake.isFull())
      throw new Refused(429, "more comes in than can be stored now; try again in a second", 1);
    return intake;
  }

  /** Resolves once all of them are on the disk. @throws Refused if that takes too long: nobody was told, so they may come again */
  async function store(messages: readonly HttpMessage[], to: Intake): Promise<void> {
    unacknowledged += messages.length;
    const all = Promise.all(messages.map((message) => message.durable));
    const patience = Promise.withResolvers<never>();
    const sinceMs = clock.monoMs();
    const timer = clock.every(lookEveryMs, () => {
      if (to.held === null && clock.monoMs() - sinceMs < answerMs) return;
      for (const message of messages) message.giveUp();
      patience.reject(new Refused(503, "it could not be stored in time; try again", 5));
    });
    try {
      for (const message of messages) to.receive(message);
      await Promise.race([all, patience.promise]);
    } finally {
      timer.cancel();
    }
  }

  return {
    async start(to) {
      intake = to;
      server = await listening(serve, settings, tls());
      server.on("error", (error: Error) => warn({}, `HTTP ingest: ${explain(error)}`));
      server.on("clientError", (_error: Error, socket) => socket.destroy());
      log.info(detail());
      const { host = "" } = parseListen(settings.listen ?? "") ?? {};
      if (settings.tlsCert === undefined && !isLoopback(host))
        log.warn(
          "INGEST_LISTEN is not HTTPS: tokens can be read on the way; set INGEST_TLS_CERT and INGEST_TLS_KEY",
        );
    },
    durable(messages) {
      unacknowledged -= messages.length;
      for (const message of messages) if (message instanceof HttpMessage) message.noteDurable();
    },
    reconnect() {
      server?.closeAllConnections();
    },
    stopIntake() {
      intake = undefined;
      return Promise.resolve();
    },
    async close() {
      intake = undefined;
      const closing = server;
      server = undefined;
      if (closing === undefined) return;
      const patience = clock.after(goodbyeMs, () => closing.closeAllConnections());
      closing.closeIdleConnections();
      await new Promise<void>((resolve) => void closing.close(() => resolve()));
      patience.cancel();
    },
    status: () => ({
      kind: "http_ingest",
      connected: server !== undefined,
      detail: detail(),
      reconnects: 0,
      unacknowledged: unacknowledged,
      requests_refused: refused,
    }),
    counters: ["requests_refused"],
    renewTls() {
      const texts = tls();
      if (texts !== undefined && server !== undefined && "setSecureContext" in server)
        server.setSecureContext(texts);
    },
    address: () => addressOf(server),
  };

  function detail(): string {
    if (server === undefined) return "HTTP ingest is not running";
    const scheme = settings.tlsCert === undefined ? "http" : "https";
    return `takes messages at ${scheme}://${hostPort(addressOf(server))}/ingest/v1/; ${underWay.size} requests under way`;
  }
}

type Serve = (request: IncomingMessage, response: ServerResponse) => Promise<void>;
type TlsTexts = ReturnType<typeof ingestTls>;

/** @throws if the port cannot be bound; the message names the setting and the cure */
async function listening(serve: Serve, settings: IngestSettings, tls: TlsTexts): Promise<Server | TlsServer> {
  const bounds = {
    headersTimeout: headMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: lookEveryMs,
  };
  const respond = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  const server =
    tls === undefined ? createServer(bounds, respond) : createTlsServer({ ...bounds, ...tls }, respond);
  server.maxConnections = settings.maxConnections;
  // A sender that does not read its answers would else keep its place for ever; an answer comes within half of this.
  server.timeout = requestMs;
  const where = parseListen(settings.listen ?? "") ?? { host: "127.0.0.1", port: 0 };
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const words = `INGEST_LISTEN: cannot listen on ${hostPort(where)} (${explain(cause)}): see that nothing else does`;
      reject(new Error(words, { cause }));
    });
    server.listen(where.port, where.host, resolve);
  });
  return server;
}

function send(response: ServerResponse, { status, headers, body }: Reply): void {
  if (response.destroyed) return;
  // What was not read is not waited for.
  const isUnread = !response.req.complete;
  response.writeHead(status, { ...headers, ...(isUnread && { connection: "close" }) });
  response.end(body);
}

function addressOf(server: Server | TlsServer | undefined): { host: string; port: number } {
  const { address: host, port } = (server?.address() ?? { address: "", port: 0 }) as AddressInfo;
  return { host, port };
}

/** A gateway that runs has the port; else it must be free. */
async function probeListen(settings: IngestSettings): Promise<string> {
  ingestTls(settings);
  const where = settings.listen ?? "";
  try {
    const server = await listening(() => Promise.resolve(), settings, undefined);
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    return `${where} is free`;
  } catch (error) {
    if (String(Object(Object(error)["cause"])["code"]) === "EADDRINUSE")
      return `${where} is in use, by a gateway that runs or by another program`;
    throw error;
  }
}
