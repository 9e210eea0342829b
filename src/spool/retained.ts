/**
 * What a broker sends because it had kept it (`Message.retained`), and is on the disk already. With MQTT 3.1.1 it comes anew at every
 * connect, with MQTT 5 whenever the session was lost.
 *
 * A broker keeps one message a topic, the last that was published as retained. So one fingerprint a topic is enough: of the copy that
 * came, and from then on of each live message of that topic, whose copy may come next. What was heard live before the first
 * copy of its topic is known by the redelivery window (`holdsContent`). Kept with the groups, as the window is. Topics that
 * nobody retains cost nothing.
 */
import type { Message } from "../core/message.ts";

/** Topic and content, each as a fingerprint; content null: the topic is forgotten. */
export type RetainedRow = readonly [topic: number, content: number | null];

/** Beyond it the topic that was quiet for longest is forgotten: its message is then stored once more at the next connect. */
export const retainedTopicsMax = 100_000;

const nothing: readonly RetainedRow[] = [];

export class RetainedTopics {
  readonly #contents: Map<number, number>;

  /** @param kept oldest first */
  constructor(kept: Iterable<readonly [topic: number, content: number]>) {
    this.#contents = new Map(kept);
  }

  /** Is this copy the last message of its topic that is on the disk? */
  holds({ topic, payload }: Message): boolean {
    return this.#contents.get(fingerprint(topic)) === fingerprint(payload);
  }

  /** A message goes to the disk. @returns what is to be written with it */
  note({ topic, payload, retained }: Message): readonly RetainedRow[] {
    if (!retained && this.#contents.size === 0) return nothing;
    const key = fingerprint(topic);
    const isKnown = this.#contents.delete(key);
    if (!retained && !isKnown) return nothing;
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

function fingerprint(what: string | Uint8Array): number {
  return Number(Bun.hash.wyhash(what) & 0x1f_ffff_ffff_ffffn);
}
