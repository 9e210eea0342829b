/**
 * The source for devices and gateways without MQTT: a message is POSTed, and 202 is said once it is on the disk.
 *
 * node:http and not Bun.serve: it bounds connections, and the time that a head and a body may take. A listener of its own, so that
 * devices never reach the administration. What a request holds is bounded alone and with all others; while the intake is held or full,
 * requests are turned away before their body is read.
 */
import { connectionBytes } from "../../core/memory/bound.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Timer, withDeadline } from "../../core/clock.ts";
import type { DeviceId } from "../../core/device.ts";
import { hostPort, isLoopback, parseListen, type ListenAddress } from "../../core/net/listen.ts";
import { explain } from "../../core/log/log.ts";
import type { Intake } from "../../core/message.ts";
import { lastGood } from "../../core/net/pem.ts";
import { probePort } from "../../core/net/probe-port.ts";
import { sourceKind, type Source, type SourceParts } from "../../core/source.ts";
import { hashOf } from "../../core/token.ts";
import { throttledWarn } from "../../core/log/throttled-warn.ts";
import { createTurns } from "../../core/turns.ts";
import { Refused, refusalReply, type Reply, replyTo } from "./answers.ts";
import { itemsMax } from "./batch.ts";
import { createBodyReader, createRoom, type Share, unpackingBytes } from "./body.ts";
import { Delivery, HttpMessage, type Sender } from "./message.ts";
import { idempotencyKeyOf, type Route, routeOf, type Sent, tokenOf } from "./requests.ts";
import { addressOf, type IngestServer, listening, lookEveryMs, placeOf } from "./listening.ts";
import { inParts } from "./parts.ts";
import { createPipelines } from "./pipelines.ts";
import { createSend } from "./send.ts";
import { ingestMistakes, type IngestSettings, ingestSettings, ingestTls } from "./settings.ts";
import { counted } from "../../core/text/readable.ts";

export const httpIngest = sourceKind({
  name: "http_ingest",
  title: "Source: HTTP",
  settings: ingestSettings,
  counts: {
    requests_refused:
      "Requests answered with an error, or not at all, before any of their messages was judged.",
    refused_connects: "Connections refused for want of room.",
  },
  mistakes: ingestMistakes,
  isAsked: ({ listen }) => listen !== undefined,
  probe(settings) {
    ingestTls(settings);
    return probePort("INGEST_LISTEN", settings.listen ?? "");
  },
  open: openHttpSource,
  memory: ({ maxConnections, maxBodyBytes }) => [
    { part: "requests under way", bytes: heldBytesMax },
    { part: "a body that is being unpacked", bytes: unpackingBytes(maxBodyBytes) },
    { part: "the messages of the last batch that had room", bytes: itemsMax * itemBytes },
    { part: "connections (INGEST_MAX_CONNECTIONS)", bytes: maxConnections * connectionBytes },
  ],
});

/** How long a sender waits for the disk. */
const answerMs = 30_000;
/** Of a message in a batch, with its place in the intake, which looks whether there is room once per batch. */
const itemBytes = 2_048;
/** What all requests may hold together. */
const heldBytesMax = 64 * 1024 * 1024;
const goodbyeMs = 1_000;

/** How long the registry may take to say whose token it is. */
const ownerMs = 10_000;

type Parts = Pick<SourceParts<IngestSettings>, "settings" | "clock" | "log" | "payloadBytesMax"> &
  Partial<Pick<SourceParts<IngestSettings>, "mapped" | "ownerOf">>;

export function openHttpSource(parts: Parts): Source {
  const { settings, clock, log, payloadBytesMax, mapped, ownerOf } = parts;
  const warn = throttledWarn(log, clock);
  const room = createRoom(heldBytesMax);
  const tls = lastGood(() => ingestTls(settings));
  const inTurn = createTurns();
  const pipelines = createPipelines(warn);
  const readBody = createBodyReader(settings.maxBodyBytes);
  const send = createSend(clock, 2 * settings.maxBodyBytes, pipelines.shut);
  /** By when they were handed to the intake, monotonic. */
  const waiting = new Map<Delivery, number>();
  let underWay = 0;
  let looking: Timer | undefined;
  let intake: Intake | undefined;
  let isStopping = false;
  let server: IngestServer | undefined;
  /** With the port that was given if 0 was asked for. */
  let place: ListenAddress | undefined;
  /** The certificate that is shown. */
  let shown: ReturnType<typeof ingestTls>;
  let unacknowledged = 0;
  let refused = 0;
  let turnedAway = 0;

  async function serve(request: IncomingMessage, response: ServerResponse, ask?: () => void): Promise<void> {
    const { socket } = request;
    if (!pipelines.enter(response)) return void (refused += 1);
    underWay += 1;
    try {
      send(response, await answered(request, response, ask));
    } catch (error) {
      refused += 1;
      if (error instanceof Refused) return send(response, refusalReply(error));
      // A sender that left, or sent too slowly, is answered nothing.
      if (!request.aborted && !response.destroyed)
        warn({ remote: socket.remoteAddress }, `a request could not be answered: ${explain(error)}`);
      response.destroy();
    } finally {
      underWay -= 1;
      pipelines.leave(response);
    }
  }

  async function answered(
    request: IncomingMessage,
    response: ServerResponse,
    ask?: () => void,
  ): Promise<Reply> {
    const route = routeOf(request);
    const idempotencyKey = idempotencyKeyOf(request);
    refuseIfShut();
    const share = room.share();
    try {
      const body = await readBody(request, share, ask);
      const token = tokenOf(request);
      const sender = {
        speaker: await speakerOf(route, token),
        response,
        path: route.path,
        tokenHash: token === undefined ? null : hashOf(token),
        idempotencyKey,
        receivedMs: clock.wallMs(),
      };
      const take = () => taken(route, body, sender, share);
      const delivery = await (route.isBatch ? inTurn(take) : take());
      await stored(delivery);
      return replyTo(
        delivery.messages.map(({ outcome }) => outcome ?? ""),
        route.isBatch,
      );
    } catch (error) {
      // What the intake has holds its share until it is on the disk.
      if (!(error instanceof GivenUp)) share.giveBack();
      throw error;
    }
  }

  /**
   * Who sends by a mapping, which may want a proof that neither topic nor payload has: the token in the header is to it what CONNECT is
   * at the embedded broker. @throws Refused
   */
  async function speakerOf({ topic }: Route, token: string | undefined): Promise<DeviceId | null> {
    if (topic === undefined || token === undefined || ownerOf === undefined || !mapped?.takes(topic))
      return null;
    try {
      const owner = await withDeadline(clock, ownerMs, "the registry", ownerOf(token));
      return owner === "several" ? null : owner;
    } catch {
      throw new Refused(503, "whose token it is cannot be told now; try again", 5);
    }
  }

  /** Hands its messages to the intake. @throws Refused */
  async function taken(route: Route, body: Buffer, sender: Sender, share: Share): Promise<Delivery> {
    refuseIfShut();
    const bytesMax = payloadBytesMax();
    const sent: Sent[] = [];
    await inParts(route.sent(body, bytesMax), (one) => void sent.push(one));
    const delivery = new Delivery(sent, sender, share, bytesMax);
    const to = refuseIfShut();
    await inParts(delivery.messages, (message) => {
      if (isStopping) throw givenUp(delivery);
      unacknowledged += 1;
      to.receive(message);
    });
    return delivery;
  }

  /** @throws GivenUp if that takes too long */
  async function stored(delivery: Delivery): Promise<void> {
    waiting.set(delivery, clock.monoMs());
    const isStored = await delivery.isStored;
    waiting.delete(delivery);
    if (!isStored) throw givenUp(delivery);
  }

  /** @throws Refused */
  function refuseIfShut(): Intake {
    if (intake === undefined || isStopping) throw new Refused(503, "the gateway is stopping", 5);
    if (intake.held !== null)
      throw new Refused(503, "nothing can be stored now; keep the message and try again", 5);
    if (intake.isFull())
      throw new Refused(429, "more comes in than can be stored now; try again in a second", 1);
    return intake;
  }

  /**
   * Listens, with a certificate if it is one for HTTPS. A renewed one means to listen anew: Bun's server cannot change it. What is under
   * way on the old connections goes on.
   */
  async function listen(at: ListenAddress, texts: ReturnType<typeof ingestTls>): Promise<void> {
    shown = texts;
    const opened = await listening(serve, at, settings.maxConnections, texts, turnAway);
    opened.on("clientError", pipelines.spoilt);
    opened.on("error", (error: Error) => warn({}, `HTTP ingest: ${explain(error)}`));
    if (isStopping) opened.close();
    else server = opened;
  }

  function turnAway(remote: string | undefined): void {
    turnedAway += 1;
    const why = "there are as many as may be (INGEST_MAX_CONNECTIONS, or what the process may open)";
    warn({ remote }, `connection refused: ${why}`);
  }

  /** One timer for all, and not one per request. */
  function look(): void {
    const isHeld = intake !== undefined && intake.held !== null;
    const beforeMs = clock.monoMs() - answerMs;
    for (const [delivery, sinceMs] of waiting) if (isHeld || sinceMs <= beforeMs) delivery.giveUp();
  }

  return {
    async start(to) {
      intake = to;
      looking = clock.every(lookEveryMs, look);
      await listen(placeOf(settings), tls());
      place = addressOf(server);
      log.info(detail());
      const { host = "" } = parseListen(settings.listen ?? "") ?? {};
      if (settings.tlsCert === undefined && !isLoopback(host))
        log.warn(
          "INGEST_LISTEN is not HTTPS: tokens can be read on the way; set INGEST_TLS_CERT and INGEST_TLS_KEY",
        );
    },
    durable(messages) {
      unacknowledged -= messages.length;
      for (const message of messages) if (message instanceof HttpMessage) message.delivery.noteDurable();
    },
    reconnect() {
      server?.closeAllConnections();
    },
    stopIntake() {
      isStopping = true;
      return Promise.resolve();
    },
    async close() {
      isStopping = true;
      looking?.cancel();
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
      unacknowledged,
      requests_refused: refused,
      refused_connects: turnedAway,
    }),
    counters: ["requests_refused"],
    renewTls() {
      const texts = tls();
      if (texts === undefined || place === undefined || isStopping) return;
      if (texts.cert === shown?.cert && texts.key === shown?.key) return;
      server?.close();
      server?.closeIdleConnections();
      server = undefined;
      listen(place, texts).catch((error: unknown) => {
        // The next look tries again.
        shown = undefined;
        warn({}, explain(error));
      });
    },
    address: () => addressOf(server),
  };

  function detail(): string {
    if (server === undefined) return "HTTP ingest is not running";
    const scheme = settings.tlsCert === undefined ? "http" : "https";
    return `listens at ${scheme}://${hostPort(addressOf(server))}/ingest/v1/; ${counted(underWay, "request")} under way`;
  }
}

/** The intake has messages of it all the same. */
class GivenUp extends Refused {}

/** Nobody was told, so they may come again. */
function givenUp(delivery: Delivery): GivenUp {
  delivery.giveUp();
  return new GivenUp(503, "it could not be stored in time; try again", 5);
}
