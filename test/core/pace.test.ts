import { expect, test } from "bun:test";
import { createPace } from "../../src/core/pace.ts";

test("one that was too much alone is tried alone again: nothing is less", () => {
  const pace = createPace(8);
  for (let n = 0; n < 3; n++) pace.tooMuch(1);
  expect(pace.size).toBe(1);
});
