/** What is told of a partition of Kafka by what its broker said last. */
import { expect, test } from "bun:test";
import { Partition } from "../../../src/source/kafka/partition.ts";

const topic = { name: "site", id: "5a3c", leaders: [0], may: () => undefined };

test("a transaction has not ended for over a minute once the broker says so a minute later, not while it is not asked", () => {
  const partition = new Partition(topic, 0, 0);
  const answer = (end: number, stableOffset: number, nowMs: number) =>
    partition.reached(5, { end, stableOffset }, nowMs);
  answer(9, 5, 0);
  answer(9, 5, 59_000);
  expect(partition.heldBack()).toBeUndefined();
  expect(partition.lag).toBe(4);
  answer(9, 5, 61_000);
  expect(partition.heldBack()).toContain("begun at offset 5 of partition 0 of site");
  answer(9, 9, 62_000);
  expect(partition.heldBack()).toBeUndefined();
});
