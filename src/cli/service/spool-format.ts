/**
 * The format of the installed service's spool, read from the file's header, so that a running gateway is not
 * disturbed.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../config/index.ts";
import type { Context } from "../command.ts";
import { withSettings } from "../environment.ts";
import { paths, placeOf } from "./host.ts";

/** Where SQLite keeps user_version (https://www.sqlite.org/fileformat.html, 1.3). */
const userVersionAt = 60;

/** Returns undefined if there is no spool yet. */
export function formatInstalled(context: Context): number | undefined {
  const loaded = loadConfig(withSettings(context, undefined, true).env);
  const configured = "config" in loaded ? [loaded.config.general.dataDir] : [];
  const dirs = [...configured, placeOf(context, paths.state)];
  for (const dir of dirs) {
    const format = userVersionOf(join(dir, "spool.db"));
    if (format !== undefined) return format;
  }
  return undefined;
}

function userVersionOf(path: string): number | undefined {
  try {
    const fd = openSync(path, "r");
    const bytes = Buffer.alloc(4);
    const read = readSync(fd, bytes, 0, bytes.length, userVersionAt);
    closeSync(fd);
    return read === bytes.length ? bytes.readUInt32BE() : undefined;
  } catch {
    return undefined;
  }
}
