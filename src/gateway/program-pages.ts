/**
 * Takes the program's own pages out of the process. Most of what an executable of 120 MB touches it touches once, at the start or in a
 * load, and has it resident from then on: 51 MB of 78, idle. The pages stay in the system's cache, from where one that is needed
 * again is back within a microsecond. Rejected alternative: MADV_PAGEOUT, which empties that cache as well, and flash is slow.
 *
 * A page that was written is ours alone and must stay: only a mapping goes of which /proc/self/smaps says that it has none. Another thread
 * may write the first one just after that is said, so none goes that holds variables: the bundle, which lies beside them in one mapping,
 * is given one of its own first. Page by page each time (/proc/self/pagemap) is a loop that the engine compiles, and its compiler takes
 * more memory than it finds. If something is missing (another system, no /proc, no libc, no section of that name), nothing is done.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { libc } from "../core/memory/libc.ts";
import { openPageByPage } from "./page-by-page.ts";

/** Resident of files: where pages come one by one an idle gateway has 8 MiB of its program, and one under load 22; 22 and 36 elsewhere. */
const mappedBytesMax = 24 * 1024 * 1024;
/** The section that `bun build --compile` puts the bundle in. Nobody writes there. */
const bundleSection = ".bun";
/** MADV_DONTNEED and MADV_NOHUGEPAGE, of Linux; the latter changes nothing but that its mapping is split off. */
const [dontNeed, noHugePage] = [4, 15];

interface Stretch {
  readonly from: number;
  readonly to: number;
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
    const bundle = bundleIn("/proc/self/exe", pageBytes);
    if (bundle !== undefined) madvise(bundle.from, bundle.to - bundle.from, noHugePage);
    const pageByPage = openPageByPage();
    return () => {
      if (mappedPages() * pageBytes < mappedBytesMax) return;
      const smaps = describedUpTo(bundle, "/proc/self/smaps");
      for (const { from, to } of unused(smaps, process.execPath, bundle)) {
        pageByPage?.(from, to - from);
        madvise(from, to - from, dontNeed);
      }
    };
  } catch {
    return () => {};
  }
}

/** Resident of files; NaN if the system does not say. */
function mappedPages(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[2]);
  } catch {
    return Number.NaN;
  }
}

/** Less than stands in a description behind what is read of it. */
const pieceBytes = 64;

/**
 * What /proc/self/smaps says of the mappings up to `last`, which is the last of the program's; "" if it says nothing. The system counts the
 * pages of a mapping when it is asked for the first byte about it, and for those of the heap, which come next, it takes five times as long.
 */
export function describedUpTo(last: Stretch | undefined, smaps: string): string {
  const head = last && `-${last.to.toString(16).padStart(8, "0")} `;
  const piece = Buffer.alloc(pieceBytes);
  let [text, at] = ["", -1];
  try {
    const file = openSync(smaps, "r");
    try {
      for (let bytes = pieceBytes, isAll = false; bytes > 0 && !isAll;) {
        bytes = readSync(file, piece, 0, pieceBytes, null);
        text += piece.toString("latin1", 0, bytes);
        // Only where it may stand since the last piece: a kernel that splits nothing off has it nowhere.
        if (head !== undefined && at < 0) at = text.indexOf(head, text.length - bytes - head.length);
        isAll = at >= 0 && /^Swap: .*\n/m.test(text.slice(at));
      }
    } finally {
      closeSync(file);
    }
    return text;
  } catch {
    return "";
  }
}

/**
 * The mappings of an executable in which nothing was written, nor may be, and something is resident: an emulator (qemu-user) says 0 of
 * all that it does not know.
 */
export function unused(smaps: string, path: string, bundle: Stretch | undefined): Stretch[] {
  return smaps
    .split(/^(?=[0-9a-f]+-)/m)
    .filter((text) => text.slice(0, text.indexOf("\n")).endsWith(` ${path}`))
    .flatMap((text) => {
      const [, start = "", end = "", flags = ""] = /^(\w+)-(\w+) (\S+)/.exec(text) ?? [];
      const [from, to] = [Number.parseInt(start, 16), Number.parseInt(end, 16)];
      const kilobytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(text)?.[1]);
      const isWritable = flags[1] === "w" && !(bundle && bundle.from <= from && to <= bundle.to);
      const mayGo = !isWritable && kilobytes("Rss") > 0 && kilobytes("Anonymous") + kilobytes("Swap") === 0;
      return mayGo ? [{ from, to }] : [];
    });
}

/** ET_EXEC: its addresses are those in memory. */
const fixedAddresses = 2;

/** Where the bundle of an executable lies in memory, in whole pages, by its ELF header (elf(5)); undefined: nobody can tell. */
export function bundleIn(path: string, pageBytes: number): Stretch | undefined {
  const file = openSync(path, "r");
  try {
    const read = (at: number, bytes: number) => {
      const part = Buffer.alloc(bytes);
      readSync(file, part, 0, bytes, at);
      return part;
    };
    const head = read(0, 64);
    if (head.readUInt16LE(16) !== fixedAddresses) return undefined;
    const [bytes, count, namesIndex] = [head.readUInt16LE(58), head.readUInt16LE(60), head.readUInt16LE(62)];
    const table = read(number64(head, 40), bytes * count);
    const sections = Array.from({ length: count }, (_, i) => {
      const header = table.subarray(i * bytes, (i + 1) * bytes);
      const [address, offset, size] = [number64(header, 16), number64(header, 24), number64(header, 32)];
      return { nameAt: header.readUInt32LE(0), address, offset, size };
    });
    const { offset, size } = sections[namesIndex] ?? { offset: 0, size: 0 };
    const names = read(offset, size).toString("latin1");
    const found = sections.find(({ nameAt }) => names.startsWith(`${bundleSection}\0`, nameAt));
    if (found === undefined) return undefined;
    const whole = (address: number) => address - (address % pageBytes);
    return {
      from: whole(found.address + pageBytes - 1),
      to: whole(found.address + found.size),
    };
  } finally {
    closeSync(file);
  }
}

const number64 = (bytes: Buffer, at: number) => Number(bytes.readBigUInt64LE(at));
