/**
 * How far each log that a source reads is durable: the marks (core/message.ts) that go to the disk with the open group.
 *
 * Messages of one log may reach the disk out of order, since one of a device that is being looked up waits. So the mark that is written
 * is that of the last message before the first that waits. Rejected alternative: to let all of a log wait behind that message; each
 * unknown device would cost a look-up of its own.
 */
import type { Mark } from "../core/message.ts";

export class Marks {
  /** By key: the marks of messages received, from the first that is not on its way to the disk. */
  readonly #open = new Map<string, Mark[]>();
  #toWrite = new Map<string, string>();

  receive(mark: Mark): void {
    const queue = this.#open.get(mark.key);
    if (queue) queue.push(mark);
    else this.#open.set(mark.key, [mark]);
  }

  /** Its message goes to the disk with the open group. */
  group(mark: Mark): void {
    mark.isGrouped = true;
    const queue = this.#open.get(mark.key) ?? [];
    if (queue[0] !== mark) return;
    const waits = queue.findIndex(({ isGrouped }) => isGrouped !== true);
    const passed = waits < 0 ? queue.splice(0) : queue.splice(0, waits);
    const { value, beside } = passed.at(-1) ?? mark;
    this.#toWrite.set(mark.key, value);
    if (beside !== undefined) this.#toWrite.set(beside.key, beside.value);
  }

  toWrite(): ReadonlyMap<string, string> {
    return this.#toWrite;
  }

  /** The open group is on the disk. */
  committed(): void {
    if (this.#toWrite.size > 0) this.#toWrite = new Map();
  }
}
