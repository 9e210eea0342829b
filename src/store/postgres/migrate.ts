/**
 * The tables in PostgreSQL, with the names and columns that existing deployments have.
 *
 * A table that is there is used as it is. `createMissing` (at the start of a gateway) only creates tables that are not
 * there; `migratePostgres` (the command) also adds to device_registry and app_settings what instant invalidation and
 * token overlap need. Both may be run at any time by any number of processes: an advisory lock lets one at a time.
 */
import { Outage } from "../../core/outage.ts";
import { openPostgres, serverError, type Postgres, type Transaction } from "./postgres-client.ts";
import {
  missesReplicas,
  overlapColumns,
  partitions,
  tables,
  tokenIndexes,
  triggerBody,
  triggers,
  triggerFunction,
  whyUntold,
} from "./postgres-schema.ts";
import type { Inspection } from "../../core/store.ts";

/** Without the one every device would be rejected, without the other the sink would store again what is stored. */
const vital = ["device_registry", "sluice_position"];

/**
 * Creates the tables that are missing, complete with columns and triggers; none beside a vital one that is gone.
 * @param needed vital tables that the caller cannot do without
 * @returns what was done; usually nothing
 */
export async function createMissing(db: Postgres, needed: readonly string[] = vital): Promise<string[]> {
  // By `ask`, which awaits no turn behind what people read: batches and look-ups wait for this.
  mustBeNewEnough(await db.ask<Version>("asking for its version", versionQuery));
  const missing = namesOf(await db.ask<Missing>("looking for the tables", missingTables));
  if (missing.length === 0) return [];
  const gone = goneOf(db, missing);
  mustNotBeGone(
    db,
    gone.filter((name) => needed.includes(name)),
  );
  if (gone.length > 0) return [];
  return change(db, `creating the tables ${missing.join(", ")}`, createMissingTables);
}

/** This site cannot have come so far without these: the database is another one, or they are looked for in another schema. */
function goneOf({ options }: Postgres, missing: readonly string[]): string[] {
  return options.ranHere === true ? missing.filter((name) => vital.includes(name)) : [];
}

function mustNotBeGone({ place }: Postgres, gone: readonly string[]): void {
  if (gone.length === 0) return;
  throw new Outage(
    `PostgreSQL at ${place} has no ${gone.join(" and no ")}, although this site has stored rows in PostgreSQL: see to the database in DATABASE_URL and to the role's search_path, or restore them; \`sluice migrate --anew\` makes empty ones, to begin anew`,
    { alarm: true },
  );
}

/**
 * Brings the database to what this version wants. @returns what was done, one sentence each; nothing if it was all there
 * @param isAnew empty tables may take the place of those that this site had
 */
export async function migratePostgres(db: Postgres, isAnew = false): Promise<string[]> {
  const patient = openPostgres({ ...db.options, timeoutMs: Math.max(db.options.timeoutMs, migrateMaxMs) });
  try {
    const done = await change(patient, "migrating", (tx) => migrated(patient, tx, isAnew));
    // Each in a transaction of its own, and after what lets nobody read: a lock that grows is a deadlock with who reads the table and then writes it.
    for (const column of ["provision_token_hash", "previous_token_hash"] as const)
      done.push(...(await change(patient, "making an index", (tx) => addTokenIndex(tx, column))));
    return done;
  } finally {
    await patient.close();
  }
}

/** For each transaction. The index of three million devices takes longer than a batch may. Locks are waited for no longer than ever. */
const migrateMaxMs = 600_000;

async function migrated(db: Postgres, tx: Transaction, isAnew: boolean): Promise<string[]> {
  if (!isAnew) mustNotBeGone(db, goneOf(db, await missingIn(tx)));
  const done = await createMissingTables(tx);
  if (await isTable(tx, "device_registry")) done.push(...(await addOverlapColumns(tx)));
  done.push(...(await addTriggers(tx)));
  return done;
}

/**
 * Returns what a part that needs the tables awaits before each use. It creates what is missing the first time only: a table that
 * vanishes later is an outage (somebody is rebuilding it), and not ours to replace. @param needed as for `createMissing`
 */
export function whenTablesExist(db: Postgres, needed: readonly string[]): () => Promise<void> {
  let ready: Promise<void> | undefined;
  const prepare = async () => {
    try {
      await createMissing(db, needed);
    } catch (error) {
      ready = undefined;
      throw error;
    }
  };
  return () => (ready ??= prepare());
}

/** What a start of a gateway or `migrate` would find. Changes nothing. */
export async function inspectPostgres(db: Postgres): Promise<Inspection> {
  const found = await db.query("looking for the tables", async (sql) => {
    mustBeNewEnough(await sql.unsafe<Version[]>(versionQuery));
    const missing = await missingIn(sql);
    const indexed = await sql<{ attname: string }[]>`${sql.unsafe(indexedColumns)}`;
    const [row] = await sql<{ may_create: boolean | null; untold: string | null; misses: boolean }[]>`
      select has_schema_privilege(current_schema(), 'create') as may_create,
        (${sql.unsafe(whyUntold)}) as untold, (${sql.unsafe(missesReplicas)}) as misses`;
    return {
      missingTables: missing,
      mayCreate: row?.may_create === true,
      untold: row?.untold ?? null,
      missesReplicas: row?.misses === true,
      // What is behind a view may have one.
      findsTokens:
        indexed.some(({ attname }) => attname === "provision_token_hash") ||
        !(await isTable(sql, "device_registry")),
    };
  });
  mustNotBeGone(db, goneOf(db, found.missingTables));
  return found;
}

async function change(
  db: Postgres,
  what: string,
  work: (tx: Transaction) => Promise<string[]>,
): Promise<string[]> {
  try {
    return await db.transaction(what, async (tx) => {
      mustBeNewEnough(await tx.unsafe<Version[]>(versionQuery));
      await oneAtATime(tx);
      return work(tx);
    });
  } catch (cause) {
    if (serverError(cause)?.code !== "42501") throw cause;
    throw new Error(
      `${what} is not allowed for the role of DATABASE_URL: run \`sluice migrate\` once with a role that may create tables, and grant this one their use`,
      { cause },
    );
  }
}

// pg_class rather than to_regclass(), which may answer from what this connection cached before it got the lock.
const missingTables = `select name as missing from (values ${Object.keys(tables)
  .map((name) => `('${name}')`)
  .join(", ")}) as t(name)
  where not exists (select 1 from pg_class where relname = name and pg_table_is_visible(oid))`;
type Missing = { readonly missing: string };
const namesOf = (rows: readonly Missing[]) => rows.map(({ missing }) => missing);

/** The first with hashtextextended and with triggers that `execute function`. */
const majorMin = 11;

type Version = { readonly version: string; readonly major: number };
const versionQuery = `select current_setting('server_version') as version,
  current_setting('server_version_num')::int / 10000 as major`;

/** @throws if the server is too old, of which it would only name what it lacks */
function mustBeNewEnough([server]: readonly Version[]): void {
  if (server !== undefined && server.major < majorMin)
    throw new Error(
      `the server's version is ${server.version}: Sluice needs PostgreSQL ${majorMin} or later`,
    );
}

async function oneAtATime(tx: Transaction): Promise<void> {
  await tx.unsafe("set local lock_timeout = 5000");
  await tx.unsafe("select pg_advisory_xact_lock(hashtextextended('sluice:schema', 0))");
}

/** As `createMissing`, within a transaction of the caller's. */
export async function createTables(tx: Transaction): Promise<void> {
  if ((await missingIn(tx)).length === 0) return;
  await oneAtATime(tx);
  await createMissingTables(tx);
}

async function missingIn(sql: Pick<Transaction, "unsafe">): Promise<string[]> {
  return namesOf(await sql.unsafe<Missing[]>(missingTables));
}

async function createMissingTables(tx: Transaction): Promise<string[]> {
  const done: string[] = [];
  const missing = await missingIn(tx);
  for (const name of missing) {
    for (const statement of tables[name] ?? []) await tx.unsafe(statement);
    done.push(`created table ${name}`);
  }
  done.push(...(await addTriggers(tx, new Set(missing))));
  return done;
}

/** A view over what a site has is used as it is. */
async function isTable(tx: Transaction, name: string): Promise<boolean> {
  const found = await tx`select 1 from pg_class where oid = to_regclass(${name}) and relkind in ('r', 'p')`;
  return found.length > 0;
}

type ColumnRow = { readonly attname: string };
/** Of device_registry. */
const columnsQuery = `select attname from pg_attribute
    where attrelid = to_regclass('device_registry') and attnum > 0 and not attisdropped`;

/** Is there room for a token that was rotated away? */
export async function hasOverlapColumns(tx: Transaction): Promise<boolean> {
  const found = await tx.unsafe<ColumnRow[]>(columnsQuery);
  return Object.keys(overlapColumns).every((column) => found.some(({ attname }) => attname === column));
}

async function addOverlapColumns(tx: Transaction): Promise<string[]> {
  const done: string[] = [];
  const found = new Set((await tx.unsafe<ColumnRow[]>(columnsQuery)).map(({ attname }) => attname));
  for (const [column, type] of Object.entries(overlapColumns)) {
    if (found.has(column)) continue;
    await tx.unsafe(`alter table device_registry add column ${column} ${type}`);
    done.push(`added column device_registry.${column}`);
  }
  return done;
}

/** Devices are looked up meanwhile, and not changed. An index of the deployment's own that begins with the column serves as well. */
async function addTokenIndex(tx: Transaction, column: keyof typeof tokenIndexes): Promise<string[]> {
  if (!(await isTable(tx, "device_registry"))) return [];
  const indexed = await tx<{ attname: string }[]>`${tx.unsafe(indexedColumns)}`;
  if (indexed.some(({ attname }) => attname === column)) return [];
  await tx.unsafe(tokenIndexes[column]);
  return [`added an index on device_registry.${column}`];
}

const indexedColumns = `select a.attname from pg_index i
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = to_regclass('device_registry') and i.indisvalid`;

/** Adds the triggers that are missing, to all tables or only to those named. */
async function addTriggers(tx: Transaction, only?: ReadonlySet<string>): Promise<string[]> {
  const done: string[] = [];
  const wanted = triggers.filter((trigger) => only?.has(trigger.table) ?? true);
  if (wanted.length > 0 && !(await isFunctionThere(tx))) await tx.unsafe(triggerFunction);
  const parts = await tx.unsafe<{ name: string }[]>(`select oid::text as name from ${partitions} as p`);
  for (const { table, ...trigger } of wanted) {
    if (!(await isTable(tx, table))) continue;
    if (await addTrigger(tx, table, trigger)) done.push(`added trigger ${trigger.name}`);
    for (const { name } of table === "device_registry" ? parts : [])
      if (await addTrigger(tx, name, trigger)) done.push(`added trigger ${trigger.name} to ${name}`);
  }
  return done;
}

/** To make it anew takes a role that may, also where there is nothing to do. */
async function isFunctionThere(tx: Transaction): Promise<boolean> {
  const found = await tx`select 1 from pg_proc
    where proname = 'sluice_registry_changed' and pg_function_is_visible(oid) and prosrc = ${triggerBody}`;
  return found.length > 0;
}

/**
 * Fires for sessions that set session_replication_role, too (a replication tool, a restore), unless another role owns the table.
 * @returns whether it was missing, or off
 */
async function addTrigger(
  tx: Transaction,
  table: string,
  { name, event, rows }: Omit<(typeof triggers)[number], "table">,
): Promise<boolean> {
  const [found] = await tx<{ fires: string | null; owns: boolean }[]>`
    select pg_has_role(relowner, 'usage') as owns,
      (select tgenabled::text from pg_trigger where tgrelid = c.oid and tgname = ${name}) as fires
    from pg_class c where oid = to_regclass(${table})`;
  const fires = found?.fires ?? null;
  if (fires === null)
    await tx.unsafe(
      `create trigger ${name} after ${event} on ${table} ${rows} for each statement execute function sluice_registry_changed()`,
    );
  const isOff = found?.owns === true && fires !== "A";
  if (isOff) await tx.unsafe(`alter table ${table} enable always trigger ${name}`);
  return fires === null || isOff;
}
