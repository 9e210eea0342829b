/**
 * The source that is a client of a broker: MQTT 5 with a Receive Maximum and a session that outlives us.
 *
 * This file keeps a connection up: which version to speak, when to try again, what to tell people. What happens on one
 * connection is in mqtt-connection.ts.
 */
import { backoffMs, type Clock, type Timer } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Intake, Source } from "../core/message.ts";
import { type Connection, openConnection, type Ready } from "./mqtt-connection.ts";
import { clientOptions, filterOf, type MqttSettings, type MqttVersion, placeOf } from "./mqtt-options.ts";
import { describeFailure, refusesVersion, remarksOn, versionName } from "./mqtt-words.ts";
import { MqttMessage } from "./outstanding.ts";

export { mqttMistakes, mqttSettings } from "./mqtt-options.ts";

export interface MqttOptions {
  readonly settings: MqttSettings;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

const RETRY_BASE_MS = 500;
const RETRY_MAX_MS = 30_000;
/** A connection that lasted this long was a good one: the next wait is short again. */
const GOOD_CONNECTION_MS = 10_000;

/** @throws where MQTT_URL is absent. */
export function mqttSource({ settings, gatewayId, clock, log, random = Math.random }: MqttOptions): Source {
  if (settings.url === undefined) throw new Error("MQTT_URL is not set");
  const place = placeOf(settings.url);
  const filter = filterOf(settings);
  const clientId = settings.clientId ?? `sluice-${gatewayId}`;
  const preferred: MqttVersion = settings.version === "3.1.1" ? 4 : 5;

  let version = preferred;
  let connection: Connection | undefined;
  let retry: Timer | undefined;
  let detail = `${place}: not started`;
  let connected = false;
  let subscribed = false;
  let stopped = false;
  let attempt = 0;
  let reconnects = 0;
  let dialledMs = 0;
  const first = Promise.withResolvers<void>();

  function dial(intake: Intake): void {
    dialledMs = clock.monoMs();
    try {
      connection = openConnection({
        options: clientOptions(settings, clientId, version, false),
        filter,
        subscribed,
        windowMax: settings.receiveMaximum,
        clock,
        intake,
        ready,
        over: (cause) => over(intake, cause),
      });
    } catch (error) {
      over(intake, error);
    }
  }

  function ready(facts: Ready): void {
    if (subscribed && !facts.sessionPresent)
      log.warn(
        { broker: place },
        "the broker lost our session and what it had kept for us; subscribed again",
      );
    connected = true;
    subscribed = true;
    const remarks = remarksOn(facts.server, settings, version);
    if (facts.grantedQos === 0) remarks.push("it grants QoS 0 only: what comes while we are away is lost");
    detail = [`${place}: connected, ${versionName(version)}, subscribed to ${filter}`, ...remarks].join("; ");
    if (remarks.length > 0) log.warn({ broker: place, client_id: clientId }, detail);
    else log.info({ broker: place, client_id: clientId, session_present: facts.sessionPresent }, detail);
    first.resolve();
  }

  function over(intake: Intake, cause: unknown): void {
    connection = undefined;
    if (connected) reconnects += 1;
    connected = false;
    if (settings.version === "auto" && version === 5 && refusesVersion(cause)) {
      version = 4;
      return dial(intake);
    }
    const why = describeFailure(cause, place);
    if (why !== detail) log.warn({ broker: place }, why);
    detail = why;
    attempt = clock.monoMs() - dialledMs >= GOOD_CONNECTION_MS ? 0 : attempt + 1;
    version = preferred;
    first.resolve();
    if (stopped) return;
    retry = clock.after(backoffMs(attempt, RETRY_BASE_MS, RETRY_MAX_MS, random), () => dial(intake));
  }

  return {
    start(intake) {
      dial(intake);
      return first.promise;
    },
    settled(messages) {
      // Those of an earlier connection are marked too, and reach nobody: their queue went with it.
      for (const message of messages) if (message instanceof MqttMessage) message.settled = true;
      connection?.acknowledge();
    },
    reconnect: () => connection?.abandon(),
    stopIntake() {
      stopped = true;
      connection?.stopIntake();
      retry?.cancel();
      return Promise.resolve();
    },
    async close() {
      stopped = true;
      retry?.cancel();
      connection?.acknowledge();
      await connection?.close();
      connected = false;
      detail = `${place}: closed`;
    },
    status: () => ({
      kind: "mqtt",
      connected,
      detail,
      reconnects,
      unacknowledged: connection?.unacknowledged() ?? 0,
    }),
  };
}
