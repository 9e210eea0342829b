/**
 * What is on the disk already, or on its way there: a packet that a sender delivers again (DUP), a copy that a broker had retained, a
 * reading that a device tries again on a new connection. Asked when a message is judged, so that it counts behind an earlier
 * one that waited for the same look-up; told when a message goes into a group, and what it learned goes to the disk with it.
 */
import type { Entry } from "../core/entry.ts";
import { fingerprint } from "../core/fingerprint.ts";
import type { Message, MessageOutcome } from "../core/message.ts";
import { reasons } from "../judge/reasons.ts";
import { type HasOwnIdentity, Retries } from "./retries.ts";
import type { CommitRecord } from "../spool/sidecar.ts";
import { ownerOf, type RedeliveryWindow } from "../spool/redelivery.ts";
import type { RetainedTopics } from "../spool/retained.ts";

/** Its sender gives it an identity of its own and is told the same whenever it comes: so what became of it is kept beside its key. */
const isToldAgain = ({ dup, outcome }: Message) => dup && outcome !== undefined;

/** It is asked to try again, with the same key: the next try is judged anew, or it would be told to try again for ever. */
const isToTryAgain = ({ reason }: Entry) => reason === "RATE_LIMITED" || reason === "TOO_MANY_STRANGERS";

const otherOutcomes: readonly MessageOutcome[] = ["deferred", ...reasons.map(({ code }) => code)];

export function outcomeOf({ kind, reason }: Entry): MessageOutcome {
  if (kind === "event") return "accepted";
  return kind === "deferred" ? "deferred" : (reason ?? "");
}

function withOutcome(key: number, outcome: MessageOutcome): number {
  return fingerprint(`${key}\n${outcome}`);
}

export interface KnownParts {
  readonly window: RedeliveryWindow;
  readonly retained: RetainedTopics;
  readonly hasOwnIdentity: HasOwnIdentity;
}

export class KnownMessages {
  readonly #parts: KnownParts;
  readonly #retries: Retries;
  /** Of the open group: fingerprint and owner of each packet, one after the other; topics of retained messages. */
  #packets: number[] = [];
  #topics = new Map<number, number | null>();

  constructor(parts: KnownParts) {
    this.#parts = parts;
    this.#retries = new Retries(parts.hasOwnIdentity);
  }

  has(message: Message): boolean {
    const { window } = this.#parts;
    if (this.#isKeptCopy(message)) return true;
    if (!message.retained && !message.dup) return this.#isUnmarked(message) || this.#retries.isRetry(message);
    const key = message.redeliveryKey();
    if (key === undefined) return false;
    if (message.retained) return window.holdsContent(key);
    return window.has(key) || this.#retries.isRetry(message);
  }

  #isKeptCopy(message: Message): boolean {
    const { retained, hasOwnIdentity } = this.#parts;
    if (!message.retained && message.mayBeRetained !== true) return false;
    return retained.holds(message) && (message.retained || hasOwnIdentity(message, true));
  }

  /**
   * Without the flag a packet identifier may be a new message's: it is the same only if the bytes say when, or its number. A device of
   * our own broker that starts anew may count both from one: of it only the time tells.
   */
  #isUnmarked(message: Message): boolean {
    const key = message.mayBeAgain ? message.redeliveryKey() : undefined;
    const { window, hasOwnIdentity } = this.#parts;
    return key !== undefined && window.has(key) && hasOwnIdentity(message, message.abandoned !== undefined);
  }

  /** What became of a message that is known, for its sender to be told again. */
  outcomeOf(message: Message): MessageOutcome {
    const key = message.redeliveryKey();
    if (key === undefined || !this.#parts.window.has(key)) return "duplicate";
    return otherOutcomes.find((outcome) => this.#parts.window.has(withOutcome(key, outcome))) ?? "accepted";
  }

  /** It goes into the open group; `entry` undefined: as one that is known. */
  note(message: Message, entry: Entry | undefined): void {
    const isForgotten = entry === undefined || (isToldAgain(message) && isToTryAgain(entry));
    const key = isForgotten ? undefined : message.redeliveryKey();
    if (!isForgotten && key !== undefined) {
      const owner = ownerOf(entry);
      this.#parts.window.add(key, owner);
      this.#packets.push(key, owner);
      if (isToldAgain(message) && entry.kind !== "event") {
        const outcome = withOutcome(key, outcomeOf(entry));
        this.#parts.window.add(outcome, owner);
        this.#packets.push(outcome, owner);
      }
    }
    this.#retries.note(message);
    if (entry?.kind === "reject") return;
    for (const [topic, content] of this.#parts.retained.note(message)) this.#topics.set(topic, content);
  }

  /** What is to be written with the open group: on the disk before its message, a packet would have its redelivery taken for a duplicate. */
  toWrite(): Pick<CommitRecord, "packets" | "window" | "retained"> {
    return { packets: this.#packets, window: this.#parts.window, retained: this.#topics };
  }

  /** The open group is on the disk. */
  committed(): void {
    this.#packets = [];
    this.#topics = new Map();
    this.#retries.committed();
  }
}
