import { expect, test } from "bun:test";
import { z } from "zod";
import { whyOf } from "../../../src/core/text/zod-words.ts";

test.each([
  [z.number(), "x", "must be a number"],
  [z.object({}), 1, "must be an object"],
  [z.enum(["csv", "ndjson"]), "x", 'must be one of "csv"|"ndjson"'],
  [z.literal("yes"), "x", 'must be "yes"'],
  [z.object({ a: z.string() }), {}, "a: is missing"],
  [z.strictObject({}), { a: 1 }, 'unknown name: "a"'],
  [z.iso.datetime(), "noon", "must be a time such as 2026-11-21T08:00:00Z"],
  [z.string().max(3), "four", "must have at most 3 characters"],
  [z.string().min(1), "", "must not be empty"],
  [z.array(z.string()).min(1), [], "must not be empty"],
  [z.array(z.string()).min(2), [], "must have at least 2 items"],
  [z.number().max(3), 4, "must be at most 3"],
  [z.number().min(3), 2, "must be at least 3"],
] as const)("what is wrong is said in words of ours: %#", (schema, value, why) => {
  expect(whyOf(schema.safeParse(value).error as z.ZodError)).toBe(why);
});
