/**
 * The source that is a client of a broker: MQTT 5 with a Receive Maximum and a session that outlives us.
 *
 * This file keeps a connection up: which version to speak, when to try again, what to tell people. What happens on one
 * connection is in connection.ts.
 */
import { join } from "node:path";
import { backoffMs, type Timer } from "../../core/clock.ts";
import { lastGood } from "../../core/net/pem.ts";
import type { Intake } from "../../core/message.ts";
import { sourceKind, type Source } from "../../core/source.ts";
import { Said } from "../../core/log/said.ts";
import { createBrokerLosses } from "./broker-losses.ts";
import { createConnectChoice } from "./connect-choice.ts";
import { createFormerSessions } from "./former.ts";
import { type Connection, openConnection, type Ready } from "./connection.ts";
import {
  clientOptions,
  filtersOf,
  mqttMistakes,
  type MqttOptions,
  mqttSettings,
  packetBytesMax,
  placeOf,
  tlsOf,
  versionsOf,
} from "./options.ts";
import { describeFailure, groupNote, lossAhead, remarksOn, versionName } from "./words.ts";
import { probeMqtt } from "./probe.ts";
import { createStatusPublisher } from "./status.ts";
import { MqttMessage } from "./outstanding.ts";
import { createSessionMemory } from "./session-memory.ts";
import { createTakeovers } from "./takeovers.ts";

export const mqtt = sourceKind({
  name: "mqtt",
  title: "Source: a broker",
  settings: mqttSettings,
  counts: {
    broker_dropped: "Messages that the broker says it dropped for one of its clients.",
    broker_dropped_at: "When it said so last; ISO 8601, UTC.",
    rival: "What tells of another client that has our client id; null if nothing does.",
    not_subscribed: "Filters that the broker refuses to subscribe us to, while it grants others.",
    loss_ahead: "Why messages are lost as soon as gateway or broker is away; null: nothing says so.",
    session_lost_at: "When the broker said last that it has lost our session; ISO 8601, UTC.",
  },
  mistakes: mqttMistakes,
  isAsked: ({ url }) => url !== undefined,
  probe: probeMqtt,
  open: (parts) =>
    openMqttSource({
      ...parts,
      memory: createSessionMemory(join(parts.dataDir, "mqtt-session.json"), parts.log),
      lossesFile: join(parts.dataDir, "mqtt-losses.json"),
    }),
});

const [retryBaseMs, retryMaxMs] = [500, 30_000];
/** A connection that lasted this long was a good one: the next wait is short again. */
const goodConnectionMs = 10_000;
/** If nobody says how large a payload may be. */
const defaultPayloadBytesMax = 256 * 1024;
const lookAgainMs = 1000;
/** How often in a row a broker is asked what it drops. One that ends the connection for it would end every one. */
const lossAsksMax = 2;
const takenOnceText = "messages came by our old and our new subscription, and were taken once";

/** @throws if MQTT_URL is absent. */
export function openMqttSource(options: MqttOptions): Source {
  const { settings, gatewayId, clock, log, statusTopic, random = Math.random } = options;
  const { memory = createSessionMemory(undefined, log), payloadBytesMax = () => defaultPayloadBytesMax } =
    options;
  if (settings.url === undefined) throw new Error("MQTT_URL is not set");
  const place = placeOf(settings.url);
  const filters = filtersOf(settings, options.mapped?.filters);
  const clientId = settings.clientId ?? `sluice-${gatewayId}`;
  const versions = versionsOf(settings);
  const choice = createConnectChoice(versions, statusTopic !== undefined);
  const rivals = createTakeovers(clock, clientId);
  const tls = lastGood(() => tlsOf(settings));
  const losses = createBrokerLosses(options.lossesFile, place, clock, log);
  const status = statusTopic && createStatusPublisher(statusTopic, { place, clientId, log });
  const former = createFormerSessions({
    clientIds: memory.others(clientId),
    place,
    versions,
    memory,
    clock,
    log,
    random,
    payloadBytesMax,
    roundTrip(done) {
      if (connection === undefined) done();
      else connection.roundTrip(done);
    },
    optionsFor: (id, spoken, clean) =>
      clientOptions(settings, {
        clientId: id,
        version: spoken,
        clean,
        maximumPacketSize: packetBytesMax(payloadBytesMax()),
        tls: tls(),
      }),
  });

  let connection: Connection | undefined;
  let retry: Timer | undefined;
  /** While one is due: a broker drops what it cannot keep meanwhile. */
  let retryNow = () => {};
  let looking: Timer | undefined;
  let detail = `${place}: not started`;
  /** The last that was logged of how it stands, and why it did not since. */
  let said = "";
  const troubles = new Said();
  /** What becomes of the share of a member that is away: no member is told of another, so it is said always. */
  let group: string | undefined;
  let connected = false;
  let stopped = false;
  let attempt = 0;
  let reconnects = 0;
  let dialledMs = 0;
  /** The Maximum Packet Size that the connection began with. */
  let announcedBytes = 0;
  let lossAsks = 0;
  let notSubscribed = 0;
  let ahead: string | null = null;
  const first = Promise.withResolvers<void>();

  function dial(intake: Intake): void {
    if (stopped) return;
    dialledMs = clock.monoMs();
    const hadSession = memory.hasSession(clientId, place);
    const announced = packetBytesMax(payloadBytesMax());
    announcedBytes = announced;
    const { version, hasWill } = choice.asked;
    try {
      connection = openConnection({
        options: clientOptions(settings, {
          clientId,
          version,
          clean: false,
          maximumPacketSize: announced,
          tls: tls(),
          statusTopic: hasWill ? statusTopic : undefined,
        }),
        payloadBytesMax,
        filters,
        obsolete: memory.filtersOf(clientId).filter((filter) => !filters.includes(filter)),
        note: (now) => memory.note(clientId, place, now),
        mayExist: hadSession,
        originalOf: former.originalOf,
        counted: losses.heard,
        clock,
        intake,
        flows,
        ready: (facts) => ready(facts, hadSession),
        takenOnce: (messages) => log.info({ broker: place, messages }, takenOnceText),
        over: (cause) => over(intake, cause),
      });
    } catch (error) {
      over(intake, error);
    }
  }

  /** What the session held comes before the answer to SUBSCRIBE, and may take minutes on a slow line: we are at work already. */
  function flows(): void {
    if (!connected) detail = `${place}: connected; the answer to SUBSCRIBE is behind what was kept for us`;
    first.resolve();
  }

  const withSuspicion = (text: string) => [text, rivals.suspicion()].filter(Boolean).join("; ");

  function ready({ sessionPresent, server, subscribed }: Ready, hadSession: boolean): void {
    if (!choice.answered()) return connection?.abandon("asking for all once more");
    const { version, hasWill } = choice.asked;
    // Of a rival that takes the session away each time it is told once.
    if (hadSession && !sessionPresent && rivals.suspicion() === undefined) losses.sessionLost(clientId);
    connected = true;
    troubles.forget();
    former.replaced();
    const remarks = remarksOn(server, settings, version, subscribed);
    notSubscribed = subscribed.refused.length;
    ahead = lossAhead(server, settings, subscribed);
    const granted = filters.filter((filter) => !subscribed.refused.includes(filter));
    detail = [
      `${place}: connected, ${versionName(version)}, subscribed to ${granted.join(", ")}`,
      ...remarks,
    ].join("; ");
    const facts = { broker: place, client_id: clientId, session_present: sessionPresent };
    if (detail !== said || rivals.suspicion() === undefined)
      log[remarks.length > 0 ? "warn" : "info"](facts, detail);
    const note = groupNote(settings, version);
    if (note !== undefined && note !== group) log.info(facts, note);
    group = note;
    said = detail;
    status?.connected(connection, hasWill);
    askLosses();
    first.resolve();
  }

  function askLosses(): void {
    if (lossAsks >= lossAsksMax) return;
    lossAsks += 1;
    connection?.askLosses(() => (lossAsks = 0));
  }

  function over(intake: Intake, cause: unknown): void {
    connection = undefined;
    if (connected) reconnects += 1;
    const lastedMs = clock.monoMs() - dialledMs;
    if (choice.ended(cause, status?.isUnwanted(cause))) {
      connected = false;
      return dial(intake);
    }
    const before = rivals.suspicion();
    if (connected) rivals.ended(cause, lastedMs);
    const rival = rivals.suspicion();
    // Two that take turns would fill the log: the suspicion is told once. No rival keeps us from connecting: then the broker is away.
    const isTurn = connected && rival !== undefined && rival === before;
    const failure = describeFailure(cause, place);
    detail = connected ? withSuspicion(failure) : failure;
    if (!isTurn && troubles.isNew(detail)) {
      said = "";
      log.warn({ broker: place, client_id: clientId }, detail);
    }
    connected = false;
    attempt = lastedMs >= goodConnectionMs ? 0 : attempt + 1;
    first.resolve();
    if (stopped) return;
    retryNow = () => {
      retry?.cancel();
      retryNow = () => {};
      dial(intake);
    };
    retry = clock.after(backoffMs(attempt, retryBaseMs, retryMaxMs, random), retryNow);
  }

  return {
    start(intake) {
      former.begin(
        intake,
        () => first.resolve(),
        () => dial(intake),
      );
      // What the broker thinks too large it discards without a word, so it must know at once when more is allowed.
      looking = clock.every(lookAgainMs, () => {
        if (packetBytesMax(payloadBytesMax()) > announcedBytes)
          connection?.abandon("MAX_PAYLOAD_BYTES was raised");
      });
      return first.promise;
    },
    durable(messages) {
      // Those of an earlier connection are marked too, and reach nobody: their queue went with it.
      for (const message of messages) if (message instanceof MqttMessage) message.isDurable = true;
      connection?.acknowledge();
      former.acknowledge();
    },
    reconnect: () => connection?.abandon("connecting anew"),
    retryNow: () => retryNow(),
    announce: (told) => status?.announce(told, connected ? connection : undefined),
    stopIntake() {
      stopped = true;
      connection?.stopIntake();
      former.stopIntake();
      retry?.cancel();
      looking?.cancel();
      return Promise.resolve();
    },
    async close() {
      stopped = true;
      retry?.cancel();
      looking?.cancel();
      connection?.acknowledge();
      await Promise.all([connection?.close(), former.close()]);
      connected = false;
      detail = `${place}: closed`;
    },
    status: () => ({
      kind: "mqtt",
      // Without a filter a part of the devices is not heard, which is as bad for them.
      connected: (connected && notSubscribed === 0) || former.isTaking(),
      detail: [
        connected ? withSuspicion(detail) : detail,
        former.detail(),
        connected ? group : undefined,
        connected ? status?.refusal() : undefined,
      ]
        .filter(Boolean)
        .join("; "),
      reconnects,
      unacknowledged: (connection?.unacknowledged() ?? 0) + former.unacknowledged(),
      ...losses.stats(),
      rival: rivals.suspicion() ?? null,
      not_subscribed: connected ? notSubscribed : 0,
      loss_ahead: connected ? ahead : null,
    }),
    counters: ["broker_dropped"],
  };
}
