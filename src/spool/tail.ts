/**
 * The tail: the newest groups, kept in memory so that sinks that keep up never read the disk. Bounded by bytes; the oldest leave
 * first, and before that what every sink has settled. A few thousand entries are enough: a sink that keeps up has each group in its
 * read-ahead within a moment, and one that has no room there reads from the disk whatever lies here, for it takes the oldest first.
 * Eight times as many lay here for nobody under a flood, and what lives counts three times at the peak (cli/engine-settings.ts).
 */
import type { Entry } from "../core/entry.ts";

/** What an entry costs in memory besides its payload and its topic; a deliberate over-estimate. */
const entryOverheadBytes = 400;

/** What entries cost in memory. */
export function memoryBytes(entries: readonly Entry[]): number {
  let bytes = entries.length * entryOverheadBytes;
  for (const { payload, topic } of entries) bytes += (payload.length + topic.length) * 2;
  return bytes;
}

interface Kept {
  readonly first: number;
  readonly entries: readonly Entry[];
  readonly bytes: number;
}

export class Tail {
  #groups: Kept[] = [];
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(entries: readonly Entry[]): void {
    const bytes = memoryBytes(entries);
    this.#groups.push({ first: entries[0]?.seq ?? 0, entries, bytes });
    this.#bytes += bytes;
    this.#release((_, i) => this.#bytes > this.#bytesMax && i < this.#groups.length - 1);
  }

  /** Nobody needs what is up to `seq`. */
  settledTo(seq: number): void {
    this.#release(({ first, entries }) => first + entries.length - 1 <= seq);
  }

  #release(mayGo: (group: Kept, i: number) => boolean): void {
    let gone = 0;
    for (const group of this.#groups) {
      if (!mayGo(group, gone)) break;
      this.#bytes -= group.bytes;
      gone++;
    }
    if (gone > 0) this.#groups.splice(0, gone);
  }

  /** The entries of the group that holds `seq`, from `seq` on; undefined if it is not in memory. */
  from(seq: number): readonly Entry[] | undefined {
    let low = 0;
    let high = this.#groups.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const group = this.#groups[middle];
      if (!group) return undefined;
      if (seq < group.first) high = middle - 1;
      else if (seq >= group.first + group.entries.length) low = middle + 1;
      else return seq === group.first ? group.entries : group.entries.slice(seq - group.first);
    }
    return undefined;
  }
}
