/** Which of the program's pages leave the process: never one that may have been written, whatever the system says of it. */
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { bundleIn, describedUpTo, unused } from "../../src/gateway/program-pages.ts";
import { executable } from "../kit/gateway.ts";

const path = "/usr/local/bin/sluice";
const bundle = { from: 0x6a22000, to: 0x76ce000 };

/** A mapping as /proc/self/smaps has it. */
function mapping(range: string, flags: string, fields: Record<string, number> = {}, of = path): string {
  const all = { Size: 4096, Rss: 1024, Anonymous: 0, AnonHugePages: 0, Swap: 0, SwapPss: 0, ...fields };
  const lines = Object.entries(all).map(([name, kilobytes]) => `${`${name}:`.padEnd(16)}${kilobytes} kB`);
  return `${range} ${flags} 00000000 fe:00 42                           ${of}\n${lines.join("\n")}\nVmFlags: rd mr mw me \n`;
}

const gone = (...mappings: string[]) =>
  unused(mappings.join(""), path, bundle).map(({ from, to }) => `${from.toString(16)}-${to.toString(16)}`);

test("the code goes, and the bundle, which has a mapping of its own", () => {
  const code = mapping("01a40000-0684a000", "r-xp");
  const variables = mapping("0684a000-06a22000", "rw-p", { Anonymous: 56 });
  expect(gone(code, variables, mapping("06a22000-076ce000", "rw-p"))).toEqual([
    "1a40000-684a000",
    "6a22000-76ce000",
  ]);
});

test.each([
  ["variables, of which none was written up to now", mapping("06867000-06a22000", "rw-p")],
  ["the bundle in one mapping with variables", mapping("06867000-076ce000", "rw-p")],
  ["pages that were written", mapping("01a40000-0684a000", "r--p", { Anonymous: 4 })],
  ["pages that were written and swapped out", mapping("01a40000-0684a000", "r--p", { Swap: 4 })],
  ["what an emulator knows nothing of", mapping("01a40000-0684a000", "r-xp", { Rss: 0 })],
  ["what the kernel counts nothing of", mapping("01a40000-0684a000", "r-xp").replace(/^Anonymous.*\n/m, "")],
  ["an executable that was replaced", mapping("01a40000-0684a000", "r-xp", {}, `${path} (deleted)`)],
  ["another file", mapping("01a40000-0684a000", "r-xp", {}, "/usr/lib/libc.so.6")],
])("%s stays", (_, text) => expect(gone(text)).toEqual([]));

test("without a bundle that can be found, what may be written stays", () => {
  expect(unused(mapping("06a22000-076ce000", "rw-p"), path, undefined)).toEqual([]);
});

test("what comes behind the bundle is not asked for, and without a bundle nothing is left out", () => {
  const code = mapping("01a40000-0684a000", "r-xp");
  const heap = mapping("076ce000-7fff0000", "rw-p", {}, "");
  const all = code + mapping("06a22000-076ce000", "rw-p") + heap;
  const smaps = join(mkdtempSync(join(tmpdir(), "sluice-smaps-")), "smaps");
  writeFileSync(smaps, all);
  expect(unused(describedUpTo(bundle, smaps), path, bundle)).toEqual(unused(all, path, bundle));
  expect(describedUpTo(bundle, smaps)).not.toContain("076ce000-7fff0000");
  expect(describedUpTo(undefined, smaps)).toBe(all);
  expect(describedUpTo({ from: 0, to: 4096 }, smaps)).toBe(all);
  expect(describedUpTo(bundle, join(smaps, "absent"))).toBe("");
});

test.skipIf(!existsSync(executable))(
  "the bundle is found in the executable, in whole pages (skipped if the executable is missing)",
  () => {
    const { from, to } = bundleIn(executable, 4096) ?? { from: 0, to: 0 };
    expect([from % 4096, to % 4096]).toEqual([0, 0]);
    expect(to - from).toBeGreaterThan(8 * 1024 * 1024);
  },
);
