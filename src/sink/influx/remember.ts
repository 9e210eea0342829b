/**
 * What was delivered before this start, as far as the spool has it still (a minute, spool/keeping.ts): the window of collisions is made
 * to know it before the first line. Without, the next reading of a time took the place of one from before, and what comes again after a
 * kill was given other times than it has there, so that one reading was there twice and another not at all.
 *
 * Readings of one time come soon after one another, so the newest are enough. Rejected alternative: to keep the window on the disk,
 * which costs a write per message for what is needed once per start.
 */
import { setImmediate } from "node:timers/promises";
import type { Entry } from "../../core/entry.ts";
import type { Cursor } from "../../core/sink.ts";
import type { HeldEntries } from "../../core/recent.ts";

const entriesMax = 10_000;

/** How far the sink was at this start. */
type Start = Pick<Cursor, "seq" | "detours">;

/** @param take is given the entries of a lane in their order, as many at a time as a turn has room for */
export async function remember(
  held: Pick<HeldEntries, "read">,
  { seq: last, detours }: Start,
  laneOf: (entry: Entry) => string | null,
  take: (lane: string, entries: readonly Entry[]) => void,
): Promise<void> {
  /** What comes behind is still to be delivered, and would push the others out of the window. */
  const isBefore = (lane: string, { seq }: Entry) => seq <= last && seq < (detours.get(lane)?.seq ?? seq + 1);
  try {
    for (let at = Math.max(1, last - entriesMax + 1); at <= last;) {
      const entries = held.read(at);
      for (const [lane, some] of Map.groupBy(entries, laneOf)) {
        const before = lane === null ? [] : some.filter((entry) => isBefore(lane, entry));
        if (lane !== null && before.length > 0) take(lane, before);
      }
      at = (entries.at(-1)?.seq ?? last) + 1;
      await setImmediate();
    }
  } catch {
    // A spool that cannot be read is for the drain to tell.
  }
}
