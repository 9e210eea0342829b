/**
 * Stage "topic": the sender is read from the topic alone, because a broker's access rules can bind the topic.
 *
 * tenant/{tenant}/device/{device}/{msg_type}: five levels, none empty. Control characters are rejected (MQTT 5 §1.5.4
 * advises against them, and a stored line must stay one line), and so is a level too long for an indexed key.
 */
import { Address, addresses } from "../core/address.ts";
import { issuedToken, tokenStart } from "../core/token.ts";
import { hasSeparator, isStorable, levelCharsMax, ownTopic } from "../core/topic-level.ts";
import type { Message, MessageAddress } from "../core/message.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const topicReasons = {
  BAD_TOPIC_FORMAT: {
    help: "The topic is not tenant/{tenant}/device/{device}/{type}, and no mapping takes it.",
    remedy:
      "Publish to tenant/{tenant}/device/{device}/{type}, no level empty; or say in MAPPINGS_FILE how that topic is read (sluice help mappings); or narrow MQTT_TOPIC so that it does not match other topics. sluice rejects shows an example.",
  },
} as const satisfies Reasons;

const withoutSeparators = "tenant, device and type are without / + #";

/** The sender: from the address that the source gave, else from the topic. */
export function addressIn({
  topic,
  address,
}: Pick<Message, "topic" | "address">): Address | Rejection<keyof typeof topicReasons> {
  const known = addresses.find(topic);
  if (address === undefined) return known?.isOfTopic ? known : readTopic(topic);
  if (known?.names(address)) return known;
  const { tenantId, deviceId, msgType } = address;
  const levels = [tenantId, deviceId, msgType];
  if (levels.some(hasSeparator)) return rejection("BAD_TOPIC_FORMAT", withoutSeparators);
  const read = readTopic(ownTopic(tenantId, deviceId, msgType));
  return read instanceof Address ? addressFor(topic, address) : read;
}

function readTopic(topic: string): Address | Rejection<keyof typeof topicReasons> {
  const levels = topic.split("/");
  const [root, tenantId, word, deviceId, msgType] = levels;
  if (levels.length !== 5 || root !== "tenant" || word !== "device") return rejection("BAD_TOPIC_FORMAT");
  if (!tenantId || !deviceId || !msgType) return rejection("BAD_TOPIC_FORMAT", "a level is empty");
  // A broker lets none through, but a key of Kafka may hold them, and no device's name does.
  if (/[+#]/.test(topic)) return rejection("BAD_TOPIC_FORMAT", withoutSeparators);
  const why = unfit(topic, Math.max(tenantId.length, deviceId.length, msgType.length));
  if (why !== null) return rejection("BAD_TOPIC_FORMAT", why);
  return new Address(topic, tenantId, deviceId, msgType, true);
}

/** Of a sender that something else than the topic names: what is kept of it, if it was the first to speak under that topic. */
export function addressFor(topic: string, who: MessageAddress): Address {
  const { tenantId, deviceId, msgType } = who;
  const known = addresses.find(topic);
  if (known?.names(who)) return known;
  return new Address(storableTopic(topic), tenantId, deviceId, msgType, false);
}

const ownForm = /^tenant\/[^/]*\/device\/[^/]*\/[^/]*$/;

/** Is it in our own form, whatever its levels hold? */
export function isOwnTopic(topic: string): boolean {
  return ownForm.test(topic);
}

/** Why this cannot be a topic or a device's name; null if it can. `charsMost`: the length of its longest level. */
export function unfit(text: string, charsMost = text.length): string | null {
  if (!isStorable(text)) return "it holds characters that cannot be stored";
  if (text.includes(tokenStart) && issuedToken.test(text))
    return "a level is a token; a topic is no place for secrets";
  return charsMost > levelCharsMax ? `a level is longer than ${levelCharsMax} characters` : null;
}

/** Any topic in a form that may be stored. */
export function storableTopic(topic: string): string {
  return topic.includes("\0") ? topic.replaceAll("\0", "\uFFFD").toWellFormed() : topic.toWellFormed();
}
