/** A group says to read again what was read already: whether the log is still the one that was read, its broker is asked. */
import { expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import { code } from "../../../src/kafka/error.ts";
import type { Fetched, Wire } from "../../../src/kafka/requests.ts";
import { groupPartitions } from "../../../src/source/kafka/group-partitions.ts";
import { recordingLog } from "../../kit/source.ts";

const topic = { name: "site", id: "", leaders: [0], may: () => undefined };
const fetched: Fetched = {
  topic: "site",
  partition: 0,
  errorCode: 0,
  ...{ logStart: 0, end: 20, stableOffset: 20 },
  ...{ aborted: [], records: Buffer.alloc(0), sameUpTo: undefined },
};

/** The group says 5, and what is before 10 was read. @returns where it is read on */
async function comesAgain(...answers: readonly (readonly Partial<Fetched>[])[]): Promise<number> {
  const left = [...answers];
  const wire = {
    topics: () => Promise.resolve({ clusterId: "", topics: [topic] }),
    fetch: () => Promise.resolve((left.shift() ?? []).map((each) => ({ ...fetched, ...each }))),
  };
  const dealt = await groupPartitions({
    names: ["site"],
    partitions: new Map(),
    marks: new Map(),
    clock: systemClock,
    log: recordingLog().log,
    asked: (ask) => ask(wire as unknown as Wire),
    lost() {},
  });
  const partition = dealt.partitionOf("site", 0, 10);
  await dealt.comesAgain("site", 0, 5);
  return partition.next;
}

test("it is read on where the log is new, or where it was read to if it is the same", async () => {
  expect(await comesAgain([{}])).toBe(10);
  expect(await comesAgain([{ sameUpTo: { offset: 7, epoch: 1 } }])).toBe(7);
  expect(await comesAgain([{ errorCode: code.offsetOutOfRange }])).toBe(5);
});

test("a log that is damaged there is the same, and keeps the others from nothing", async () => {
  expect(await comesAgain([{ errorCode: code.corruptMessage }])).toBe(10);
});

test("a broker over whose quota we are is asked again", async () => {
  expect(await comesAgain([], [{ sameUpTo: { offset: 7, epoch: 1 } }])).toBe(7);
});

test("nothing is taken for read already if its broker does not say so", async () => {
  const notSeen = "it cannot be seen whether partition 0 of site lost what was read already";
  await expect(comesAgain([{ errorCode: code.notLeader }])).rejects.toThrow(`${notSeen} (6)`);
  await expect(comesAgain([])).rejects.toThrow(`${notSeen}: Kafka answers with nothing`);
});
