/**
 * Stage "topic": the sender is read from the topic alone, because a broker's access rules can bind the topic.
 *
 * tenant/{tenant}/device/{device}/{msg_type}: five levels, none empty. Control characters are rejected (MQTT 5 §1.5.4
 * advises against them, and a stored line must stay one line), and so is a level too long for an indexed key.
 */
import { perTopic } from "../core/per-topic.ts";
import { issuedToken } from "../core/token.ts";
import { hasSeparator, isStorable, levelCharsMax } from "../core/topic-level.ts";
import type { Message } from "../core/message.ts";
import { isRejection, rejection, type Rejection, type Reasons } from "./verdict.ts";

export const topicReasons = {
  BAD_TOPIC_FORMAT: {
    help: "The topic is not tenant/{tenant}/device/{device}/{type}, and no mapping takes it.",
    remedy:
      "Publish to exactly these five levels, none empty; or say in MAPPINGS_FILE how that topic is read (sluice help mappings); or narrow MQTT_TOPIC so that it does not match other topics. /admin/rejects shows an example.",
  },
} as const satisfies Reasons;

const withoutSeparators = "tenant, device and type are without / + #";

export interface Address {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly msgType: string;
  /** One string per device; unique because a tenant cannot contain "/". */
  readonly key: string;
  /** The topic that says so, the same string for all of its messages; absent: something else says so. */
  readonly topic?: string;
}

/** The sender: from the address that the source gave, else from the topic. */
export function addressIn({
  topic,
  address,
}: Pick<Message, "topic" | "address">): Address | Rejection<keyof typeof topicReasons> {
  if (address === undefined) return known(topic);
  const { tenantId, deviceId, msgType } = address;
  const levels = [tenantId, deviceId, msgType];
  if (levels.some(hasSeparator)) return rejection("BAD_TOPIC_FORMAT", withoutSeparators);
  return readTopic(`tenant/${tenantId}/device/${deviceId}/${msgType}`);
}

/** Entries of a device share the strings. */
const known = perTopic(readTopic, (read) => !isRejection(read));

function readTopic(topic: string): Address | Rejection<keyof typeof topicReasons> {
  const levels = topic.split("/");
  const [root, tenantId, word, deviceId, msgType] = levels;
  if (levels.length !== 5 || root !== "tenant" || word !== "device") return rejection("BAD_TOPIC_FORMAT");
  if (!tenantId || !deviceId || !msgType) return rejection("BAD_TOPIC_FORMAT", "a level is empty");
  // A broker lets none through, but a key of Kafka may hold them, and no device's name does.
  if (/[+#]/.test(topic)) return rejection("BAD_TOPIC_FORMAT", withoutSeparators);
  const why = unfit(topic, Math.max(tenantId.length, deviceId.length, msgType.length));
  if (why !== null) return rejection("BAD_TOPIC_FORMAT", why);
  return { ...addressFor(tenantId, deviceId, msgType), topic };
}

export function addressFor(tenantId: string, deviceId: string, msgType: string): Address {
  return { tenantId, deviceId, msgType, key: `${tenantId}/${deviceId}` };
}

const ownTopic = /^tenant\/[^/]*\/device\/[^/]*\/[^/]*$/;

/** Is it in our own form, whatever its levels hold? */
export function isOwnTopic(topic: string): boolean {
  return ownTopic.test(topic);
}

/** Why this cannot be a topic or a device's name; null if it can. `charsMost`: the length of its longest level. */
export function unfit(text: string, charsMost = text.length): string | null {
  if (!isStorable(text)) return "it holds characters that cannot be stored";
  if (text.includes("tok-") && issuedToken.test(text))
    return "a level is a token; a topic is no place for secrets";
  return charsMost > levelCharsMax ? `a level is longer than ${levelCharsMax} characters` : null;
}

/** Any topic in a form that may be stored. */
export function storableTopic(topic: string): string {
  return topic.includes("\0") ? topic.replaceAll("\0", "\uFFFD").toWellFormed() : topic.toWellFormed();
}
