/**
 * The settings of the MQTT client, and how they become the options of MQTT.js.
 */
import { brokerSchemes, readBrokerUrl } from "../../core/net/mqtt-url.ts";
import type { IClientOptions } from "mqtt";
import { z } from "zod";
import {
  oneOf,
  integer,
  optionalString,
  optionalInteger,
  string,
  urlOf,
  type Values,
} from "../../core/settings.ts";
import { pairMistakes, readTls, tlsMistakes, type TlsTexts } from "../../core/net/pem.ts";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import type { Mapped, StatusTopic } from "../../core/source.ts";
import type { SessionMemory } from "./session-memory.ts";
import { clashes, levelsOf, widest } from "../../core/topic-filter.ts";

/** MQTT 5 §4.7: + is a whole level, # the whole last one. */
const topicFilter = /^(?!\$share\/)(?:[^+#\0/]*|\+)(?:\/(?:[^+#\0/]*|\+))*(?:\/#)?$|^#$/;

const topicFilters = z
  .string()
  .refine(
    (said) => listed(said).every((filter) => filter !== "" && topicFilter.test(filter)),
    "a topic filter, or several with commas: + as a whole level, # as the whole last level (MQTT_SHARE_GROUP makes a shared subscription)",
  );

function listed(said: string): string[] {
  return said.split(",").map((filter) => filter.trim());
}

const secondsMax = 0xffff_fffe;

export const mqttSettings = {
  url: optionalString({
    name: "MQTT_URL",
    unit: "url",
    check: urlOf(brokerSchemes),
    help: "The broker to take messages from (mqtt, mqtts, ws or wss; absent: the gateway is the broker itself).",
  }),
  username: optionalString({
    name: "MQTT_USERNAME",
    help: "User name at the broker; may also stand in MQTT_URL.",
  }),
  password: optionalString({
    name: "MQTT_PASSWORD",
    secret: true,
    help: "Password at the broker; may also stand in MQTT_URL.",
  }),
  clientId: optionalString({
    name: "MQTT_CLIENT_ID",
    help: "Names the session at the broker, so it must be this gateway's alone (absent: sluice-<GATEWAY_ID>).",
  }),
  topic: string({
    name: "MQTT_TOPIC",
    default: "tenant/+/device/+/+",
    unit: "topic filter",
    check: topicFilters,
    help: "What to subscribe to, at QoS 1; several with commas. The topics of MAPPINGS_FILE come besides.",
  }),
  shareGroup: optionalString({
    name: "MQTT_SHARE_GROUP",
    unit: "name",
    check: z.string().regex(/^[^+#/\0]+$/, "a name without + # /"),
    help: "Gateways with the same name here share the messages among them ($share/<name>/<topic>).",
  }),
  tlsCa: optionalString({
    name: "MQTT_TLS_CA",
    unit: "path",
    help: "PEM file of the CA that signed the broker's certificate (absent: those that this host trusts).",
  }),
  tlsCert: optionalString({
    name: "MQTT_TLS_CERT",
    unit: "path",
    help: "PEM file of our client certificate.",
  }),
  tlsKey: optionalString({
    name: "MQTT_TLS_KEY",
    unit: "path",
    help: "PEM file of the key of MQTT_TLS_CERT.",
  }),
  keepaliveSeconds: integer({
    name: "MQTT_KEEPALIVE_SECONDS",
    default: 30,
    unit: "seconds",
    min: 1,
    max: 65_535,
    help: "A connection that is silent for one and a half times this long is given up and made anew.",
  }),
  sessionExpirySeconds: optionalInteger({
    name: "MQTT_SESSION_EXPIRY_SECONDS",
    unit: "seconds",
    min: 1,
    max: secondsMax,
    help: "How long the broker keeps our session, and what arrives for it, while we are away (MQTT 5; absent: 7d, and 10m in a share group).",
  }),
  receiveMaximum: integer({
    name: "MQTT_RECEIVE_MAXIMUM",
    default: 20_000,
    unit: "messages",
    min: 1,
    max: 65_535,
    help: "Most messages the broker may send ahead of our acknowledgement (MQTT 5; with 3.1.1 the broker decides).",
  }),
  version: oneOf({
    name: "MQTT_VERSION",
    default: "auto",
    words: ["auto", "5", "3.1.1"],
    help: "auto: MQTT 5, and 3.1.1 if the broker refuses that or does not answer it.",
  }),
};

export type MqttSettings = Values<typeof mqttSettings>;
export type MqttVersion = 5 | 4;

export interface MqttOptions {
  readonly settings: MqttSettings;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly mapped?: Mapped;
  readonly statusTopic?: StatusTopic | undefined;
  /** What our sessions were given before; absent: nothing is known of it. */
  readonly memory?: SessionMemory;
  /** Keeps the broker's last count of what it dropped. */
  readonly lossesFile?: string;
  /** MAX_PAYLOAD_BYTES as it is now. */
  readonly payloadBytesMax?: () => number;
  readonly random?: () => number;
}

/** Those that may be spoken, the one that is wanted most first. */
export function versionsOf({ version }: MqttSettings): readonly MqttVersion[] {
  if (version === "auto") return [5, 4];
  return [version === "5" ? 5 : 4];
}

/** How long a broker may take to answer CONNECT or SUBSCRIBE. */
export const answerMs = 10_000;

/** What is wrong with these settings taken together, a sentence each; for config/index.ts. */
export function mqttMistakes(settings: MqttSettings): string[] {
  const mistakes: string[] = [];
  const { url, topic, tlsCa, tlsCert, tlsKey } = settings;
  const clash = clashIn(listed(topic));
  if (clash !== undefined)
    mistakes.push(
      `MQTT_TOPIC=${topic}: ${clash}, so that a broker may send a message twice; make one narrower`,
    );
  const paths = { ca: tlsCa, cert: tlsCert, key: tlsKey };
  mistakes.push(...pairMistakes(tlsNames, paths));
  if (url !== undefined && !/^(mqtts|wss):/.test(url) && (tlsCa ?? tlsCert ?? tlsKey) !== undefined)
    mistakes.push(
      "MQTT_TLS_CA, MQTT_TLS_CERT and MQTT_TLS_KEY need an MQTT_URL that begins with mqtts:// or wss://",
    );
  return [...mistakes, ...tlsMistakes(tlsNames, paths)];
}

/** Two that share some topics, neither containing the other; undefined: there are none. */
function clashIn(filters: readonly string[]): string | undefined {
  const all = filters.map((filter) => ({ filter, levels: levelsOf(filter) }));
  for (const [i, { filter, levels }] of all.entries()) {
    const other = all.slice(0, i).find((earlier) => clashes(earlier.levels, levels));
    if (other !== undefined)
      return `${other.filter} and ${filter} share some topics, and neither contains the other`;
  }
  return undefined;
}

/** What we subscribe to: what another one covers is left out. @param mapped those of mappings */
export function filtersOf({ topic, shareGroup }: MqttSettings, mapped: readonly string[] = []): string[] {
  return widest([...listed(topic), ...mapped]).map((filter) =>
    shareGroup === undefined ? filter : `$share/${shareGroup}/${filter}`,
  );
}

const aloneSeconds = 7 * 86_400;
/** In a share group what is kept for a member that does not come back is kept from the others. */
const inGroupSeconds = 600;

export function sessionExpiryOf({ sessionExpirySeconds, shareGroup }: MqttSettings): number {
  return sessionExpirySeconds ?? (shareGroup === undefined ? aloneSeconds : inGroupSeconds);
}

/** The broker as it may be shown: no user, no password, no query. */
export function placeOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
}

/** What a broker may send beyond MAX_PAYLOAD_BYTES: topic and headers, and room for a payload that is to be rejected by name. */
const packetBytesAbovePayload = 1_048_576;
/** MQTT 5 §2.1.4. */
const protocolBytesMax = 268_435_455 + 5;

/** The Maximum Packet Size that we tell the broker (MQTT 5 §3.1.2.11.4): it discards what is larger. */
export const packetBytesMax = (payloadBytesMax: number) =>
  Math.min(payloadBytesMax + packetBytesAbovePayload, protocolBytesMax);

export interface ClientOptions {
  readonly clientId: string;
  readonly version: MqttVersion;
  /** True: a session that ends with the connection; false: one that the broker keeps. */
  readonly clean: boolean;
  readonly maximumPacketSize?: number;
  /** Absent: read now. */
  readonly tls?: TlsTexts;
  readonly statusTopic?: StatusTopic | undefined;
}

/** @throws if MQTT_URL is absent or a certificate cannot be read. */
export function clientOptions(settings: MqttSettings, options: ClientOptions): IClientOptions {
  const {
    clientId,
    version,
    clean,
    maximumPacketSize = protocolBytesMax,
    tls = tlsOf(settings),
    statusTopic,
  } = options;
  if (settings.url === undefined) throw new Error("MQTT_URL is not set");
  const { username: user = "", password: pass = "", ...place } = readBrokerUrl(settings.url);
  const { username = user, password = pass } = settings;
  return {
    ...place,
    ...(username !== "" && { username }),
    ...(password !== "" && { password }),
    ...tls,
    clientId,
    clean,
    ...(statusTopic && { will: willOf(statusTopic) }),
    protocolVersion: version,
    keepalive: settings.keepaliveSeconds,
    connectTimeout: answerMs,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    timerVariant: "native",
    log: () => {},
    ...(version === 5 && {
      properties: {
        receiveMaximum: settings.receiveMaximum,
        maximumPacketSize,
        ...(!clean && { sessionExpiryInterval: sessionExpiryOf(settings) }),
      },
    }),
  };
}

function willOf({ topic, lastWill }: StatusTopic): NonNullable<IClientOptions["will"]> {
  return { topic, payload: Buffer.from(lastWill), qos: 1, retain: true };
}

const tlsNames = { ca: "MQTT_TLS_CA", cert: "MQTT_TLS_CERT", key: "MQTT_TLS_KEY" };

/** @throws naming the setting and the file */
export function tlsOf({ tlsCa, tlsCert, tlsKey }: MqttSettings): TlsTexts {
  return readTls(tlsNames, { ca: tlsCa, cert: tlsCert, key: tlsKey });
}
