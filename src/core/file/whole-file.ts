/** A small file that is either as it was or as it is to be, whatever happens meanwhile: written beside, flushed, renamed. */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";

/** @throws if the directory cannot be written */
export function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { flush: true });
  renameSync(`${path}.tmp`, path);
}

/** Returns once a file, or the names in a directory, are on the disk. @throws if it cannot be opened, or the disk fails */
export function flush(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
