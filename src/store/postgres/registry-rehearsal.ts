/**
 * Rehearses for `sluice check` what a gateway will ask of the registry: the look-up itself, whose columns and types a count of rows
 * does not need, and what AUTO_PROVISION writes, in a transaction that is rolled back.
 */
import { silentLog } from "../../core/log/log.ts";
import { rehearsal, type Postgres } from "./postgres-client.ts";
import { createTables } from "./migrate.ts";
import { createFind } from "./find.ts";
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
  const { isThere, hasPolicy, hidesSome } = await visibility(db);
  if (!isThere) return false;
  await createFind({ db, log: silentLog })([madeUp]);
  if (hasPolicy === false || (hidesSome && !(await showsAny(db))))
    throw new Error(
      `PostgreSQL at ${db.place}: row-level security of device_registry shows this role no device, so all would be unknown: create a policy for select that shows them, or disable it`,
    );
  return true;
}

/**
 * Row-level security is silent: it hides rows and raises nothing. `hasPolicy` is null if it does not concern this role; `hidesSome`: it does,
 * and the table has rows. What is rolled back, as above, is none of these, though it takes room; one may count a second late.
 */
function visibility(
  db: Postgres,
): Promise<{ isThere: boolean; hasPolicy: boolean | null; hidesSome: boolean }> {
  return db.query("asking what hides devices", async (sql) => {
    const [row] = await sql<{ is_there: boolean; has_policy: boolean | null; hides_some: boolean | null }[]>`
      select reg is not null as is_there, case when row_security_active(reg) then exists (
          select 1 from pg_policy where polrelid = reg and polcmd in ('r', '*') and polpermissive
            and (polroles = '{0}' or exists (select 1 from unnest(polroles) as r where pg_has_role(r, 'member')))
        ) end as has_policy,
        row_security_active(reg) and pg_stat_get_live_tuples(reg) > 0 as hides_some
      from (select to_regclass('device_registry')::oid as reg) as t`;
    const { is_there, has_policy = null, hides_some } = row ?? {};
    return { isThere: is_there === true, hasPolicy: has_policy, hidesSome: hides_some === true };
  });
}

async function showsAny(db: Postgres): Promise<boolean> {
  return (await db.ask("looking for a device", "select 1 from device_registry limit 1")).length > 0;
}
