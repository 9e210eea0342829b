/** Requests that carry records: how large the next one is, after one that was not through in time and after one that failed otherwise. */
import { expect, test } from "bun:test";
import { createPace } from "../../src/core/pace.ts";
import { createFetchPace, fetchInPace, inPace } from "../../src/kafka/paced.ts";

const whole = createFetchPace().size;
const fails = (message: string) => () => Promise.reject(new Error(message));
const read = () => Promise.resolve();
const answer = (bytes: number) => [{ records: Buffer.alloc(bytes) }] as never;

function fetching(bytes: number, asked: number[]) {
  return (bytesMax: number) => {
    asked.push(bytesMax);
    return Promise.resolve(answer(bytes));
  };
}

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
  await fetchInPace(pace, fails("FETCH timed out"), read).catch(() => {});
  for (const bytes of [0, whole / 8, whole / 2, whole]) await fetchInPace(pace, fetching(bytes, asked), read);
  expect(asked).toEqual([whole / 2, whole / 2, whole / 2, whole]);
});

test("less is fetched after an answer that is too much once it is unpacked, and more again after one that is not", async () => {
  const pace = createFetchPace();
  const asked: number[] = [];
  for (const wasShort of [true, true, false, false, false, false])
    await fetchInPace(pace, fetching(pace.size, asked), (_, room) => {
      room.wasShort = wasShort;
      return Promise.resolve();
    });
  expect(asked).toEqual([whole, whole / 2, whole / 4, whole / 2, whole, whole]);
});

test("what was sent and is answered comes back as it is", async () => {
  const pace = createPace(100);
  expect(await inPace(pace, 100, () => Promise.resolve("stored"))).toBe("stored");
  expect(pace.size).toBe(100);
});
