/** Of a mapping whose pages come one by one no more is resident than what was read. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { libc } from "../../src/core/memory/libc.ts";
import { openPageByPage } from "../../src/gateway/page-by-page.ts";

const pageByPage = openPageByPage();
const pageBytes = libc().getpagesize();
/** More than is mapped at a time; four of them are less than a huge page, which would be mapped as one. */
const apart = 64 * pageBytes;
/** MADV_DONTNEED. */
const dontNeed = 4;

function residentOf(path: string): number {
  const smaps = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-)/m);
  const own = smaps.filter((text) => text.slice(0, text.indexOf("\n")).endsWith(` ${path}`));
  return own.reduce((sum, text) => sum + Number(/^Rss: +(\d+)/m.exec(text)?.[1]) * 1024, 0);
}

test.skipIf(pageByPage === undefined)(
  "a page that is read brings none of those around it (skipped where userfaultfd is not there, not allowed, or older than Linux 6.7)",
  () => {
    const path = join(mkdtempSync(join(tmpdir(), "sluice-pages-")), "program");
    writeFileSync(path, Buffer.alloc(4 * apart, 1));
    const bytes = Bun.mmap(path, { shared: false });
    for (let round = 1; round <= 2; round++) {
      // Asked for again each time that they are given back, as of the program; Bun has all of them mapped at first.
      pageByPage?.(ptr(bytes), bytes.length);
      libc().madvise(ptr(bytes), bytes.length, dontNeed);
      let sum = 0;
      for (let at = 0; at < bytes.length; at += apart) sum += bytes[at] ?? 0;
      expect([sum, residentOf(path)]).toEqual([4, 4 * pageBytes]);
    }
  },
);
