/** The registry that the settings name, for a command: PostgreSQL, else the local file. */
import { join } from "node:path";
import type { Config } from "../config.ts";
import { makeDataDir } from "../config/host.ts";
import type { Log } from "../core/log.ts";
import { openPostgres } from "../core/postgres.ts";
import { localRegistry } from "../registry/local.ts";
import { postgresRegistry } from "../registry/postgres.ts";
import type { Registry } from "../registry/registry.ts";

export function openRegistry({ general, postgres }: Config, log: Log): Registry {
  if (postgres.url === undefined) {
    makeDataDir(general.dataDir);
    return localRegistry({ path: join(general.dataDir, "local.db") });
  }
  const db = openPostgres({ ...postgres, url: postgres.url });
  return { ...postgresRegistry({ db, log }), close: () => db.close() };
}
