/**
 * Retained messages (`Message.retained`) that are already on disk. A broker sends them again at every connect with
 * MQTT 3.1.1, and whenever the session was lost with MQTT 5.
 *
 * A broker retains one message per topic, the last that was published as retained. So one fingerprint per topic is
 * enough: that of the copy that came, and from then on that of each live message of the topic, because its copy may
 * come next. A live message that came before the first copy of its topic is recognised by the redelivery window
 * (`holdsContent`). The fingerprints are kept with the groups, as the window is. Topics without a retained message
 * cost nothing. At our own broker the flag of live messages is seen (`Message.mayBeRetained`): there those that have it count, and no others,
 * and a topic counts once for each device that speaks on it (`topicBySpeaker`).
 */
import { fingerprint } from "../core/fingerprint.ts";
import { type Message, topicBySpeaker } from "../core/message.ts";

/** Topic and content, each as a fingerprint. If content is null, the topic is forgotten. */
export type RetainedRow = readonly [topic: number, content: number | null];

/**
 * Beyond this many topics, the one that was quiet longest is forgotten: its message is then stored once more at the
 * next connect.
 */
export const retainedTopicsMax = 100_000;

const nothing: readonly RetainedRow[] = [];

export class RetainedTopics {
  readonly #contents: Map<number, number>;

  /** @param kept oldest first */
  constructor(kept: Iterable<readonly [topic: number, content: number]>) {
    this.#contents = new Map(kept);
  }

  /** Is this copy the same as the last message of its topic that is on disk? */
  holds(message: Message): boolean {
    return this.#contents.get(fingerprint(topicBySpeaker(message))) === fingerprint(message.payload);
  }

  /** Notes a message that goes to the disk. @returns what must be written with it */
  note(message: Message): readonly RetainedRow[] {
    const { payload, retained, mayBeRetained } = message;
    const isKept = retained || mayBeRetained === true;
    if (mayBeRetained === false || (!isKept && this.#contents.size === 0)) return nothing;
    const key = fingerprint(topicBySpeaker(message));
    const isKnown = this.#contents.delete(key);
    if (!isKept && !isKnown) return nothing;
    const content = fingerprint(payload);
    this.#contents.set(key, content);
    const [oldest = key] = this.#contents.keys();
    if (this.#contents.size <= retainedTopicsMax) return [[key, content]];
    this.#contents.delete(oldest);
    return [
      [key, content],
      [oldest, null],
    ];
  }
}
