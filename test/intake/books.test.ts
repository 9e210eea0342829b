/** The books of the intake: what they add up, and what part of it is written to disk. */
import { describe, expect, test } from "bun:test";
import { Books } from "../../src/intake/books.ts";
import { anEntry } from "../kit/spool.ts";

const accepted = anEntry();
const deferred = anEntry({ kind: "deferred", reason: "REGISTRY_UNAVAILABLE" });
const rejected = (reason: string) => anEntry({ kind: "reject", reason });

/** One of everything, and two messages in memory. */
function filled(): Books {
  const books = new Books(new Map());
  for (let i = 0; i < 7; i++) books.receive();
  for (const entry of [accepted, rejected("TOKEN_INVALID"), deferred, deferred]) books.count(entry);
  books.duplicate();
  return books;
}

describe("the books", () => {
  test("balance while every message received is somewhere", () => {
    const books = filled();
    expect(books.totals()).toEqual({
      received: 7,
      accepted: 1,
      rejected: { TOKEN_INVALID: 1 },
      duplicate: 1,
    });
    expect([books.awaiting, books.spooled]).toEqual([2, 4]);
    expect(books.balancedWith(2)).toBe(true);
  });

  test("tell nobody of what is not on the disk yet", () => {
    const books = new Books(new Map());
    const [stored, open, refused] = [
      anEntry({ detail: "no metrics" }),
      anEntry({ detail: "no metrics" }),
      rejected("NEW"),
    ];
    for (const entry of [stored, open, refused]) {
      books.receive();
      books.count(entry);
    }
    expect(books.onDisk([open, refused])).toEqual({ received: 3, accepted: 1, rejected: {}, duplicate: 0 });
    expect([books.withoutMetrics([open, refused]), books.withoutMetrics([])]).toEqual([1, 2]);
  });

  test.each([
    ["received", (b: Books) => b.receive()],
    ["accepted", (b: Books) => b.count(accepted)],
    ["rejected", (b: Books) => b.count(rejected("NEW"))],
    ["duplicate", (b: Books) => b.duplicate()],
    ["deferred", (b: Books) => b.count(deferred)],
    ["rejudged", (b: Books) => b.rejudge(1)],
    ["split", (b: Books) => b.split(2)],
  ])("do not balance once %s is counted alone", (_, spoil) => {
    const books = filled();
    spoil(books);
    expect(books.balancedWith(2)).toBe(false);
  });

  test("count a message once, although its deferred entry is followed by another when it is judged", () => {
    const books = filled();
    books.rejudge(3);
    books.count(accepted);
    expect(books.balancedWith(2)).toBe(true);
    expect([books.awaiting, books.spooled, books.rejudgedTo]).toEqual([1, 5, 3]);
  });

  test("are written without what is only in memory, and come back as they were written", () => {
    const books = filled();
    books.rejudge(3);
    books.count(rejected("UNREGISTERED_DEVICE"));
    const again = new Books(books.toKeep(2));
    expect(again.totals()).toEqual({
      received: 5,
      accepted: 1,
      rejected: { TOKEN_INVALID: 1, UNREGISTERED_DEVICE: 1 },
      duplicate: 1,
    });
    expect([again.awaiting, again.spooled, again.rejudgedTo]).toEqual([1, 5, 3]);
    expect(again.balancedWith(0)).toBe(true);
  });

  test("go on from those of an earlier run, and tell apart what came since this start", () => {
    const before = filled();
    before.receive();
    before.count(anEntry({ detail: "no metrics" }));
    before.replay();
    before.split(3);
    const books = new Books(before.toKeep(2));
    books.receive();
    books.count(accepted);
    expect(books.sinceStart([])).toEqual({ received: 1, accepted: 1, rejected: {}, duplicate: 0 });
    expect([books.withoutMetrics([]), books.replayed, books.furtherEvents]).toEqual([1, 1, 2]);
    expect([books.totals().received, books.spooled]).toEqual([9, 7]);
  });
});
