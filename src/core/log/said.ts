/**
 * What the log was told of a trouble that goes on. A far side behind a proxy fails in two or three ways that take turns ("the connection was
 * closed", "read ECONNRESET"): a line at each change was tens of thousands a day.
 */

/** Beyond, all may be said again: texts that hold a time or a number never end. */
const textsMax = 20;

export class Said {
  #texts: Set<string> | undefined;

  /** Is it to be said? Then it counts as said. */
  isNew(text: string): boolean {
    const texts = (this.#texts ??= new Set());
    if (texts.has(text)) return false;
    if (texts.size >= textsMax) texts.clear();
    texts.add(text);
    return true;
  }

  /** The trouble is over. */
  forget(): void {
    this.#texts = undefined;
  }
}
