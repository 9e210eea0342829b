/** How much more fits on a disk. */
import { statfsSync } from "node:fs";

/** Bytes that this user may still write where this directory is. @throws if it cannot be read */
export function freeBytesOn(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
