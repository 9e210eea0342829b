/** The settings of the embedded broker. */
import { isLoopback, parseListen } from "../../core/net/listen.ts";
import { integer, flag, listenAt, optionalString, string, type Values } from "../../core/settings.ts";
import { oneLevel } from "../../core/topic-level.ts";
import { readTls, tlsMistakes, type TlsTexts } from "../../core/net/pem.ts";

const listenAddress = listenAt("127.0.0.1:1883 or [::]:1883");

export const brokerSettings = {
  listen: string({
    name: "BROKER_LISTEN",
    default: "127.0.0.1:1883",
    unit: "host:port",
    check: listenAddress,
    help: "Where the embedded broker listens, when there is no MQTT_URL.",
  }),
  tlsListen: optionalString({
    name: "BROKER_TLS_LISTEN",
    unit: "host:port",
    check: listenAddress,
    help: "Where it listens with TLS as well; needs BROKER_TLS_CERT and BROKER_TLS_KEY.",
  }),
  tlsCert: optionalString({
    name: "BROKER_TLS_CERT",
    unit: "path",
    help: "PEM file of the embedded broker's certificate.",
  }),
  tlsKey: optionalString({
    name: "BROKER_TLS_KEY",
    unit: "path",
    help: "PEM file of the key of BROKER_TLS_CERT.",
  }),
  tlsCa: optionalString({
    name: "BROKER_TLS_CA",
    unit: "path",
    help: "PEM file of the CA that signed the devices' certificates, whose common name <tenant>/<device> then proves the device.",
  }),
  tenant: optionalString({
    name: "BROKER_TENANT",
    unit: "name",
    check: oneLevel,
    help: "The tenant of devices that give their id alone as user name or common name.",
  }),
  requireAuth: flag({
    name: "BROKER_REQUIRE_AUTH",
    default: false,
    help: "Refuse devices that do not prove themselves at CONNECT: user name <tenant>/<device> and password = token, or the token alone as user name.",
  }),
  maxConnections: integer({
    name: "BROKER_MAX_CONNECTIONS",
    default: 10_000,
    unit: "connections",
    min: 1,
    help: "Connections beyond this many are closed at once.",
  }),
};

export type BrokerSettings = Values<typeof brokerSettings>;

/** What is wrong with these settings taken together, a sentence each; for config/index.ts. */
export function brokerMistakes(settings: BrokerSettings): string[] {
  const mistakes: string[] = [];
  const { listen, tlsListen, tlsCa, tlsCert, tlsKey, requireAuth } = settings;
  const host = parseListen(listen)?.host ?? "";
  if (!isLoopback(host) && !requireAuth)
    mistakes.push(
      `BROKER_LISTEN=${listen} can be reached from other hosts without proof of identity: set BROKER_REQUIRE_AUTH=1, or listen on 127.0.0.1`,
    );
  const tlsHost = tlsListen === undefined ? undefined : parseListen(tlsListen)?.host;
  if (tlsHost !== undefined && !isLoopback(tlsHost) && !requireAuth)
    mistakes.push(
      `BROKER_TLS_LISTEN=${tlsListen} can be reached from other hosts without proof of identity: set BROKER_REQUIRE_AUTH=1`,
    );
  if (tlsListen !== undefined && (tlsCert === undefined || tlsKey === undefined))
    mistakes.push("BROKER_TLS_LISTEN needs BROKER_TLS_CERT and BROKER_TLS_KEY");
  const idle = Object.entries({ [tlsNames.cert]: tlsCert, [tlsNames.key]: tlsKey, [tlsNames.ca]: tlsCa })
    .filter(([, path]) => path !== undefined && tlsListen === undefined)
    .map(([name]) => `${name} needs BROKER_TLS_LISTEN: without it nothing is encrypted`);
  mistakes.push(...idle);
  return [...mistakes, ...tlsMistakes(tlsNames, { ca: tlsCa, cert: tlsCert, key: tlsKey })];
}

const tlsNames = { ca: "BROKER_TLS_CA", cert: "BROKER_TLS_CERT", key: "BROKER_TLS_KEY" };

/** @throws naming the setting and the file */
export function brokerTls({ tlsCa, tlsCert, tlsKey }: BrokerSettings): TlsTexts {
  return readTls(tlsNames, { ca: tlsCa, cert: tlsCert, key: tlsKey });
}
