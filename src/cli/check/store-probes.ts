/**
 * What `sluice check` finds out about the store without changing it: a gateway creates missing tables when it
 * starts, a check only says that it would. What the gateway does to existing tables is rehearsed
 * (store/postgres/rehearsal.ts).
 */
import { coreDatabasesMax } from "../../sink/influx/database.ts";
import type { Config } from "../../config/index.ts";
import type { Census, Store } from "../../core/store.ts";
import { isWithoutDatabases } from "../../sink/influx/api.ts";
import { askedSources } from "../../source/index.ts";
import { counted } from "../../core/text/readable.ts";
import { isThere } from "../../core/file/owner.ts";
import { withDatabase } from "../../spool/tools/spool-file.ts";
import { censusIn, naming } from "../../store/sqlite/local-file.ts";

/** Opened to be read: to open it as a gateway does would make what is missing. @throws what would keep a gateway from its start */
export function probeLocal(path: string): string {
  const said = `no DATABASE_URL: devices and tables are in a file of SQLite, ${path}`;
  if (!isThere(path)) return said;
  const census = withDatabase(path, (db) => naming(db, () => censusIn(db)));
  return `${said}: ${censusWords(census)}`;
}

const censusWords = ({ devices, tenants }: Census) =>
  `${counted(devices, "device")} of ${counted(tenants, "tenant")}`;

export async function probeTables(store: Store): Promise<string> {
  const { missingTables, mayCreate } = await store.inspect();
  if (missingTables.length === 0) return store.tables.probe();
  if (!mayCreate) throw unseen(store, missingTables);
  return `${await store.tables.probe()}; it has no ${missingTables.join(", ")}: the gateway creates them when it starts, as does \`sluice migrate\``;
}

/** Tables of a schema that the role cannot see look as if they did not exist. */
function unseen({ title, place }: Store, missingTables: readonly string[]): Error {
  return new Error(
    `${title} at ${place} has no ${missingTables.join(", ")}, and the role of DATABASE_URL may not create tables: run \`sluice migrate\` once with a role that may, or if they are there let this one see them (USAGE of their schema, search_path)`,
  );
}

export async function probeRegistry(store: Store, config: Config): Promise<string> {
  const { influx, lookup } = config;
  const { missingTables, mayCreate, untold, missesReplicas, findsTokens } = await store.inspect();
  const mayProvision = missingTables.length === 0 || mayCreate;
  const census = await store.probe(lookup.autoProvision && mayProvision);
  if (missingTables.includes("device_registry")) {
    if (!mayCreate) throw unseen(store, ["device_registry"]);
    return "no devices: the table does not exist yet";
  }
  const remarks = [censusWords(census)];
  if (untold !== null)
    remarks.push(
      `the registry does not notify of all changes, so every device is read again each second: ${untold}`,
    );
  else if (missesReplicas)
    remarks.push(
      "what sessions with session_replication_role = replica change (replication tools, some restores) is heard up to AUTH_CACHE_TTL_SECONDS late, for the triggers do not fire for them: run `sluice migrate` as the owner of the tables",
    );
  if (!findsTokens && askedSources(config).some(({ name }) => name === "broker"))
    remarks.push(
      "device_registry has no index on provision_token_hash, so a device that connects with its token alone as user name costs a read of the whole table: run `sluice migrate`, which adds one",
    );
  if (census.tenants > coreDatabasesMax && isDatabaseEach(influx))
    remarks.push(
      `INFLUXDB_DATABASE makes one database per tenant, and InfluxDB 3 Core holds ${coreDatabasesMax}`,
    );
  return remarks.join("; ");
}

function isDatabaseEach({ url, api, writeEnabled, database }: Config["influx"]): boolean {
  const hasDatabases = url !== undefined && !url.startsWith("file:") && !isWithoutDatabases(api);
  return hasDatabases && writeEnabled && database.includes("{tenant_id}");
}
