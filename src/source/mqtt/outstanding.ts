/**
 * The unacknowledged messages of one connection, in the order in which they came.
 *
 * Messages become durable in groups and in any order; their acknowledgements go out in the order of receipt (MQTT 5
 * §4.6): the durable prefix. It is encoded into one buffer, because a packet and a write for each message is what
 * the bare library spends most on. The number of waiting messages is bounded by the Receive Maximum.
 */
import type { Message } from "../../core/message.ts";
import { redeliveryKey, unacknowledgedMax } from "../../core/redelivery-key.ts";

/** One shape for every message of the hot path; the last two are what changes. */
export class MqttMessage implements Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  readonly retained: boolean;
  readonly sender = "";
  readonly packetId: number;
  readonly receivedMs: number;
  readonly wholeBytes: number | undefined;
  mayBeAgain = false;
  isDurable = false;

  constructor(
    topic: string,
    payload: Uint8Array,
    qos: 0 | 1 | 2,
    dup: boolean,
    retained: boolean,
    packetId: number,
    receivedMs: number,
    wholeBytes?: number,
  ) {
    this.topic = topic;
    this.payload = payload;
    this.qos = qos;
    this.dup = dup;
    this.retained = retained;
    this.packetId = packetId;
    this.receivedMs = receivedMs;
    this.wholeBytes = wholeBytes;
  }

  redeliveryKey(): number | undefined {
    return this.qos === 0 ? undefined : redeliveryKey(this);
  }

  /** The same, with a payload that is its own: for who keeps it longer than its source keeps the bytes (reading-client.ts). */
  own(): MqttMessage {
    return copyOf(this, Buffer.from(this.payload), this.dup);
  }

  /** The same as its sender would deliver it again. */
  again(): MqttMessage {
    return copyOf(this, this.payload, true);
  }
}

function copyOf(message: MqttMessage, payload: Uint8Array, dup: boolean): MqttMessage {
  const { topic, qos, retained, packetId, receivedMs, wholeBytes } = message;
  return new MqttMessage(topic, payload, qos, dup, retained, packetId, receivedMs, wholeBytes);
}

export interface Outstanding {
  push(message: MqttMessage): void;
  /** The acknowledgements of the durable prefix, ready to be written; undefined when there are none. Removes them. */
  takeAcks(): Buffer | undefined;
  size(): number;
}

const pubackType = 0x40;
const pubrecType = 0x50;
const ackBytes = 4;

/** @param goesOn the session may be one that was there: the broker then gives first what it gave before */
export function createOutstanding(goesOn: boolean): Outstanding {
  const queue: MqttMessage[] = [];
  let early = goesOn ? unacknowledgedMax : 0;

  return {
    push(message) {
      message.mayBeAgain = early-- > 0;
      queue.push(message);
    },
    size: () => queue.length,
    takeAcks() {
      const end = queue.findIndex(({ isDurable }) => !isDurable);
      // Once per group, and to move what is behind it costs less than to keep what is in front.
      const durable = queue.splice(0, end < 0 ? queue.length : end);
      return durable.length === 0 ? undefined : encode(durable);
    },
  };
}

/** Without a reason code both mean success, in MQTT 5 (§3.4.2.1, §3.5.2.1) as in 3.1.1. */
function encode(messages: readonly MqttMessage[]): Buffer {
  const bytes = Buffer.allocUnsafe(messages.length * ackBytes);
  let at = 0;
  for (const { qos, packetId } of messages) {
    bytes[at] = qos === 2 ? pubrecType : pubackType;
    bytes[at + 1] = 2;
    bytes[at + 2] = packetId >> 8;
    bytes[at + 3] = packetId & 0xff;
    at += ackBytes;
  }
  return bytes;
}
