/**
 * What people are told about a broker: why a connection failed, as one sentence that an operator can act on, and what
 * to know about one that works. Pure: facts in, words out.
 *
 * Reason codes: MQTT 5 §3.2.2.2 (CONNACK) and §3.14.2.1 (DISCONNECT), MQTT 3.1.1 §3.2.2.3.
 */
import type { IConnackPacket } from "mqtt";
import { explain } from "../../core/log/log.ts";
import { unreachedText } from "../../core/net/unreached.ts";
import { type MqttSettings, type MqttVersion, sessionExpiryOf } from "./options.ts";
import type { Subscribed } from "./subscribe.ts";

/** A connection that ended with a reason code from the broker. */
export class BrokerReason extends Error {
  readonly code: number;
  /** Its own words, if it gave some (MQTT 5 §3.14.2.2.3). */
  readonly said: string;

  constructor(code: number, said = "") {
    super(`reason code ${code}`);
    this.code = code;
    this.said = said.slice(0, saidCharsMax);
  }
}
const saidCharsMax = 200;

/** The connection was closed without a word; `answered`: after the broker had accepted CONNECT. */
export class Closed extends Error {
  readonly answered: boolean;

  constructor(answered: boolean) {
    super("connection closed");
    this.answered = answered;
  }
}

const badLogin = "refuses the user name or password: check MQTT_USERNAME and MQTT_PASSWORD";
const notAuthorized =
  "refuses us as not authorized: check MQTT_USERNAME and MQTT_PASSWORD and the broker's access list";
const badClientId = "refuses the client id: check MQTT_CLIENT_ID";
const badVersion = "does not speak this version of MQTT: see MQTT_VERSION";

const [tooLarge, noRetained, noQos1] = [149, 154, 155];

const reasonTexts: Readonly<Record<number, string>> = {
  1: badVersion,
  2: badClientId,
  3: "says that it is not available",
  4: badLogin,
  5: notAuthorized,
  130: "reports a protocol error",
  132: badVersion,
  133: badClientId,
  134: badLogin,
  135: notAuthorized,
  136: "says that it is not available",
  137: "says that it is busy",
  138: "has banned us",
  139: "is shutting down",
  141: "gave us up after the keep-alive time",
  142: "gave the session to another client with the same id",
  147: "says that the Receive Maximum was exceeded",
  [tooLarge]: "says that a packet was too large",
  151: "says that a quota is exceeded",
  152: "was told by an administrator to disconnect us",
  [noRetained]: "keeps no retained messages, which STATUS_TOPIC needs: unset it",
  [noQos1]: "takes no message of QoS 1, of which STATUS_TOPIC's last will is: unset it",
  156: "asks us to use another server",
  157: "asks us to use another server",
  158: "has no shared subscriptions: unset MQTT_SHARE_GROUP",
  159: "says that we connect too often",
  160: "ends connections that have lasted for so long",
  162: "lets nobody subscribe with + or #: name whole topics in MQTT_TOPIC",
};

const untrustedText = "has a certificate that no CA we trust has signed: set MQTT_TLS_CA to its CA";
export const resetText = "reset the connection";
const systemErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: unreachedText,
  ECONNRESET: resetText,
  EPIPE: resetText,
  ETIMEDOUT: "does not answer",
  EHOSTUNREACH: "cannot be reached: no route to the host",
  ENETUNREACH: "cannot be reached: no route to the network",
  ENOTFOUND: "cannot be found: its host name does not resolve",
  EAI_AGAIN: "cannot be found: the name server does not answer",
  SELF_SIGNED_CERT_IN_CHAIN: untrustedText,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrustedText,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrustedText,
  UNABLE_TO_GET_ISSUER_CERT: untrustedText,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrustedText,
  CERT_SIGNATURE_FAILURE: untrustedText,
  CERT_HAS_EXPIRED: "has a certificate that has expired",
  CERT_NOT_YET_VALID: "has a certificate that is not valid yet: check this host's clock",
  ERR_TLS_CERT_ALTNAME_INVALID: "has a certificate for another host name",
};

/** `place`: the broker without its credentials. The sentence begins with it. */
export function describeFailure(error: unknown, place: string): string {
  if (error instanceof Closed)
    return `${place} closed the connection${error.answered ? "" : unansweredText(place)}`;
  const code = codeOf(error);
  if (typeof code === "number") {
    const said = error instanceof BrokerReason && error.said !== "" ? ` (${explain(error.said)})` : "";
    return `${place} ${reasonTexts[code] ?? `ended the connection with reason code ${code}`}${said}`;
  }
  const known = code === undefined ? undefined : systemErrors[code];
  // An error of ours, so that a lack of descriptors is named, which Bun takes for a refusal.
  if (known !== undefined) return explain(new Error(`${place} ${known}`));
  const said = explain(error);
  if (certificateAlert.test(said)) return `${place} ${unprovedText}`;
  if (said.startsWith("Invalid header flag bits"))
    return `${place} does not speak MQTT: another program listens there`;
  if (said.startsWith("Parse Error"))
    return `${place} does not speak websockets: another program listens there`;
  if (said === connackTimeout) return `${place} ${unheardText}`;
  if (said === "Keepalive timeout") return `${place} fell silent: no answer to a ping`;
  return `${place}: ${said}`;
}

/** As core/log/log.ts words a server's alert. */
const certificateAlert = /refuses our client certificate/;
const unprovedText =
  "does not accept our client certificate: check MQTT_TLS_CERT and MQTT_TLS_KEY, and the broker's CA";

const connackTimeout = "connack timeout";
/** Nobody tells a connection that is never made from one that is made and says nothing. */
const unheardText =
  "does not answer CONNECT: what listens there is no broker, or hangs, or a firewall drops what is sent to it, or the name server does not answer";
const unansweredText = (place: string) =>
  ` instead of answering CONNECT (not MQTT, ${isWebsocket.test(place) ? "another path in MQTT_URL wanted, such as /mqtt, " : ""}a client certificate wanted, a retained last will unwanted, or MQTT 5 unknown: see MQTT_TLS_CERT, STATUS_TOPIC, MQTT_VERSION)`;
const isWebsocket = /^wss?:/;

/** Did the broker refuse the version, so that 3.1.1 is worth a try? Its answer may come in either version's form. */
export function refusesVersion(error: unknown): boolean {
  const code = codeOf(error);
  return code === 1 || code === 132;
}

/** Did it say nothing at all to CONNECT? */
export function isUnanswered(error: unknown): boolean {
  if (error instanceof Closed) return !error.answered;
  return systemErrors[codeOf(error) ?? ""] === resetText || explain(error) === connackTimeout;
}

/** Is it our last will that the broker refuses? Of what we send it is the largest, with the status. */
export function refusesWill(error: unknown): boolean {
  const code = codeOf(error);
  return code === tooLarge || code === noRetained || code === noQos1;
}

/** Did the broker end the connection, as far as can be told, rather than the network? */
export function endedByBroker(error: unknown): boolean {
  return isRefusal(error) || systemErrors[codeOf(error) ?? ""] === resetText;
}

/** Did the broker answer, and then not want us, or want another in our place? Else it was away. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Closed ? error.answered : typeof codeOf(error) === "number";
}

function codeOf(error: unknown): number | string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "number" || typeof error.code === "string" ? error.code : undefined;
}

export const versionName = (version: MqttVersion) => (version === 5 ? "MQTT 5" : "MQTT 3.1.1");

/** What an operator should know about a connection that works but does not give all that was asked for. */
export function remarksOn(
  server: IConnackPacket["properties"],
  settings: MqttSettings,
  version: MqttVersion,
  subscribed?: Subscribed,
): string[] {
  const remarks: string[] = [];
  if (version === 4) {
    const refused = settings.version === "auto" ? "the broker refuses MQTT 5; " : "";
    remarks.push(`${refused}with 3.1.1 ${windowOf31}`);
    if (settings.shareGroup !== undefined) remarks.push(sharedOf31);
  }
  if (server?.sharedSubscriptionAvailable === false && settings.shareGroup !== undefined)
    remarks.push("the broker has no shared subscriptions: unset MQTT_SHARE_GROUP");
  const kept = server?.sessionExpiryInterval;
  if (kept !== undefined && kept < sessionExpiryOf(settings)) remarks.push(keptText(kept));
  if (subscribed !== undefined && subscribed.refused.length > 0)
    remarks.push(
      `the broker refuses to subscribe us to ${subscribed.refused.join(", ")}, and what is published there does not come: allow this gateway's user to read it (asked again every minute)`,
    );
  if (subscribed?.grantedQos === 0) remarks.push(qos0Text);
  if (subscribed !== undefined && subscribed.kept.length > 0)
    remarks.push(`it refuses to end our old subscription to ${subscribed.kept.join(", ")}`);
  return remarks;
}

const keptText = (seconds: number) => `the broker keeps our session for ${seconds} s only`;
const qos0Text = "it grants QoS 0 only: what comes while we are away is lost";

/** A session that lasts for a day outlasts most outages; who needs it for less has said so (MQTT_SESSION_EXPIRY_SECONDS). */
const outageSeconds = 86_400;

/** Of the remarks, those of a broker with which messages are lost as soon as either of us is away; null: there are none. */
export function lossAhead(
  server: IConnackPacket["properties"],
  settings: MqttSettings,
  subscribed: Subscribed,
): string | null {
  const kept = server?.sessionExpiryInterval;
  const words: string[] = [];
  if (kept !== undefined && kept < Math.min(sessionExpiryOf(settings), outageSeconds))
    words.push(keptText(kept));
  if (subscribed.grantedQos === 0) words.push(qos0Text);
  return words.join("; ") || null;
}

const windowOf31 =
  "the broker alone sets the window of unacknowledged messages, and may drop silently what piles up behind it" +
  " (Mosquitto: 20, then 1,000 queued; raise max_inflight_messages and max_queued_messages)";
const sharedOf31 = "a broker that does not know shared subscriptions delivers nothing to MQTT_SHARE_GROUP";

/** What a share group does with the messages of a member that is away. */
export function groupNote(settings: MqttSettings, version: MqttVersion): string | undefined {
  if (settings.shareGroup === undefined) return undefined;
  const seconds = sessionExpiryOf(settings);
  const until =
    version === 5
      ? `for ${seconds} s (MQTT_SESSION_EXPIRY_SECONDS); then they are lost, and the others get all that comes from then on`
      : "for as long as it keeps sessions (MQTT 3.1.1 lets us not say how long), and the others do not get them";
  return `share group ${settings.shareGroup}: while a member is away, the broker keeps its share of the messages for it ${until}`;
}
