/** The file of the local store, local.db in the data directory: where it is, how it is opened, and whether a site has run on it. */
import type { Database } from "bun:sqlite";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { explain } from "../../core/log/log.ts";
import { damageIn, openSqlite, whenNotBusy, whyForeign, whyOthersLog } from "../../core/file/sqlite.ts";
import { Outage } from "../../core/outage.ts";
import type { Census } from "../../core/store.ts";
import { sqliteTables } from "./sqlite-schema.ts";

export function localFile(dataDir: string): string {
  return join(dataDir, "local.db");
}

/** Creates the tables that are missing. @returns what was done, one sentence each. @throws if the file is another program's */
export function migrateSqlite(db: Database): string[] {
  const foreign = whyForeign(db, Object.keys(sqliteTables));
  if (foreign !== undefined) throw new Error(foreign);
  const known = db.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  const before = new Set(known.map((row) => row.name));
  db.transaction(() => {
    for (const statements of Object.values(sqliteTables)) {
      for (const statement of statements) db.run(statement);
    }
  }).immediate();
  return Object.keys(sqliteTables)
    .filter((name) => !before.has(name))
    .map((name) => `created table ${name}`);
}

/**
 * The file with its tables, for work that runs beside a gateway's event loop: nothing waits in SQLite for another process that
 * writes (`whenNotBusy` tries again).
 * @returns also which tables had to be created
 * @throws if the file cannot be opened or is damaged
 */
export function openLocalFile(path: string): { db: Database; created: string[] } {
  const db = opened(path);
  try {
    const created = migrateSqlite(db);
    db.run("PRAGMA busy_timeout = 0");
    return { db, created };
  } catch (error) {
    db.close();
    throw new Error(whatIsDamaged(path, error) ?? `${path}: ${explain(error)}`, { cause: error });
  }
}

function opened(path: string): Database {
  const others = whyOthersLog(path);
  if (others !== undefined) throw new Error(others);
  try {
    return openSqlite(path);
  } catch (error) {
    const damaged = whatIsDamaged(path, error);
    throw damaged === undefined ? error : new Error(damaged, { cause: damageIn(error) });
  }
}

/** The devices that a file holds, also one whose tables are not made yet. @throws if the file is another program's */
export function censusIn(db: Database): Census {
  const foreign = whyForeign(db, Object.keys(sqliteTables));
  if (foreign !== undefined) throw new Error(`${db.filename}: ${foreign}`);
  const table = "SELECT 1 FROM sqlite_schema WHERE name = 'device_registry'";
  if (db.query(table).get() === null) return { devices: 0, tenants: 0 };
  const census = "SELECT count(*) AS devices, count(DISTINCT tenant_id) AS tenants FROM device_registry";
  return db.query<Census, []>(census).get() ?? { devices: 0, tenants: 0 };
}

/** Does `work` as soon as no other process is writing. @throws if the file is damaged, its name and what to do */
export function onFile<T>(db: Database, work: () => T): Promise<T> {
  return whenNotBusy(() => naming(db, work));
}

/** The same for work that does not wait. */
export function naming<T>(db: Database, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const damage = whatIsDamaged(db.filename, error);
    throw damage === undefined ? error : new Outage(damage, { alarm: true, cause: error });
  }
}

/** What an operator is told, and what to do; undefined: the error is another one, which may end by itself. */
function whatIsDamaged(path: string, error: unknown): string | undefined {
  const damage = damageIn(error);
  if (damage === undefined) return undefined;
  return `${path} is damaged (${damage.message}): stop the gateway, and put a backup in its place, or what \`sqlite3 ${path} '.clone FILE'\` can still read`;
}

/**
 * Why a gateway cannot go on with its local store; undefined if it can. SQLite would begin a file that was lost anew, and every
 * device would be unknown.
 */
export function whatIsLost(dataDir: string): string | undefined {
  const path = localFile(dataDir);
  if (isThere(path)) return undefined;
  return `${path} is missing or empty although this site ran on it: put it, or a backup, in its place. If it went to PostgreSQL, set DATABASE_URL; to begin anew, \`sluice migrate\` makes an empty one (devices and rows are lost then)`;
}

/**
 * Why a gateway that brought its rows to PostgreSQL cannot go on without it; undefined if it can. A DATABASE_URL that was lost, as with
 * a new `sluice.env`, would else leave its devices behind, and what waits for PostgreSQL.
 */
export function whatIsElsewhere(dataDir: string): string | undefined {
  const path = localFile(dataDir);
  if (isThere(path)) return undefined;
  return `this site ran on PostgreSQL, and DATABASE_URL is not set: set it; to begin anew with a local store, \`sluice migrate\` makes an empty one, ${path} (the devices stay in PostgreSQL; what the spool still holds goes to the new one)`;
}

const isThere = (path: string) => Boolean(statSync(path, { throwIfNoEntry: false })?.size);

/**
 * Why a gateway cannot begin with PostgreSQL here; undefined if it can. A site that ran on its local store and is given a
 * DATABASE_URL has its devices and its place in the spool in that file: to go on would reject every device, and store twice what is
 * stored.
 */
export function whatIsLeftBehind(dataDir: string): string | undefined {
  const path = localFile(dataDir);
  if (!isLocalStoreInUse(path)) return undefined;
  return `this site ran on its local store, ${path}: \`sluice migrate --from-local\` moves its devices and rows to PostgreSQL; or remove that file to begin anew`;
}

/** Whether a site has run on this local store: it has devices, or has had rows. */
function isLocalStoreInUse(path: string): boolean {
  if (!existsSync(path)) return false;
  const { db } = openLocalFile(path);
  try {
    const used =
      "SELECT EXISTS (SELECT 1 FROM device_registry) OR EXISTS (SELECT 1 FROM sluice_position) AS used";
    return db.query<{ used: number }, []>(used).get()?.used === 1;
  } finally {
    db.close();
  }
}
