/**
 * Has the pages of a mapping come one by one. With a page that is missing Linux maps those around it, sixteen in all, if the system has
 * them: under load that made 28 MB resident of the program's code, of which 10 ran. Nothing turns it off but what has another use: it is
 * not done where userfaultfd(2) watches for writes, which since Linux 6.7 (UFFD_FEATURE_WP_ASYNC) it does in any mapping, and as no page
 * is write-protected, it never finds one. If the system has no such thing, or does not allow it (as in Docker), all is as before.
 */
import { closeSync } from "node:fs";
import { libc } from "../core/memory/libc.ts";

const callNumber = process.arch === "arm64" ? 282 : 323;
/** O_CLOEXEC and UFFD_USER_MODE_ONLY, which needs no right. */
const openFlags = 0x80000 | 1;
/** UFFDIO_API with struct uffdio_api: which interface, and which features. */
const [askApi, api, asyncWrites] = [0xc018_aa3f, 0xaan, 1n << 15n];
/** UFFDIO_REGISTER with struct uffdio_register: from where, how many bytes, and for what. */
const [askRegister, writes] = [0xc020_aa00, 2n];

/** @returns what does so for whole pages, with a descriptor that stays open; undefined: the system does not */
export function openPageByPage(): ((from: number, bytes: number) => void) | undefined {
  const { syscall, ioctl } = libc();
  const watch = Number(syscall(callNumber, openFlags));
  if (watch < 0) return undefined;
  if (ioctl(watch, askApi, BigUint64Array.of(api, asyncWrites, 0n)) < 0) {
    closeSync(watch);
    return undefined;
  }
  return (from, bytes) =>
    ioctl(watch, askRegister, BigUint64Array.of(BigInt(from), BigInt(bytes), writes, 0n));
}
