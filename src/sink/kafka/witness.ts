/**
 * The proof that a record is refused for its own sake: another of the same topic that is taken. If no entry of the batch is one, those
 * behind it are looked at; while there is none, nothing that could be stored waits behind the refused ones.
 */
import type { Entry } from "../../core/entry.ts";
import type { Delivery } from "../../core/sink.ts";

interface Witness {
  /** Some entries of this kind behind the delivery; the next call looks further. */
  behind(kind: Entry["kind"], delivery: Delivery): readonly Entry[];
}

/** Entries that one delivery looks at, and how many of them it tries. */
const searchMax = 20_000;
const triedMax = 10;

export function createWitness(isMeant: (entry: Entry) => boolean): Witness {
  let from = 0;
  return {
    behind(kind, { entries, later }) {
      const last = entries.at(-1)?.seq ?? 0;
      const found: Entry[] = [];
      from = Math.max(from, last + 1);
      for (let seen = 0; seen < searchMax && found.length < triedMax;) {
        const read = later(from);
        if (read.length === 0) {
          from = 0;
          break;
        }
        for (const entry of read) {
          seen++;
          from = entry.seq + 1;
          if (entry.kind === kind && isMeant(entry) && found.push(entry) >= triedMax) break;
        }
      }
      return found;
    },
  };
}
