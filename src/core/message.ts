/**
 * A device message as a source hands it over, and the intake as a source sees it.
 *
 * The way of a message: source → Intake.receive → judge → spool group (one fsync) → Source.durable → PUBACK.
 * A source acknowledges nothing on its own: it waits until its message comes back in `durable`.
 */

import { deviceKey, type DeviceId } from "./device.ts";

export interface Message {
  /** Where it came in, as it is stored. It says who speaks (judge/topic.ts), unless `address` does. */
  readonly topic: string;
  /** Who speaks, from a source whose topics are not of our form; absent: the topic says so. */
  readonly address?: MessageAddress | undefined;
  readonly payload: Uint8Array;
  /** How large the payload was, if `payload` is only its beginning: the rest was let go, being more than is allowed. */
  readonly wholeBytes?: number | undefined;
  /** Its sender may have delivered it before, so that it is looked for among those that are known; in MQTT the DUP flag (MQTT 5 §3.3.1.1). */
  readonly dup: boolean;
  /** The same without the flag: among the first of a session that goes on, for some brokers and devices set none. */
  readonly mayBeAgain?: boolean;
  /**
   * The broker we are a client of had kept it (MQTT 5 §3.3.1.3) and sends it because we subscribe: it may be a year old. At our own
   * broker a PUBLISH with the retain flag is an ordinary live message.
   */
  readonly retained: boolean;
  /**
   * At our own broker: its retain flag. A bridge sends what its broker keeps at each connect, and hands on the flag of live messages as well, so
   * that the two are told apart only by a time of their own. Absent: the source does not see the flag of live messages.
   */
  readonly mayBeRetained?: boolean;
  /** Wall clock at arrival, milliseconds since the Unix epoch. Fixed once: it is the event time if the device sends none. */
  readonly receivedMs: number;
  /** How far its source has come with it; see `Mark`. */
  readonly mark?: Mark | undefined;
  /** Whoever wrote it to its source has judged it and is trusted with that: neither its token nor the registry is asked, nor its rate. */
  readonly isJudged?: boolean;
  /** The same each time its sender delivers it (redelivery-key.ts); undefined: it is never sent again, as with QoS 0. */
  redeliveryKey(): number | undefined;
  /** The sender's connection ended, so that no acknowledgement can reach it. Absent: it sets DUP on what it sends again. */
  abandoned?(): boolean;
  /** Who proved himself at CONNECT to our own broker; null: nobody did. Absent: the source cannot tell. */
  readonly speaker?: DeviceId | null | undefined;
  /** SHA-256 (lower-case hex) of a token that was shown beside the payload: good if the payload holds none. */
  readonly tokenHash?: string | undefined;
  /** For a source that tells its sender, or others: null until the intake says what became of it. Absent: the source does not ask. */
  outcome?: MessageOutcome | null;
}

/** A text for its topic; with who proved himself at CONNECT, for many may say the same on one topic (v1/devices/me/telemetry). */
export function topicBySpeaker({ topic, speaker }: Message): string {
  return speaker ? `${topic}\n${deviceKey(speaker.tenantId, speaker.deviceId)}` : topic;
}

/** "accepted"; "deferred": on the disk, and judged once the registry answers; "duplicate"; or the reason of its reject. */
export type MessageOutcome = "accepted" | "deferred" | "duplicate" | (string & {});

export interface MessageAddress {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly msgType: string;
}

/**
 * The place of a message in a log that its source reads, such as the next offset of a Kafka partition: written in the very transaction
 * that makes the message durable, and given back at the next start (`SourceParts.marks`). The spool holds the mark of the last
 * message up to which all of that key are durable. Some behind it may be durable too (one before them waited for a look-up), so a
 * source that reads on from its mark sets `dup` on every message and gives each a redelivery key.
 */
export interface Mark {
  readonly key: string;
  readonly value: string;
  /** Kept along with it under a key of its own, of which an older version knows nothing. */
  readonly beside?: { readonly key: string; readonly value: string };
  /** The intake's own: its message goes to the disk with the open group. */
  isGrouped?: boolean;
}

export interface Intake {
  /**
   * Takes a message. Never throws, never blocks; the message comes back through `Source.durable`.
   * @returns whether all that is to be known of its payload is known: then its source may write over those bytes
   */
  receive(message: Message): boolean;
  /** True while the intake holds as much as it may: a source that can (QoS 0 has no window) should stop reading. */
  isFull(): boolean;
  /** Why nothing that comes can be written now; null while it can. */
  readonly held: string | null;
  /** Calls `resume` once when there is room again. */
  whenRoom(resume: () => void): void;
  /** Is the intake's turn over? `goOn` is then called in its next one: a source with more at hand should not read on before. */
  putsOff(goOn: () => void): boolean;
  /**
   * Is what came being collected for a moment, to go to the disk with what comes meanwhile? `lastCall` is then called when that moment
   * is over. A source may leave unread until then what comes to it: to be woken for each message costs more than the message.
   */
  collects(lastCall: () => void): boolean;
}
