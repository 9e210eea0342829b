/**
 * Takes the program's own pages out of the process. Most of what an executable of 120 MB touches it touches once, at the start or in a
 * load, and has it resident from then on: 51 MB of 78, idle. The pages stay in the system's cache, from where one that is needed
 * again is back within a microsecond. Rejected alternative: MADV_PAGEOUT, which empties that cache as well, and flash is slow.
 *
 * A page that was written is ours alone and must stay: only a mapping goes of which /proc/self/smaps says that it has none. The bundle
 * lies in one mapping with the program's variables, so it is given one of its own first. Page by page each time (/proc/self/pagemap) is
 * a loop that the engine compiles, and its compiler takes more memory than it finds. Where something is missing (another system, no
 * /proc, no libc), nothing is done.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { libc } from "./libc.ts";

/** Resident of files: an idle gateway uses 22 MiB of its program, and one under load 36. */
const mappedBytesMax = 24 * 1024 * 1024;
/** With nothing written in it, as long a stretch is the bundle: between the variables, which change, none is. */
const stretchBytesMin = 4 * 1024 * 1024;
/** MADV_DONTNEED and MADV_NOHUGEPAGE, of Linux; the latter changes nothing but that its mapping is split off. */
const [dontNeed, noHugePage] = [4, 15];
/** Of the upper half of a page's entry in pagemap: in memory, swapped out, of a file. */
const [inMemory, swapped, ofFile] = [1 << 31, 1 << 30, 1 << 29];

interface Mapping {
  readonly from: number;
  readonly to: number;
  readonly isWritable: boolean;
  /** Bytes that were written, in memory or swapped out. */
  readonly written: number;
}

let unmapper: (() => void) | undefined;

/** Takes them out, if there are many. */
export function unmapProgram(): void {
  unmapper ??= openUnmapper();
  unmapper();
}

function openUnmapper(): () => void {
  try {
    const { madvise, getpagesize: pageSize } = libc();
    const pageBytes = pageSize();
    for (const [from, to] of writable().flatMap((mapping) => unwritten(mapping, pageBytes)))
      madvise(from, to - from, noHugePage);
    return () => {
      if (filePages() * pageBytes < mappedBytesMax) return;
      for (const { from, to, written } of mappings()) if (written === 0) madvise(from, to - from, dontNeed);
    };
  } catch {
    return () => {};
  }
}

/** Resident of files; 0 if that cannot be told. */
function filePages(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[2]);
  } catch {
    return 0;
  }
}

const writable = () => mappings().filter(({ isWritable }) => isWritable);

/** Of the executable; none if that cannot be told. */
function mappings(): readonly Mapping[] {
  try {
    return readFileSync("/proc/self/smaps", "utf8")
      .split(/^(?=[0-9a-f]+-)/m)
      .filter((text) => text.slice(0, text.indexOf("\n")).endsWith(` ${process.execPath}`))
      .map((text) => {
        const [, from = "", to = "", flags = ""] = /^(\w+)-(\w+) (\S+)/.exec(text) ?? [];
        const kilobytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(text)?.[1]);
        const written = kilobytes("Anonymous") + kilobytes("Swap");
        return {
          from: Number.parseInt(from, 16),
          to: Number.parseInt(to, 16),
          isWritable: flags[1] === "w",
          written,
        };
      });
  } catch {
    return [];
  }
}

/** The long stretches in which no page was written. */
function unwritten(
  { from, to }: Mapping,
  pageBytes: number,
): readonly (readonly [from: number, to: number])[] {
  const halves = new Uint32Array(((to - from) / pageBytes) * 2);
  const pagemap = openSync("/proc/self/pagemap", "r");
  try {
    readSync(pagemap, halves, 0, halves.byteLength, (from / pageBytes) * 8);
  } finally {
    closeSync(pagemap);
  }
  const isWritten = (page = 0) =>
    (page & swapped) !== 0 || ((page & inMemory) !== 0 && (page & ofFile) === 0);
  const ends = [-1, halves.length / 2];
  for (let i = 1; i < halves.length; i += 2) if (isWritten(halves[i])) ends.push((i - 1) / 2);
  ends.sort((a, b) => a - b);
  return ends
    .map((end, i) => [from + (end + 1) * pageBytes, from + (ends[i + 1] ?? end) * pageBytes] as const)
    .filter(([start, end]) => end - start >= stretchBytesMin);
}
