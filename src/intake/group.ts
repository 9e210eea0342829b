/**
 * The open group: the messages that go to the disk together, by the source that each is given back to, and their entries.
 *
 * Messages and entries are counted apart, for a duplicate has no entry and a message of several devices has several.
 */
import type { Clock } from "../core/clock.ts";
import type { Entry } from "../core/entry.ts";
import type { Message } from "../core/message.ts";

/** A source, as the intake knows it. */
export interface Port {
  /** Its messages in the open group. */
  open: Message[];
  readonly durable: (messages: readonly Message[]) => void;
}

/** What a message counts for against the intake's bound, as long as its payload is there. */
export const bytesOf = ({ payload, topic }: Message): number => payload.length + topic.length;

export class OpenGroup {
  /** How many messages it holds. */
  size = 0;
  /** The first of them; undefined if it holds none. */
  first: Message | undefined;
  /** Of its messages; see `bytesOf`. */
  bytes = 0;
  /** When the first came, monotonic. */
  sinceMs = 0;
  entries: Entry[] = [];
  readonly #clock: Clock;
  readonly #ports: Port[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  port(durable: Port["durable"]): Port {
    const port: Port = { open: [], durable };
    this.#ports.push(port);
    return port;
  }

  add(message: Message, port: Port): void {
    if (this.size === 0) {
      this.sinceMs = this.#clock.monoMs();
      this.first = message;
    }
    this.size++;
    this.bytes += bytesOf(message);
    port.open.push(message);
  }

  /** Empties it. @returns its messages, by source */
  take(): { port: Port; messages: readonly Message[] }[] {
    this.size = 0;
    this.bytes = 0;
    this.first = undefined;
    this.entries = [];
    const groups = [];
    for (const port of this.#ports) {
      const messages = port.open;
      if (messages.length === 0) continue;
      port.open = [];
      groups.push({ port, messages });
    }
    return groups;
  }
}
