/**
 * The format of the installed service's spool. SQLite is asked, beside a running gateway: what a start has changed stands in the write-ahead log
 * at first, and the file's own header would say the format before that.
 */
import { loadConfig } from "../../config/index.ts";
import { withFile } from "../../spool/tools/spool-file.ts";
import type { Context } from "../command.ts";
import { withSettings } from "../environment.ts";
import { paths, placeOf } from "./host.ts";

/** Returns undefined if there is no spool yet. */
export function formatInstalled(context: Context): number | undefined {
  const loaded = loadConfig(withSettings(context, undefined, true).env);
  const configured = "config" in loaded ? [loaded.config.general.dataDir] : [];
  const dirs = [...configured, placeOf(context, paths.state)];
  for (const dir of dirs) {
    const format = userVersionIn(dir);
    if (format !== undefined) return format;
  }
  return undefined;
}

function userVersionIn(dataDir: string): number | undefined {
  try {
    return withFile(dataDir, (db) => db.query<{ user_version: number }, []>("PRAGMA user_version").get())
      ?.user_version;
  } catch {
    return undefined;
  }
}
