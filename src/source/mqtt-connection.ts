/**
 * One connection to a broker, from CONNECT to its end. A new MQTT.js client for each: acknowledgements belong to a
 * connection (packet identifiers are used again after it), and so everything about them ends with this closure.
 * Letting MQTT.js reconnect by itself lost: its interval has no jitter and its state outlives the connection.
 *
 * MQTT.js acknowledges from the callback that lets the next packet through, so an acknowledgement that waits for the
 * disk would allow one message per fsync. Therefore we take it over: `packetreceive` is emitted before a packet is handled,
 * and what leaves there as QoS 0 is passed on at once and not acknowledged by the library. We remember the real QoS and
 * send the answer ourselves: PUBACK, or PUBREC where an old session still sends QoS 2 (the library then answers PUBREL
 * with PUBCOMP). This rests on an order of events inside MQTT.js 5.16.0; test/source/mqtt-ack.test.ts holds it.
 */
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import type { Clock, Timer } from "../core/clock.ts";
import type { Intake } from "../core/message.ts";
import { BrokerReason, Closed } from "./mqtt-words.ts";
import { ANSWER_MS } from "./mqtt-options.ts";
import { MqttMessage, outstanding } from "./outstanding.ts";

export interface Ready {
  readonly sessionPresent: boolean;
  /** What the broker says in CONNACK about itself (MQTT 5 §3.2.2.3). */
  readonly server: IConnackPacket["properties"];
  /** Granted for our subscription; undefined when the session still had it. */
  readonly grantedQos: number | undefined;
}

export interface ConnectionSpec {
  readonly options: IClientOptions;
  readonly filter: string;
  /** The session is known to have our subscription, if it is present. */
  readonly subscribed: boolean;
  /** With MQTT 3.1.1 nothing makes the broker keep to a window: we stop reading beyond this many unacknowledged. */
  readonly windowMax: number;
  readonly clock: Clock;
  readonly intake: Intake;
  ready(facts: Ready): void;
  /** Called once, unless `close` was called first. */
  over(cause: unknown): void;
}

export interface Connection {
  /** Sends the acknowledgements of the settled prefix, in one write. */
  acknowledge(): void;
  /** Ignores, and so does not acknowledge, what comes from now on: the broker keeps it for the session. */
  stopIntake(): void;
  /** Says goodbye without ending the session. Resolves when closed, at the latest after 2 s. */
  close(): Promise<void>;
  /** Breaks the connection off; `over` is called as for any that was lost. */
  abandon(): void;
  unacknowledged(): number;
}

const GOODBYE_MS = 2000;

export function openConnection(spec: ConnectionSpec): Connection {
  const { clock, intake } = spec;
  const client = connect(spec.options);
  const waiting = outstanding();
  let taking = true;
  let answered = false;
  let ended = false;
  let deadline: Timer | undefined;
  let held: Timer | undefined;

  const end = (cause: unknown) => {
    if (ended) return;
    ended = true;
    deadline?.cancel();
    held?.cancel();
    client.end(true);
    spec.over(cause);
  };
  const expectSuback = () => {
    deadline = clock.after(ANSWER_MS, () => {
      if (held === undefined) end(new Error(`no answer to SUBSCRIBE within ${ANSWER_MS} ms`));
      else expectSuback();
    });
  };
  client.on("error", end);
  client.on("disconnect", (packet) => end(new BrokerReason(packet.reasonCode ?? 0)));
  client.on("close", () => end(new Closed(answered)));
  client.on("connect", (connack) => {
    answered = true;
    if (connack.sessionPresent && spec.subscribed) {
      spec.ready({ sessionPresent: true, server: connack.properties, grantedQos: undefined });
      return;
    }
    expectSuback();
    // Retain Handling 1 (MQTT 5 §3.8.3.1): retained messages only for a new subscription, not again at every start.
    client.subscribe(spec.filter, { qos: 1, rh: 1 }, (error, granted) => {
      deadline?.cancel();
      if (ended) return;
      if (error)
        return end(new Error(`the broker refuses to subscribe us to ${spec.filter}`, { cause: error }));
      spec.ready({
        sessionPresent: connack.sessionPresent,
        server: connack.properties,
        grantedQos: granted?.[0]?.qos ?? 0,
      });
    });
  });

  const hold = (goOn: () => void) => {
    held = keepAwake(client, clock, spec.options.keepalive ?? 0);
    intake.whenRoom(() => {
      held?.cancel();
      held = undefined;
      goOn();
    });
  };
  takeOver(client, clock, (message, goOn) => {
    if (taking && !ended) {
      if (message.qos > 0) waiting.push(message);
      intake.receive(message);
      const unbounded = message.qos === 0 || waiting.size() > spec.windowMax;
      if (unbounded && intake.isFull()) return hold(goOn);
    }
    goOn();
  });

  return {
    acknowledge() {
      if (ended) return;
      const acks = waiting.takeAcks();
      if (acks !== undefined) client.stream.write(acks);
    },
    stopIntake: () => {
      taking = false;
    },
    close() {
      if (ended) return Promise.resolve();
      ended = true;
      deadline?.cancel();
      held?.cancel();
      return goodbye(client, clock);
    },
    abandon: () => void client.stream.destroy(),
    unacknowledged: () => waiting.size(),
  };
}

/** Routes every PUBLISH to `deliver`, which calls `goOn` for the next one. */
function takeOver(
  client: MqttClient,
  clock: Clock,
  deliver: (message: MqttMessage, goOn: () => void) => void,
): void {
  let qos: 0 | 1 | 2 = 0;
  client.on("packetreceive", (packet) => {
    if (packet.cmd !== "publish") return;
    qos = packet.qos;
    packet.qos = 0;
  });
  client.handleMessage = (packet, goOn) => {
    const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    const packetId = qos === 0 ? 0 : (packet.messageId ?? 0);
    const { topic, dup, retain } = packet;
    deliver(new MqttMessage(topic, payload, qos, dup, retain, packetId, clock.wallMs()), goOn);
  };
}

/**
 * While we do not read, we cannot see the answers to our pings either. So that neither side takes that for silence:
 * go on pinging and push our own deadline back.
 */
function keepAwake(client: MqttClient, clock: Clock, keepaliveSeconds: number): Timer {
  return clock.every((keepaliveSeconds * 1000) / 3, () => {
    client.sendPing();
    client.reschedulePing(true);
  });
}

function goodbye(client: MqttClient, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(GOODBYE_MS, () => {
      client.stream.destroy();
      resolve();
    });
    // Before CONNACK a goodbye would wait in the library's queue.
    client.end(!client.connected, {}, () => {
      timer.cancel();
      resolve();
    });
  });
}
