/**
 * The source for sites without a broker: the gateway is one itself (aedes, MQTT 3.1.1).
 *
 * aedes asks `authorizePublish` before it acknowledges. There a message goes to the intake, and the answer is given when it
 * comes back as durable: so the device's PUBACK (QoS 2: PUBREC) waits for the same fsync as everything else. A
 * client is read one piece at a time, which bounds what it can have on the way.
 *
 * It is an intake and not a general broker: it keeps no sessions and no retained messages, because both are memory that
 * any client can fill. Those connected may subscribe, and get what is published meanwhile.
 */
import type { Socket } from "node:net";
import { Aedes, type Client } from "aedes";
import { type Clock, sleep } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import { sourceKind, type Source } from "../../core/source.ts";
import { remoteOf } from "./clients.ts";
import { createBrokerDoors, unfinishedBytesMax } from "./doors.ts";
import { NotOwnTopic, whyGone, whyNoConnect, whyNoHandshake } from "./words.ts";
import { createIntakeGate, waitingBytesMax } from "./intake.ts";
import { type Listener, listenOn } from "./listener.ts";
import { readByPieces } from "./pieces.ts";
import { createBrokerRules, drainMs, passedOnPerSecondMax, type RulesOptions } from "./rules.ts";
import { connectionBytes } from "../../core/memory/bound.ts";
import { hostPort, parseListen, type ListenAddress } from "../../core/net/listen.ts";
import { probePort } from "../../core/net/probe-port.ts";
import { lastGood } from "../../core/net/pem.ts";
import { brokerMistakes, brokerSettings, brokerTls } from "./settings.ts";
import { throttledWarn } from "../../core/log/throttled-warn.ts";
import { counted } from "../../core/text/readable.ts";

/** For a gateway that no source before it in the list brings messages to. */
export const broker = sourceKind({
  name: "broker",
  title: "Source: the embedded broker",
  settings: brokerSettings,
  counts: {
    refused_connects: "Connections refused: for want of room, in the TLS handshake, or at CONNECT.",
    not_passed_on: "Copies that subscribers were not sent, for there were too many.",
  },
  mistakes: (values, isAsked) => (isAsked ? brokerMistakes(values) : []),
  isAsked: (_, earlier) => earlier.length === 0,
  async probe({ listen, tlsListen }) {
    const ports = [await probePort("BROKER_LISTEN", listen)];
    if (tlsListen !== undefined) ports.push(await probePort("BROKER_TLS_LISTEN", tlsListen));
    return `no MQTT_URL: the gateway is itself the broker; ${ports.join(", ")}`;
  },
  open: openBrokerSource,
  memory: ({ maxConnections }) => [
    { part: "packets that wait for the intake", bytes: waitingBytesMax },
    { part: "packets that are not complete", bytes: unfinishedBytesMax },
    { part: "packets on their way to slow subscribers", bytes: passedOnBytesMax },
    { part: "connections (BROKER_MAX_CONNECTIONS)", bytes: maxConnections * connectionBytes },
  ],
});

/** A subscriber that takes nothing for `drainMs` is disconnected; a message is rarely of more than 8 KiB (MAX_PAYLOAD_BYTES). */
const passedOnBytesMax = ((passedOnPerSecondMax * drainMs) / 1000) * 8 * 1024;

export type BrokerOptions = Omit<RulesOptions, "warn" | "welcome"> & {
  readonly log: Log;
  readonly isAlone?: boolean;
};

export interface BrokerSource extends Source {
  /** Where it listens, with the real port if 0 was asked for. */
  address(): ListenAddress;
  /** The same for TLS; undefined if BROKER_TLS_LISTEN is not set. */
  tlsAddress(): ListenAddress | undefined;
  /** Whoever does not prove himself any more is disconnected. */
  recheck(isMeant?: (tenantId: string, deviceId: string) => boolean): void;
  /** Those that connect from now on are shown what there is. */
  renewTls(): void;
}

/** What a packet may have beyond the payload bound: a topic, and room for a payload that is to be rejected by name. */
const packetBytesAbovePayload = 1024 * 1024;
/** How long `close` waits for clients to take their last acknowledgements. */
const goodbyeMs = 1000;

export function openBrokerSource(options: BrokerOptions): BrokerSource {
  const { settings, clock, log, payloadBytesMax = () => Number.POSITIVE_INFINITY, isAlone = true } = options;
  const warn = throttledWarn(log, clock);
  const gate = createIntakeGate(warn);
  const packetBytesMax = () => payloadBytesMax() + packetBytesAbovePayload;
  const doors = createBrokerDoors({
    connectionsMax: settings.maxConnections,
    // HTTP ingest may have the other half.
    part: isAlone ? 1 : 0.5,
    packetBytesMax,
    unread(socket: Socket & { readonly client?: Client }) {
      if (socket.client === undefined) return;
      isHeard(socket);
      gate.unread(socket.client);
    },
    comesIn: isHeard,
    clock,
    warn,
  });
  const rules = createBrokerRules({ ...options, warn, welcome: doors.welcome }, gate);
  const aedes = new Aedes(rules.aedes);
  let plain: Listener | undefined;
  let secure: Listener | undefined;
  let noHandshakes = 0;

  const sayWhy = (client: Client, error: Error, why: string | undefined) => {
    // The rules have said why, and to whom.
    if (why === undefined || error.message.startsWith("CONNECT refused")) return;
    const which = error instanceof NotOwnTopic ? { topic: error.topic } : {};
    warn(
      { client_id: shownId(client), remote: remoteOf(client), ...which },
      `a client was disconnected: ${why}`,
    );
  };
  aedes.on("unsubscribe", (filters, client) => rules.unsubscribed(client, filters));
  aedes.on("clientError", (client, error) => sayWhy(client, error, whyGone(error)));
  aedes.on("connectionError", (client, error) => sayWhy(client, error, whyNoConnect(error)));
  // Without a listener, node:events would end the process.
  aedes.addListener("error", (error: Error) => warn({}, `the embedded broker: ${error.message}`));

  function accept(socket: Socket): void {
    aedes.handle(socket);
    const watch = doors.watch(socket);
    if (watch !== undefined) readByPieces(socket, watch, gate.putsOff);
  }
  const failed = (error: Error) => warn({}, `the embedded broker's port: ${error.message}`);
  const noHandshake = (error: Error, socket: Socket) => {
    // The door has said why, and counted it: its end is a failed handshake, too.
    if (!doors.has(socket)) return;
    noHandshakes += 1;
    warn({ remote: socket.remoteAddress }, `TLS handshake failed: ${whyNoHandshake(error)}`);
  };
  const stopListening = () => {
    gate.shut();
    plain?.stop();
    secure?.stop();
  };

  return {
    async start(intake) {
      gate.open(intake);
      await aedes.listen();
      const where = addressOf("BROKER_LISTEN", settings.listen);
      plain = await listenOn({ setting: "BROKER_LISTEN", where, enter: doors.enter, accept, failed });
      if (settings.tlsListen === undefined) return announce();
      const secured = { tls: lastGood(() => brokerTls(settings)), noHandshake };
      const tlsWhere = addressOf("BROKER_TLS_LISTEN", settings.tlsListen);
      const setting = "BROKER_TLS_LISTEN";
      secure = await listenOn({ setting, where: tlsWhere, secured, enter: doors.enter, accept, failed });
      announce();
    },
    durable: (messages) => gate.durable(messages),
    reconnect() {
      for (const socket of [...doors.sockets()]) socket.destroy();
    },
    stopIntake() {
      stopListening();
      return Promise.resolve();
    },
    async close() {
      stopListening();
      rules.close();
      await sayGoodbye([...doors.sockets()], clock);
      doors.close();
      await new Promise<void>((resolve) => aedes.close(resolve));
      plain = undefined;
      secure = undefined;
    },
    status: () => ({
      kind: "broker",
      connected: plain !== undefined,
      detail: detail(),
      reconnects: 0,
      unacknowledged: gate.unacknowledged(),
      ...counts(),
    }),
    recheck: rules.recheck,
    connectionsOf: rules.connectionsOf,
    announce(status) {
      const topic = options.statusTopic?.topic;
      if (topic === undefined || aedes.closed) return;
      const packet = { cmd: "publish", topic, payload: status, qos: 0, retain: true, dup: false } as const;
      aedes.publish(packet, () => {});
    },
    address() {
      if (plain === undefined) throw new Error("the broker does not listen: start it first");
      return plain.address();
    },
    tlsAddress: () => secure?.address(),
    renewTls: () => secure?.renew(),
  };

  function counts() {
    const { refused_connects: refused, ...others } = rules.counts();
    return { refused_connects: refused + noHandshakes + doors.turnedAway(), ...others };
  }

  function detail(): string {
    if (plain === undefined) return "the embedded broker is not running";
    const places = [plain, ...(secure === undefined ? [] : [secure])].map((listener) => {
      return `${hostPort(listener.address())}${listener === secure ? " (TLS)" : ""}`;
    });
    return `the embedded broker listens on ${places.join(" and ")}; ${counted(doors.count(), "connection")}`;
  }

  function announce(): void {
    log.info({ require_auth: settings.requireAuth }, detail());
  }
}

/** aedes counts silence from the last packet that it read as a whole. */
function isHeard({
  client,
}: Socket & { readonly client?: Client & { _keepaliveTimer?: Timeout | null } }): void {
  client?._keepaliveTimer?.refresh();
}
type Timeout = ReturnType<typeof setTimeout>;

/** A client id may be 64 KiB long, and is null before CONNECT. */
const shownId = ({ id }: { readonly id: string | null }) => id?.slice(0, 64);

async function sayGoodbye(sockets: readonly Socket[], clock: Clock): Promise<void> {
  const gone = sockets.map(
    (socket) => new Promise<void>((resolve) => void socket.once("close", () => resolve())),
  );
  for (const socket of sockets) socket.end();
  const patience = new AbortController();
  await Promise.race([Promise.all(gone), sleep(clock, goodbyeMs, patience.signal)]);
  patience.abort();
  for (const socket of sockets) socket.destroy();
}

function addressOf(setting: string, said: string): ListenAddress {
  const where = parseListen(said);
  if (where === undefined) throw new Error(`${setting}=${said} is not host:port`);
  return where;
}
