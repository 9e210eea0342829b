import { expect, test } from "bun:test";
import { letGo } from "../../../src/core/memory/let-go.ts";

test("what has its memory to itself is given back, and what shares it stays", () => {
  const own = Bun.zstdCompressSync(Buffer.alloc(10_000, "abc"));
  const shared = Buffer.from("one, two").subarray(5);
  for (const bytes of [own, shared]) letGo(bytes);
  expect([own.length, shared.toString()]).toEqual([0, "two"]);
});
