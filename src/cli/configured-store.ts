/**
 * The store that the settings name, for a command: PostgreSQL, else the local file. Every command prints which one it
 * is, because a shell that lost DATABASE_URL on the way would otherwise silently work on another store.
 */
import { makeDataDir } from "../config/host.ts";
import { isThere } from "../core/file/owner.ts";
import type { Store } from "../core/store.ts";
import { openStore, storeNameOf } from "../store/open-store.ts";
import { localFile } from "../store/sqlite/local-file.ts";
import { historyIn } from "../spool/tools/status.ts";
import type { Context } from "./command.ts";
import { configured } from "./configuration.ts";
import { sayWhere } from "./report.ts";

/**
 * @param mayMake true if the command puts something into the store, so that a missing local store is created
 * @throws if the local store does not exist: reading never creates one
 */
export function openConfiguredStore(context: Context, mayMake: boolean): Store {
  const { general, postgres } = configured(context).config;
  const isNew = storeNameOf(postgres) === "local" && isMissing(general.dataDir, mayMake);
  const log = context.createLog(general.logLevel, 2);
  const store = openStore({ ...general, postgres, log, spool: historyIn(general.dataDir) });
  sayWhere(context, `${store.title}, ${store.place}${isNew ? ", which is new" : ""}`);
  return store;
}

/** Whether there is no local store yet; its directory is then made ready. @throws if none may be created */
function isMissing(dataDir: string, mayMake: boolean): boolean {
  const path = localFile(dataDir);
  if (isThere(path)) return false;
  if (!mayMake)
    throw new Error(
      `there is no local store at ${path}: \`sluice devices add\` makes one, as does \`sluice run\`; or see DATA_DIR, or DATABASE_URL if the devices are in PostgreSQL`,
    );
  makeDataDir(dataDir);
  return true;
}
