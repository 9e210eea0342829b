/** Whether what is written to a directory stays there, by the file system that it is on. */
import { statfsSync } from "node:fs";

const goesWithHost = "which is empty after a restart of the host: put DATA_DIR on a disk";
const promisesLess = "where locks and fsync may not be reliable: put DATA_DIR on a local disk";

/** statfs(2): `f_type` → what it is called, and what is wrong with it. sshfs, NTFS and whatever else a program of the host serves is FUSE. */
const doubtful: ReadonlyMap<number, string> = new Map([
  [0x01021994, `tmpfs, ${goesWithHost}`],
  [0x858458f6, `ramfs, ${goesWithHost}`],
  [
    0x794c7630,
    "an overlay, which may be gone with its container, or after a restart of the host: put DATA_DIR on a volume, or a disk of its own",
  ],
  [0x6969, `NFS, ${promisesLess}`],
  [0x517b, `SMB, ${promisesLess}`],
  [0xfe534d42, `SMB, ${promisesLess}`],
  [0xff534d42, `CIFS, ${promisesLess}`],
  [0x65735546, `FUSE (as sshfs is), ${promisesLess}`],
  [0x01021997, `9P, ${promisesLess}`],
  [0x00c36400, `Ceph, ${promisesLess}`],
]);

/** @returns undefined if nothing is known against it, or it does not say what it is: that is no reason to end what runs on it */
export function doubtOfDisk(directory: string): string | undefined {
  try {
    return doubtful.get(statfsSync(directory).type);
  } catch {
    return undefined;
  }
}
