/** A small file that is either as it was or as it is to be, whatever happens meanwhile: written beside, flushed, renamed. */
import { renameSync, writeFileSync } from "node:fs";

/** @throws if the directory cannot be written */
export function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { flush: true });
  renameSync(`${path}.tmp`, path);
}
