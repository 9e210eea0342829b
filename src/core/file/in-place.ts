/**
 * SQLite's shared memory (`-shm`) on btrfs, so that a full disk holds the gateway and does not end it.
 *
 * btrfs writes each changed page of a file to a new place. The shared memory is a mapped file, so on a full disk a change to it is no error that
 * anybody is told but SIGBUS. A file that has the attribute C is written where it is; it must get that while it is empty. Rejected alternative:
 * `PRAGMA locking_mode = EXCLUSIVE` needs no shared memory, but no command could look at the file while a gateway runs.
 */
import { closeSync, openSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { libc } from "../memory/libc.ts";

/** statfs(2), ioctl_iflags(2). */
const btrfs = 0x9123683e;
const getFlags = 0x80086601;
const setFlags = 0x40086602;
const writtenInPlace = 0x00800000;

/**
 * Makes the shared memory of a database that nobody has open. One that is there may be in use: to close it here would
 * end this process's own locks on it. Whatever fails, SQLite makes its own.
 */
export function makeSharedMemoryInPlace(path: string): void {
  try {
    if (statfsSync(dirname(path)).type !== btrfs) return;
    const fd = openSync(`${path}-shm`, "wx", 0o640);
    try {
      const { ioctl } = libc();
      const flags = new Int32Array(1);
      ioctl(fd, getFlags, flags);
      ioctl(
        fd,
        setFlags,
        flags.map((had) => had | writtenInPlace),
      );
    } finally {
      closeSync(fd);
    }
  } catch {}
}
