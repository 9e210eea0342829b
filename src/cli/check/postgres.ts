/**
 * What `sluice check` finds out about PostgreSQL without changing it: a gateway creates missing tables when it starts, a
 * check only says that it would. What the gateway does to tables that are there is rehearsed (sink/postgres/rehearsal.ts).
 */
import type { Config } from "../../config/index.ts";
import type { Postgres } from "../../store/postgres/client.ts";
import { inspectPostgres } from "../../store/schema.ts";
import { hearsChanges } from "../../store/postgres/changes.ts";
import { rehearseRegistry } from "../../store/postgres/registry-rehearsal.ts";
import { isWithoutDatabases } from "../../sink/influx/api.ts";
import type { Sink } from "../../core/sink.ts";

/** InfluxDB 3 Core's limit, see `INFLUXDB_DATABASE`. */
const coreDatabasesMax = 5;

export async function probePostgres(db: Postgres, sink: Sink): Promise<string> {
  const { missingTables, mayCreate } = await inspectPostgres(db);
  if (missingTables.length === 0) return sink.probe();
  const missing = missingTables.join(", ");
  if (mayCreate)
    return `${await sink.probe()}; it has no ${missing}: the gateway creates them when it starts, as does \`sluice migrate\``;
  throw new Error(
    `PostgreSQL at ${db.place} has no ${missing}, and the role of DATABASE_URL may not create tables: run \`sluice migrate\` once with a role that may`,
  );
}

export async function probeRegistry(
  db: Postgres,
  { influx, lookup }: Pick<Config, "influx" | "lookup">,
): Promise<string> {
  const { missingTables, mayCreate, tellsChanges } = await inspectPostgres(db);
  await hearsChanges(db);
  await rehearseRegistry(db, lookup.autoProvision && (missingTables.length === 0 || mayCreate));
  if (missingTables.includes("device_registry")) return "no devices: the table is still to be created";
  const { devices, tenants } = await countDevices(db);
  const remarks = [`${devices} devices of ${tenants} tenants`];
  if (!tellsChanges)
    remarks.push(
      "changes are not told, so every device is read anew each second: run `sluice migrate`, which adds triggers",
    );
  if (tenants > coreDatabasesMax && isDatabaseEach(influx))
    remarks.push(
      `INFLUXDB_DATABASE makes a database of each tenant, of which InfluxDB 3 Core holds ${coreDatabasesMax}`,
    );
  return remarks.join("; ");
}

function countDevices(db: Postgres): Promise<{ devices: number; tenants: number }> {
  return db.ask("counting the devices", async (sql) => {
    const [row] = await sql<{ devices: number; tenants: number }[]>`
      select count(*)::int as devices, count(distinct tenant_id)::int as tenants from device_registry`;
    return row ?? { devices: 0, tenants: 0 };
  });
}

function isDatabaseEach({ url, api, writeEnabled, database }: Config["influx"]): boolean {
  const hasDatabases = url !== undefined && !url.startsWith("file:") && !isWithoutDatabases(api);
  return hasDatabases && writeEnabled && database.includes("{tenant_id}");
}
