/** Work in halves: which item is refused, and which is not although a try of it was. */
import { expect, test } from "bun:test";
import postgres from "postgres";
import { inHalves } from "../../../src/store/postgres/halves.ts";

/** The types of postgres.js have no constructor. */
const PostgresError = postgres.PostgresError as unknown as new (said: object) => Error;
const errorOf = (code: string) => new PostgresError({ severity: "ERROR", code, message: code });

/** Fails while `isWrong`, else doubles. */
async function tried(
  items: readonly number[],
  isWrong: (items: readonly number[], tries: number) => string | false,
) {
  const refused: number[] = [];
  let tries = 0;
  const work = (some: readonly number[]) => {
    const code = isWrong(some, tries++);
    return code === false ? Promise.resolve(some.map((n) => 2 * n)) : Promise.reject(errorOf(code));
  };
  const results = await inHalves(items, work, (item) => refused.push(item));
  return { results, refused };
}

test("those that are refused each time are found, and the others are done", async () => {
  const isWrong = (some: readonly number[]) => some.some((n) => n % 5 === 0) && "22007";
  expect(await tried([1, 2, 5, 7, 10], isWrong)).toEqual({ results: [2, 4, 14], refused: [5, 10] });
});

test.each([[[1]], [[1, 2, 3]]])(
  "none is refused for a right that was lacking for a moment: %j",
  async (items) => {
    for (const tries of [1, 2])
      expect(await tried(items, (some, n) => some.length > 0 && n < tries && "42501")).toEqual({
        results: items.map((n) => 2 * n),
        refused: [],
      });
  },
);

test("a code that concerns all is no item's, however often it comes and goes", async () => {
  const refused: number[] = [];
  const work = (some: readonly number[]) =>
    some.length === 0 ? Promise.resolve([]) : Promise.reject(errorOf("42P01"));
  const tries = inHalves(
    [1],
    work,
    (item) => refused.push(item),
    ({ code }) => code === "42P01",
  );
  await expect(tries).rejects.toThrow("42P01");
  expect(refused).toEqual([]);
});

test("what concerns all is thrown, also if it begins in between", async () => {
  await expect(tried([1, 2], () => "42501")).rejects.toThrow("42501");
  await expect(tried([1], (some, n) => some.length > 0 && (n === 0 ? "22007" : "57014"))).rejects.toThrow(
    "57014",
  );
});
