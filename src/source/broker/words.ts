/**
 * Why a client of the embedded broker did not get as far as CONNECT, or had to go later, in words for the operator who looks for it: OpenSSL's, and those of aedes
 * and its parser, are for who programs with them.
 */
import { hashOf } from "../../core/token.ts";

/** The alert of a client that does not trust us comes, in TLS 1.3, as a packet of a length that is not understood. */
const untrusting = /UNKNOWN_CA|CERTIFICATE|BAD_PACKET_LENGTH/;

const handshakeWords: readonly (readonly [theirs: RegExp, ours: string])[] = [
  [/UNSUPPORTED_PROTOCOL/, "it speaks TLS 1.1 or older, and 1.2 is the least here"],
  [/NO_SHARED|NO_COMMON|WRONG_CURVE/, "it offers no cipher, curve or signature that is known here"],
  [/HTTP_REQUEST|WRONG_VERSION_NUMBER/, "what it sends is no TLS"],
  [
    untrusting,
    "it does not accept the certificate of BROKER_TLS_CERT: give it that one's CA, and the address to connect to that stands in it; see that it has not expired, by the device's clock either",
  ],
  [/socket hang up|ECONNRESET/, "it left"],
];

export function whyNoHandshake({ message }: Error): string {
  return handshakeWords.find(([theirs]) => theirs.test(message))?.[1] ?? message;
}

/** By itself, if only by a reset, as probes of a port and devices that restart do. */
const left = /^connection closed$|ECONNRESET|EPIPE/;

/** Before CONNECT; undefined: it left. */
export function whyNoConnect({ message }: Error): string | undefined {
  if (left.test(message)) return undefined;
  return message.startsWith("Invalid header flag bits")
    ? "what it sends is no MQTT, but TLS (which is for BROKER_TLS_LISTEN) or HTTP (as MQTT over WebSocket, which the embedded broker does not speak)"
    : message;
}

/** After CONNECT; undefined: it had left by itself, or why was said, and what was on its way to it is told so. */
export function whyGone({ message }: Error): string | undefined {
  if (left.test(message)) return undefined;
  return message === "drain timeout" ? "it reads nothing of what it is sent" : message;
}

/** The topic is no part of the message: the same text is logged once in a while, whatever a client sends. */
export class NotOwnTopic extends Error {
  readonly topic: string;

  /** @param tokenHash of what the device proved itself with: some name their topics by it */
  constructor(topic: string, tokenHash: string | null = null) {
    super("PUBLISH refused: not the device's own topic");
    this.topic = shownTopic(topic, tokenHash);
  }
}
const topicCharsShown = 200;
const topicLevelsShown = 20;

export function shownTopic(topic: string, tokenHash: string | null = null): string {
  const levels = topic.split("/", topicLevelsShown);
  const shown = levels.map((level) => (tokenHash !== null && hashOf(level) === tokenHash ? "***" : level));
  return shown.join("/").slice(0, topicCharsShown);
}
