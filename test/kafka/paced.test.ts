/** Requests that carry records: how large the next one is, after one that was not through in time and after one that failed otherwise. */
import { expect, test } from "bun:test";
import { createPace } from "../../src/core/pace.ts";
import { createFetchPace, fetchInPace, inPace } from "../../src/kafka/paced.ts";

const whole = createFetchPace().size;
const fails = (message: string) => () => Promise.reject(new Error(message));
const answer = (bytes: number) => [{ records: Buffer.alloc(bytes) }] as never;

test.each([
  ["FETCH timed out", 1 / 2],
  ["PRODUCE timed out", 1 / 2],
  ["METADATA timed out", 1],
  ["connect ECONNREFUSED", 1],
])("after %p it is %p as large", async (message, share) => {
  const pace = createFetchPace();
  await expect(inPace(pace, whole, fails(message))).rejects.toThrow(message);
  expect(pace.size).toBe(whole * share);
});

test("what is fetched is as large as the pace says, and grows again with full answers alone", async () => {
  const pace = createFetchPace();
  const asked: number[] = [];
  await fetchInPace(pace, fails("FETCH timed out")).catch(() => {});
  for (const bytes of [0, whole / 8, whole / 2, whole])
    await fetchInPace(pace, (bytesMax) => {
      asked.push(bytesMax);
      return Promise.resolve(answer(bytes));
    });
  expect(asked).toEqual([whole / 2, whole / 2, whole / 2, whole]);
});

test("what was sent and is answered comes back as it is", async () => {
  const pace = createPace(100);
  expect(await inPace(pace, 100, () => Promise.resolve("stored"))).toBe("stored");
  expect(pace.size).toBe(100);
});
