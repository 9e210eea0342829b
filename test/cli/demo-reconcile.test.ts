import { describe, expect, test } from "bun:test";
import { reconcile, reconciliationTable, since, verdictsOf } from "../../src/cli/demo/reconcile.ts";

const sent = { event: 90, TOKEN_INVALID: 6, BAD_SEQ: 4 };

describe("the reconciliation", () => {
  test("balances if what was sent, counted and stored agree, per outcome", () => {
    const { balanced, outcomes } = reconcile(sent, { ...sent, duplicate: 0 }, sent);
    expect(balanced).toBeTrue();
    expect(Object.keys(outcomes)).toEqual(["event", "BAD_SEQ", "TOKEN_INVALID"]);
  });

  test.each([
    ["a row is missing", sent, { ...sent, event: 89 }],
    ["a row is there twice", sent, { ...sent, event: 91 }],
    [
      "a verdict is another",
      { ...sent, TOKEN_INVALID: 5, TOKEN_MISSING: 1 },
      { ...sent, TOKEN_INVALID: 5, TOKEN_MISSING: 1 },
    ],
    ["the counter is wrong", { ...sent, event: 91 }, sent],
    ["a message was taken for a redelivery", { ...sent, event: 89, duplicate: 1 }, { ...sent, event: 89 }],
    ["there are rows that nobody sent", sent, { ...sent, NOT_AN_OBJECT: 1 }],
  ])("does not balance if %s", (_what, counted, stored) => {
    const result = reconcile(sent, counted, stored);
    expect(result.balanced).toBeFalse();
    expect(reconciliationTable(result)).toContain("<- differs");
  });

  test("counts a redelivery as an outcome", () => {
    const ingest = { received: 9, accepted: 5, rejected: { BAD_SEQ: 3 }, duplicate: 1, judging: 0 };
    expect(verdictsOf(ingest)).toEqual({ event: 5, BAD_SEQ: 3, duplicate: 1 });
  });

  test("since subtracts what was there before", () => {
    expect(since({ event: 10, BAD_SEQ: 1 }, { event: 15, BAD_TOPIC_FORMAT: 2, BAD_SEQ: 1 })).toEqual({
      event: 5,
      BAD_TOPIC_FORMAT: 2,
      BAD_SEQ: 0,
    });
  });
});
