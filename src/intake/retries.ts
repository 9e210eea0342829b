/**
 * What a device sends again without DUP, on a new connection, because the one before ended without an acknowledgement: at the
 * embedded broker, while the intake is held or a registry is slow, a reading may be tried twenty times.
 *
 * It is the same message only if the earlier one's connection is gone, nobody was told that it arrived, the same device sends the
 * same bytes, and these have a time or a sequence number of their own: two readings of one value without either look the same and are two. On one
 * connection a message without DUP is a new one, whatever it holds. (A window over time would lose real messages; DUP alone, which
 * MQTT.js and others do not set after a new session, stores each try.)
 */
import { fingerprint } from "../core/fingerprint.ts";
import { type Message, topicBySpeaker } from "../core/message.ts";

/** Of messages on the disk whose sender does not know. */
const unansweredMax = 10_000;

/** Does a message say its own time, or unless `byTime` its sequence number, so that the same again is the same? */
export type HasOwnIdentity = (message: Message, byTime?: boolean) => boolean;

export class Retries {
  readonly #hasOwnIdentity: HasOwnIdentity;
  /** Those that are not on the disk yet; of two that are alike the later. */
  #open = new Map<number, Message>();
  readonly #unanswered = new Set<number>();

  constructor(hasOwnIdentity: HasOwnIdentity) {
    this.#hasOwnIdentity = hasOwnIdentity;
  }

  /** Did this come before, and was nobody told? It is asked once: who is told now has been told. */
  isRetry(message: Message): boolean {
    if (message.abandoned === undefined || message.redeliveryKey() === undefined) return false;
    const print = readingOf(message);
    const earlier = this.#open.get(print);
    const isUnanswered = earlier ? earlier.abandoned?.() === true : this.#unanswered.has(print);
    if (!isUnanswered || !this.#hasOwnIdentity(message)) return false;
    this.#unanswered.delete(print);
    return true;
  }

  /** Goes to the disk with the open group. */
  note(message: Message): void {
    if (message.abandoned !== undefined && message.redeliveryKey() !== undefined)
      this.#open.set(readingOf(message), message);
  }

  /** The open group is on the disk. */
  committed(): void {
    if (this.#open.size === 0) return;
    for (const [print, message] of this.#open) if (message.abandoned?.() === true) this.#remember(print);
    this.#open = new Map();
  }

  #remember(print: number): void {
    this.#unanswered.add(print);
    if (this.#unanswered.size <= unansweredMax) return;
    const [oldest = print] = this.#unanswered;
    this.#unanswered.delete(oldest);
  }
}

function readingOf(message: Message): number {
  return fingerprint(message.payload, BigInt(Bun.hash.crc32(topicBySpeaker(message))));
}
