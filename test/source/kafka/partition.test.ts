/** What is told of a partition of Kafka by what its broker said last. */
import { expect, test } from "bun:test";
import { Partition } from "../../../src/source/kafka/partition.ts";
import { goBack } from "../../../src/source/kafka/reader.ts";

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

/** Given to the intake from one offset up to before another. */
function give(partition: Partition, from: number, to: number, epoch: number) {
  const given = Array.from({ length: to - from }, (_, n) => ({ offset: from + n, epoch, isDurable: false }));
  for (const each of given) partition.given(each);
  return given;
}

/** Gone back to 5, after 10 were given of which so many are durable. */
function wentBack(durable: number) {
  const partition = new Partition(topic, 0, 0);
  const old = give(partition, 0, 10, 1);
  for (const each of old.slice(0, durable)) partition.noteDurable(each);
  goBack(partition, { offset: 5, epoch: 1 }, { lost() {} });
  return { partition, old };
}

test.each([
  ["was durable", 10],
  ["is on its way to the disk", 3],
])(
  "what is new in a log that lost its end is durable no sooner than it is, if the old %s",
  async (_, durable) => {
    const { partition, old } = wentBack(durable);
    const later = old.slice(durable);
    const [first] = give(partition, 5, 7, 2);
    let isTold = false;
    const told = partition.durableTo(6).then(() => (isTold = true));
    for (const each of later) partition.noteDurable(each);
    await Bun.sleep(0);
    expect([isTold, partition.durable]).toEqual([false, 5]);
    if (first) partition.noteDurable(first);
    expect(await told).toBe(true);
    expect(partition.durable).toBe(6);
  },
);

test.each([
  ["was durable", 10, 5],
  ["is on its way to the disk", 3, 3],
  ["is there in part", 7, 5],
])("a new connection passes over nothing of it, if the old %s", (_, durable, from) => {
  const { partition } = wentBack(durable);
  give(partition, 5, 7, 2);
  partition.rewind();
  expect(partition.next).toBe(from);
});

test("what was not given is as durable as what is behind it", async () => {
  const partition = new Partition(topic, 0, 0);
  const [one] = give(partition, 0, 1, 1);
  partition.next = 4;
  const [other] = give(partition, 4, 5, 1);
  expect(partition.durable).toBe(0);
  if (one) partition.noteDurable(one);
  await partition.durableTo(4);
  expect(partition.durable).toBe(4);
  if (other) partition.noteDurable(other);
  partition.next = 9;
  expect(partition.durable).toBe(9);
});

test.each([
  ["all of the log is read", 5, 5, 5],
  ["there is more to read before it", 5, 9, 7],
])("no transaction keeps anything back while %s", (_, next, end, stableOffset) => {
  const partition = new Partition(topic, 0, 0);
  for (const nowMs of [0, 61_000]) partition.reached(next, { end, stableOffset }, nowMs);
  expect(partition.heldBack()).toBeUndefined();
});

test("the time of one transaction is not that of the next", () => {
  const partition = new Partition(topic, 0, 0);
  partition.reached(5, { end: 9, stableOffset: 5 }, 0);
  partition.reached(6, { end: 9, stableOffset: 6 }, 30_000);
  partition.reached(6, { end: 9, stableOffset: 6 }, 62_000);
  expect(partition.heldBack()).toBeUndefined();
  partition.reached(6, { end: 9, stableOffset: 6 }, 90_000);
  expect(partition.heldBack()).toContain("begun at offset 6");
});

test("of one that is another gateway's now nothing is told, and no lag is below none", () => {
  const partition = new Partition(topic, 0, 0);
  for (const nowMs of [0, 61_000]) partition.reached(5, { end: 9, stableOffset: 5 }, nowMs);
  partition.trouble = { why: "it is damaged", untilMs: 1e9 };
  partition.forget();
  expect(partition).toMatchObject({ lag: 0, trouble: null });
  expect(partition.heldBack()).toBeUndefined();
  partition.reached(9, { end: 7, stableOffset: 7 }, 0);
  expect(partition.lag).toBe(0);
});

test("a mark tells who wrote the record before it, if that is known", () => {
  const partition = new Partition(topic, 0, 0);
  const mark = { key: "kafka/5a3c/0", value: "7" };
  expect(partition.markAt(7, -1)).toEqual(mark);
  expect(partition.markAt(7, 3)).toEqual({ ...mark, beside: { key: "kafka/5a3c/0/epoch", value: "7 3" } });
});
