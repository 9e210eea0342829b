/** Certificates and keys from files. Read when they are used, so that a renewed one needs no restart of the gateway. */
import { readFileSync } from "node:fs";
import { explain } from "../core/log.ts";

/** @throws a sentence that names the setting, the file and the system's words. */
export function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`${setting}: cannot read ${path} (${explain(cause)})`, { cause });
  }
}

/** A sentence for each file that cannot be read; files that are not set are no mistake. */
export function pemMistakes(files: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(files).flatMap(([setting, path]) => {
    try {
      if (path !== undefined) readPem(setting, path);
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  });
}
