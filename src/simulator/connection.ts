/**
 * One connection of the simulator to a broker, over MQTT.js, which reports for each message whether the broker
 * answered for it.
 *
 * Two things that MQTT.js 5.16 leaves to its user are done here: it does not obey the broker's Receive Maximum (MQTT
 * 5 §3.3.4); and what it sends again after a reconnect lacks the DUP flag that MQTT 5 §3.3.1.1 demands, without which
 * no receiver can recognise it.
 */
import { readBrokerUrl } from "../core/net/mqtt-url.ts";
import mqtt, { type IClientOptions } from "mqtt";
import { type Clock, withDeadline } from "../core/clock.ts";
import { masked } from "../core/text/mask.ts";

const connectDeadlineMs = 10_000;
const reconnectMs = 250;
/** Packet identifiers are 16 bits (MQTT 5 §2.2.1). */
const packetIdsMax = 65_535;

export interface ConnectionOptions {
  /** mqtt, mqtts, ws or wss, with user and password if need be; http or https for HTTP ingest. */
  readonly brokerUrl: string;
  /** Absent: 5, and 4 (MQTT 3.1.1) where that is refused. */
  readonly protocolVersion: 4 | 5 | undefined;
  readonly clientId: string;
  /** Used instead of the URL's login. */
  readonly login?: Login;
  readonly clock: Clock;
}

/** How a device proves itself at CONNECT. */
export interface Login {
  readonly username: string;
  readonly password: string;
}

/**
 * acknowledged: the PUBACK came (QoS 1), the PUBCOMP came (QoS 2), or the message was handed to the socket (QoS 0).
 * refused: the broker answered with an error (MQTT 5 §3.4.2.1), or the connection of a QoS 0 message was gone.
 */
type SendResult = "acknowledged" | "refused";
/** With the gateway's verdict ("event" or a reason), where it is told: over HTTP. */
export type Answer = readonly [result: SendResult, verdict?: string];

export interface Connection {
  /** Whether one more message may be sent now: connected, and below the broker's Receive Maximum. */
  hasRoom(): boolean;
  /** `answered` is called at most once, and never if the broker does not answer. */
  publish(topic: string, payload: Buffer, qos: 0 | 1 | 2, answered: (...answer: Answer) => void): void;
  /** Ends in order if nothing is in flight, else at once. */
  close(): Promise<void>;
}

/** Connects once: a broker that is away is an error, but one that goes away later is waited for. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const client = mqtt.connect(clientOptions(options));
  let inFlight = 0;
  let inFlightMax = packetIdsMax;
  client.on("connect", (connack) => {
    inFlightMax = Math.min(packetIdsMax, connack.properties?.receiveMaximum ?? packetIdsMax);
  });
  markRedelivery(client);

  const connected = new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    // This listener stays for the life of the client: without it an "error" would be thrown. A lost connection recovers
    // by itself.
    client.on("error", reject);
  });
  const name = `cannot connect to ${masked(options.brokerUrl)}`;
  try {
    await withDeadline(options.clock, connectDeadlineMs, name, connected);
  } catch (cause) {
    client.end(true);
    if (options.protocolVersion === 4 || !isRefusedVersion(cause)) throw new Error(name, { cause });
    if (options.protocolVersion === 5) throw new Error(`${name}, ${versionCure}`, { cause });
    return openConnection({ ...options, protocolVersion: 4 });
  }

  return {
    hasRoom: () => client.connected && inFlight < inFlightMax,
    publish(topic, payload, qos, answered) {
      inFlight += 1;
      client.publish(topic, payload, { qos }, (error) => {
        inFlight -= 1;
        answered(error ? "refused" : "acknowledged");
      });
    },
    close: () => client.endAsync(inFlight > 0 || !client.connected),
  };
}

/** Of a CONNACK, in the form of MQTT 3.1.1 (§3.2.2.3) or 5 (§3.2.2.2), as the embedded broker gives it. */
const unsupportedVersions: ReadonlySet<number> = new Set([0x01, 0x84]);
const versionCure = "which does not speak MQTT 5: leave out --mqtt, or say --mqtt 3.1.1";

function isRefusedVersion(error: unknown): boolean {
  return error instanceof mqtt.ErrorWithReasonCode && unsupportedVersions.has(error.code);
}

/** Sets DUP on a message that was written before under the same packet identifier and has not been answered since. */
function markRedelivery(client: mqtt.MqttClient): void {
  const written = new Set<number>();
  client.on("packetsend", (packet) => {
    if (packet.cmd !== "publish" || packet.qos === 0 || packet.messageId === undefined) return;
    packet.dup = written.has(packet.messageId);
    written.add(packet.messageId);
  });
  client.on("packetreceive", (packet) => {
    if (packet.cmd === "puback" || packet.cmd === "pubcomp" || packet.cmd === "pubrec") {
      if (packet.messageId !== undefined) written.delete(packet.messageId);
    }
  });
}

function clientOptions(options: ConnectionOptions): IClientOptions {
  return {
    ...readBrokerUrl(options.brokerUrl),
    ...options.login,
    clientId: options.clientId,
    protocolVersion: options.protocolVersion ?? 5,
    reconnectPeriod: reconnectMs,
    reconnectOnConnackError: true,
    queueQoSZero: false,
    timerVariant: "native",
  };
}
