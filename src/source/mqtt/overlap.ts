/**
 * Knows the second copy of a message that came by an old and by a new subscription, in the moment in which both are there.
 *
 * The new one is made before the old one is taken back, since the other way round messages would be lost in between. What a
 * broker handles in between is sent twice if one of the two is shared, or if the broker sends a copy for each subscription: two
 * packets, one directly behind the other, with their own identifiers; and so they come again, both with DUP, if we end before they
 * are acknowledged. Only in this moment is such a pair one message; at any other time a device may well say the same thing twice.
 * (Subscription identifiers would tell the two apart for certain, but there are none in MQTT 3.1.1.)
 */
import type { MqttMessage } from "./outstanding.ts";

/** How far apart two copies arrive at most: the broker sends them in one go. */
const apartMsMax = 1000;

export interface Overlap {
  /** The message that this one is a copy of; undefined: of none. To be asked of every message, in order. */
  originalOf(message: MqttMessage): MqttMessage | undefined;
  /** How many were. */
  copies(): number;
}

export function createOverlap(): Overlap {
  let before: MqttMessage | undefined;
  let copies = 0;
  return {
    originalOf(message) {
      if (before !== undefined && message.qos > 0 && isSame(before, message)) {
        copies += 1;
        return before;
      }
      before = message.qos > 0 ? message.own() : undefined;
      return undefined;
    },
    copies: () => copies,
  };
}

function isSame(a: MqttMessage, b: MqttMessage): boolean {
  return (
    a.topic === b.topic &&
    a.dup === b.dup &&
    a.packetId !== b.packetId &&
    Math.abs(a.receivedMs - b.receivedMs) <= apartMsMax &&
    Buffer.compare(a.payload, b.payload) === 0
  );
}
