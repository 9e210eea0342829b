/**
 * The URL of a broker as MQTT.js takes it apart. As an object, for the URL form of MQTT.js prints DEP0169 on standard error in a
 * compiled executable.
 */
const defaultPorts = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

export interface BrokerPlace {
  readonly protocol: keyof typeof defaultPorts;
  readonly hostname: string;
  readonly port: number;
  /** Only of ws and wss. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
}

export const brokerSchemes = Object.keys(defaultPorts);

/** @throws if its scheme is none of mqtt, mqtts, ws, wss */
export function readBrokerUrl(text: string): BrokerPlace {
  const url = new URL(text);
  const protocol = url.protocol.slice(0, -1);
  if (!isKnown(protocol)) throw new Error(`${protocol} is none of ${brokerSchemes.join(", ")}`);
  return {
    protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? defaultPorts[protocol] : Number(url.port),
    ...(protocol.startsWith("ws") && { path: url.pathname + url.search }),
    ...(url.username !== "" && { username: decodeURIComponent(url.username) }),
    ...(url.password !== "" && { password: decodeURIComponent(url.password) }),
  };
}

function isKnown(protocol: string): protocol is keyof typeof defaultPorts {
  return protocol in defaultPorts;
}
