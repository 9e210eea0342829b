/** How much more fits on a disk, in bytes and in files. */
import { statfsSync } from "node:fs";

/** Bytes that this user may still write where this directory is. @throws if it cannot be read */
export function freeBytesOn(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** A disk whose inodes are used up takes no new file, however much of it is free; btrfs counts none. @throws if it cannot be read */
export function whyNoNewFile(directory: string): string | undefined {
  const { files, ffree } = statfsSync(directory);
  if (files === 0 || ffree > 0) return undefined;
  return `the file system of ${directory} has no inode left for a new file (\`df -i\` shows it): remove files from it`;
}
