/**
 * The registry that the settings name, for a command: PostgreSQL, else the local file. Which one it is is said every time: a
 * shell that lost DATABASE_URL on the way would otherwise work on another store without a word.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeDataDir } from "../config/host.ts";
import { openPostgres } from "../store/postgres/client.ts";
import { localRegistry } from "../store/sqlite/registry.ts";
import { postgresRegistry } from "../store/postgres/registry.ts";
import type { Registry } from "../core/registry.ts";
import type { Context } from "./command.ts";
import { configured } from "./configuration.ts";

/**
 * @param mayMake the command puts something into the store, so that a local one that is missing is made
 * @throws if the local store is not there: to look never makes one
 */
export function openRegistry(context: Context, mayMake: boolean): Registry {
  const { general, postgres } = configured(context).config;
  if (postgres.url === undefined)
    return localRegistry({ path: localStore(context, general.dataDir, mayMake) });
  const db = openPostgres({ ...postgres, url: postgres.url });
  sayStore(context, `PostgreSQL, ${db.place}`);
  const log = context.createLog(general.logLevel, 2);
  return { ...postgresRegistry({ db, log }), close: () => db.close() };
}

/** The path of the local store, which is said. @throws if it is not there and none may be made */
export function localStore(context: Context, dataDir: string, mayMake: boolean): string {
  const path = join(dataDir, "local.db");
  const isThere = existsSync(path);
  if (!isThere && !mayMake)
    throw new Error(
      `there is no local store at ${path}: see DATA_DIR, or DATABASE_URL if the devices are in PostgreSQL`,
    );
  if (!isThere) makeDataDir(dataDir);
  sayStore(context, `the local store, ${path}${isThere ? "" : ", which is new"}`);
  return path;
}

/** Before the first word of the answer. */
export function sayStore(context: Context, store: string): void {
  context.stderr(`in ${store}\n`);
}
