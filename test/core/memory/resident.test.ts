import { expect, test } from "bun:test";
import { residentBytes } from "../../../src/core/memory/resident.ts";

test("without a descriptor to read it with, the memory is what it was", () => {
  expect(residentBytes(() => 7)).toBe(7);
  const fail = () => {
    throw new Error("Failed to get memory usage");
  };
  expect(residentBytes(fail)).toBe(7);
  expect(residentBytes()).toBeGreaterThan(7);
});
