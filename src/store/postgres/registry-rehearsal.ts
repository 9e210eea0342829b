/**
 * Rehearses for `sluice check` what a gateway will ask of the registry: the look-up itself, whose columns and types a count of rows
 * does not need, and what AUTO_PROVISION writes, in a transaction that is rolled back.
 */
import { silentLog } from "../../core/log/log.ts";
import { rehearsal, type Postgres } from "./postgres-client.ts";
import { createTables } from "./migrate.ts";
import { createFind } from "./find.ts";
import { mustBeShown } from "./hidden.ts";
import { insertDevices } from "./postgres-registry.ts";

const madeUp = { tenantId: "sluice-check", deviceId: "sluice-check", siteId: "sluice-check" };

/** @returns whether there is a registry to ask. @throws what stands in the way */
export async function rehearseRegistry(db: Postgres, autoProvision: boolean): Promise<boolean> {
  if (autoProvision) {
    await rehearsal(db, "registering a device for AUTO_PROVISION", async (tx) => {
      await createTables(tx);
      await insertDevices(tx, [madeUp]);
    });
  }
  const isThere = async (name: string) =>
    (await db.ask("looking for a table", `select 1 where to_regclass('${name}') is not null`)).length > 0;
  if (!(await isThere("device_registry"))) return false;
  await createFind({ db, log: silentLog })([madeUp]);
  await mustBeShown(db, "device_registry");
  if (await isThere("app_settings")) await mustBeShown(db, "app_settings");
  return true;
}
