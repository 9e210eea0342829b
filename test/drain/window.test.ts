/** The window of a sink: whatever is settled in whatever order, the cursor is a prefix, and what is shown adds up. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Window } from "../../src/drain/window.ts";

const size = 5;
const fates = ["delivered", "ignored", "refused", "skipped"] as const;
const begun = { delivered: 4, ignored: 3, refused: 2, skipped: 1 };
const start = 100;

const step = fc.record({
  what: fc.constantFrom("push", "push", "settle", "settle", "detour", "reclaim", "advance", "skipTo"),
  which: fc.nat(),
  fate: fc.constantFrom(...fates),
});

/** What is known of the entries beyond the cursor, oldest first: a fate, an owner, or neither. */
type Entry = (typeof fates)[number] | { waiting: number } | undefined;

test("shows of each entry what became of it, and moves over what is settled or somebody else's business", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const window = new Window(size, start, begun);
      const owners = [{ waiting: 0 }, { waiting: 0 }];
      const waiting = [0, 0];
      const [counts, ahead]: [typeof begun, Entry[]] = [{ ...begun }, []];
      let cursor = start;
      const pick = (which: number, fits: (entry: Entry) => boolean) => {
        const at = ahead.flatMap((entry, i) => (fits(entry) ? [i] : []));
        return at.length === 0 ? undefined : at[which % at.length];
      };
      const change = (at: number | undefined, entry: Entry, make: (seq: number) => void) => {
        if (at === undefined) return;
        ahead[at] = entry;
        make(cursor + 1 + at);
      };

      for (const { what, which, fate } of steps) {
        const owner = owners[which % owners.length] ?? { waiting: 0 };
        if (what === "push" && window.room > 0) {
          ahead.push(undefined);
          window.push();
        } else if (what === "settle")
          change(
            pick(which, (entry) => entry === undefined),
            fate,
            (seq) => window.settle(seq, fate),
          );
        else if (what === "detour")
          change(
            pick(which, (entry) => entry === undefined),
            owner,
            (seq) => window.detour(seq, owner),
          );
        else if (what === "reclaim")
          change(
            pick(which, (entry) => typeof entry === "object"),
            undefined,
            (seq) => window.reclaim(seq),
          );
        else if (what === "advance") {
          const from = cursor;
          for (; ahead.length > 0 && ahead[0] !== undefined; cursor++) {
            const passed = ahead.shift();
            if (typeof passed === "string") counts[passed]++;
            else waiting[owners.indexOf(passed ?? owner)]! += 1;
          }
          expect(window.advance()).toBe(cursor > from);
        } else if (what === "skipTo" && ahead.length === 0) {
          window.skipTo(cursor + 3);
          [cursor, counts.skipped] = [cursor + 2, counts.skipped + 2];
        }
        const settled = (of: string) => ahead.filter((entry) => entry === of).length;
        expect({
          ...{ cursor: window.cursor, next: window.next, room: window.room, isEmpty: window.isEmpty },
          ...{ unsettled: window.unsettled, counts: window.counts, shown: window.shown() },
          ...{
            owners: ahead.map((_, i) => window.ownerOf(cursor + 1 + i)),
            waiting: owners.map((of) => of.waiting),
          },
        }).toEqual({
          ...{
            cursor,
            next: cursor + ahead.length + 1,
            room: size - ahead.length,
            isEmpty: ahead.length === 0,
          },
          unsettled: ahead.filter((entry) => typeof entry !== "string").length,
          counts,
          shown: Object.fromEntries(fates.map((of) => [of, counts[of] + settled(of)])) as typeof begun,
          owners: ahead.map((entry) => (typeof entry === "object" ? entry : undefined)),
          waiting,
        });
      }
    }),
    { numRuns: 300 },
  );
});
