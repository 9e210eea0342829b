/** Numbers and sizes as people read them: one of a thing is named as one. */
import { expect, test } from "bun:test";
import { counted, countedEntries, duration, entriesWait, size } from "../../../src/core/text/readable.ts";

test.each([
  [0, "0 devices", "0 entries", "0 entries wait"],
  [1, "1 device", "1 entry", "1 entry waits"],
  [2_000, "2,000 devices", "2,000 entries", "2,000 entries wait"],
])("%i", (n, devices, entries, wait) => {
  expect([counted(n, "device"), countedEntries(n), entriesWait(n)]).toEqual([devices, entries, wait]);
});

test.each([
  [0, "0 bytes"],
  [1, "1 byte"],
  [1_023, "1,023 bytes"],
  [1_024, "1.0 KiB"],
  [10 * 2 ** 30, "10.0 GiB"],
  [2 ** 53, "8192.0 TiB"],
])("%i bytes", (bytes, text) => {
  expect(size(bytes)).toBe(text);
});

test.each([
  [1, "1 s"],
  [119, "119 s"],
  [120, "2 min"],
  [3 * 86_400, "3 days"],
  [700 * 86_400, "700 days"],
  [9_162 * 86_400, "25 years"],
])("%i seconds", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});
